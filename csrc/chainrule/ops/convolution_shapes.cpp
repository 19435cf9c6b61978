// convolution_shapes.cpp - the shape rules of the convolutions, and their errors. Floor: ops.
#include "chainrule/ops/convolution_geometry.h"

namespace chainrule {

namespace {

std::string shapes_text(IntSpan x, IntSpan weight) {
  return "x has shape " + to_string(x) + ", weight has shape " + to_string(weight);
}

void check_channels(IntSpan x, IntSpan weight, const ConvolutionOptions& o, std::string_view op) {
  if ((x.size() != 3 && x.size() != 4) || weight.size() != 4)
    fail(ErrorKind::shape, op, shapes_text(x, weight),
         "x must be (n, in, h, w) or (in, h, w), and weight (out, in / groups, kh, kw)");
  const std::string groups = std::to_string(o.groups);
  if (o.groups < 1) fail(ErrorKind::value, op, "groups is " + groups, "it must be at least 1");
  if (weight[0] % o.groups != 0)
    fail(ErrorKind::shape, op, "weight has shape " + to_string(weight) + ", groups is " + groups,
         "weight.shape[0] must be a multiple of groups");
  const int64_t channels = x[x.size() - 3];
  int64_t in;
  if (__builtin_mul_overflow(weight[1], o.groups, &in) || channels != in)
    fail(ErrorKind::shape, op, shapes_text(x, weight) + (o.groups == 1 ? "" : ", groups is " + groups),
         "weight must be (out, in / groups, kh, kw) and x.shape[" + std::to_string(x.size() - 3) + "] must equal in (" +
             size_text(channels) + " != " + size_text(in) + ")");
}

/// Results along one dim; 0 where the kernel is larger than the padded image.
int64_t result_size(int64_t image, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  const std::optional<int64_t> span = window_span(kernel, dilation);
  const int64_t padded = image + 2 * padding;
  return span && *span <= padded ? (padded - *span) / stride + 1 : 0;
}

Meta checked(DType dtype, const Shape& shape, std::string_view op) {
  checked_numel(shape, size_of(dtype), op);
  return {dtype, shape};
}

}  // namespace

ConvolutionGeometry geometry_of(IntSpan x, IntSpan weight, const ConvolutionOptions& o) {
  const size_t n = x.size();
  ConvolutionGeometry g{n == 4 ? x[0] : 1,
                        o.groups,
                        weight[1],
                        weight[0] / o.groups,  //
                        {x[n - 2], x[n - 1]},
                        {weight[2], weight[3]},
                        {},
                        o.stride,
                        o.padding,
                        o.dilation};
  auto along = [&](int64_t Pair::* d) {
    return result_size(g.image.*d, g.kernel.*d, g.stride.*d, g.padding.*d, g.dilation.*d);
  };
  g.result = {along(&Pair::height), along(&Pair::width)};
  return g;
}

ConvolutionGeometry checked_geometry(IntSpan x, IntSpan weight, const ConvolutionOptions& o, std::string_view op) {
  require_pair(o.stride, 1, "stride", op);
  require_pair(o.padding, 0, "padding", op);
  require_pair(o.dilation, 1, "dilation", op);
  check_channels(x, weight, o, op);
  const ConvolutionGeometry g = geometry_of(x, weight, o);
  if (g.kernel.height < 1 || g.kernel.width < 1)
    fail(ErrorKind::shape, op, shapes_text(x, weight), "the kernel must have at least one element");
  if (g.result.height < 1 || g.result.width < 1) {
    const Pair padded{g.image.height + 2 * o.padding.height, g.image.width + 2 * o.padding.width};
    fail(ErrorKind::shape, op,
         "the kernel " + to_string(g.kernel) + " with dilation " + to_string(o.dilation) +
             " does not fit into the padded image " + to_string(padded),
         "it must span at most as many cells",
         "x has shape " + to_string(x) + "; add padding, or use a smaller kernel");
  }
  return g;
}

/// The shape of y for x: the same dims, other channels and image size.
Shape with_image(IntSpan x, int64_t channels, Pair image) {
  Shape shape(x);
  const int n = shape.size();
  shape[n - 3] = channels;
  shape[n - 2] = image.height;
  shape[n - 1] = image.width;
  return shape;
}

// ---- Conv2d ----

Meta Conv2d::infer(const Meta& x, const Meta& weight, const Meta& bias) const {
  require_floating(x, info.name);
  require_same_dtype(x, weight, info.name);
  require_same_dtype(x, bias, info.name);
  const ConvolutionGeometry g = checked_geometry(x.shape, weight.shape, options(), info.name);
  if (!same(bias.shape, Shape{weight.shape[0]}))
    fail(ErrorKind::shape, info.name,
         "weight has shape " + to_string(weight.shape) + ", bias has shape " + to_string(bias.shape),
         "bias must have shape (out,)");
  return checked(x.dtype, with_image(x.shape, weight.shape[0], g.result), info.name);
}

// ---- Conv2dInput ----

Meta Conv2dInput::infer(const Meta& gy, const Meta& weight) const {
  require_floating(gy, info.name);
  require_same_dtype(gy, weight, info.name);
  require_pair(size, 0, "size", info.name);
  if ((gy.shape.size() != 3 && gy.shape.size() != 4) || weight.shape.size() != 4)
    fail(ErrorKind::shape, info.name,
         "gy has shape " + to_string(gy.shape) + ", weight has shape " + to_string(weight.shape),
         "gy must be (n, out, h, w) or (out, h, w), and weight (out, in / groups, kh, kw)");
  int64_t channels = 0;
  if (__builtin_mul_overflow(weight.shape[1], std::max<int64_t>(1, groups), &channels))
    fail(ErrorKind::value, info.name, "groups is " + std::to_string(groups), "the channels of x must fit in 64 bits");
  const Shape x = with_image(gy.shape, channels, size);
  const ConvolutionGeometry g = checked_geometry(x, weight.shape, options(), info.name);
  const Shape expected = with_image(x, weight.shape[0], g.result);
  if (!same(gy.shape, expected))
    fail(ErrorKind::shape, info.name, "gy has shape " + to_string(gy.shape),
         "for these options it must be " + to_string(expected));
  return checked(gy.dtype, x, info.name);
}
// ---- Conv2dWeight ----

Meta Conv2dWeight::infer(const Meta& gy, const Meta& x) const {
  require_floating(gy, info.name);
  require_same_dtype(gy, x, info.name);
  require_pair(size, 1, "size", info.name);
  const int n = x.shape.size();
  if (gy.shape.size() != n || (n != 3 && n != 4))
    fail(ErrorKind::shape, info.name, "gy has shape " + to_string(gy.shape) + ", x has shape " + to_string(x.shape),
         "both must be (n, channels, h, w) or (channels, h, w)");
  const Shape weight{gy.shape[n - 3], x.shape[n - 3] / std::max<int64_t>(1, groups), size.height, size.width};
  checked_numel(weight, size_of(x.dtype), info.name);
  const ConvolutionGeometry g = checked_geometry(x.shape, weight, options(), info.name);
  const Shape expected = with_image(x.shape, weight[0], g.result);
  if (!same(gy.shape, expected))
    fail(ErrorKind::shape, info.name, "gy has shape " + to_string(gy.shape),
         "for these options it must be " + to_string(expected));
  return {x.dtype, weight};
}

}  // namespace chainrule
