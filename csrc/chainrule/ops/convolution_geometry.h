// convolution_geometry.h - one convolution as numbers, for the sources of ops/convolution.h. Floor: ops.
#pragma once
#include "chainrule/autograd/elementwise.h"
#include "chainrule/ops/convolution.h"
#include "chainrule/ops/windows.h"

namespace chainrule {

/// `in` and `out` are the channels of one group.
struct ConvolutionGeometry {
  int64_t images, groups, in, out;
  Pair image, kernel, result, stride, padding, dilation;

  int64_t taps() const { return kernel.height * kernel.width; }
  int64_t image_cells() const { return image.height * image.width; }
  int64_t result_cells() const { return result.height * result.width; }
  int64_t flops() const { return 2 * images * groups * in * out * taps() * result_cells(); }
};

/// Of shapes that are known to fit.
ConvolutionGeometry geometry_of(IntSpan x, IntSpan weight, const ConvolutionOptions& options);
/// Of shapes and options that are checked here.
ConvolutionGeometry checked_geometry(IntSpan x, IntSpan weight, const ConvolutionOptions& options, std::string_view op);

/// The shape of y for x: the same dims, other channels and image size.
Shape with_image(IntSpan x, int64_t channels, Pair image);

inline Tensor dense(const Tensor& x) { return x.is_contiguous() ? x : installed().contiguous_copy(x); }

inline char* element_at(const Tensor& x, int64_t element) {
  return static_cast<char*>(x.data()) + element * size_of(x.dtype());
}

template <class F>
void with_float_type(DType dtype, const F& f) {
  if (dtype == DType::float32) f.template operator()<float>();
  else f.template operator()<double>();
}

/// The gradients of weight and bias; an empty tensor is not owed. Defined in convolution_weight.cpp.
void weight_gradients(const ConvolutionGeometry& g, const Tensor& gy, const Tensor& x, const Tensor& gw,
                      const Tensor& gb);

}  // namespace chainrule
