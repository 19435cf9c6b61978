#include "chainrule/ops/creation.h"

#include <cmath>
#include <cstdio>
#include <limits>

#include "chainrule/autograd/in_place.h"
#include "chainrule/core/error.h"
#include "chainrule/ops/conversion.h"

namespace chainrule {

namespace {

__extension__ using Wide = __int128;

/// Uninitialised; a bad size is the error of `op`.
Tensor allocated(IntSpan shape, DType dtype, std::string_view op) {
  checked_numel(shape, size_of(dtype), op);
  return Tensor::empty(dtype, shape);
}

Tensor as(DType dtype, const Tensor& x) { return x.dtype() == dtype ? x : Tensor::call(Cast{dtype}, x); }

std::string printed(Number value) {
  if (value.is_integer) return std::to_string(value.integer);
  char buffer[32];
  const int length = std::snprintf(buffer, sizeof buffer, "%.16g", value.real);
  return std::string(buffer, static_cast<size_t>(length));
}

// A double becomes an integer only if it is in range: anything else is undefined in C++.
void check_fits(Number value, DType dtype, std::string_view op) {
  if (is_floating(dtype) || dtype == DType::boolean) return;
  const bool is_int32 = dtype == DType::int32;
  const double limit = is_int32 ? 0x1p31 : 0x1p63;
  const bool fits = value.is_integer ? !is_int32 || value.integer == static_cast<int32_t>(value.integer)
                                     : std::trunc(value.real) >= -limit && value.real < limit;
  if (!fits) fail(ErrorKind::value, op, printed(value) + " for dtype " + name_of(dtype), "it must fit in the dtype");
}

Tensor filled(IntSpan shape, Number value, DType dtype, std::string_view op) {
  check_fits(value, dtype, op);
  checked_numel(shape, size_of(dtype), op);
  return Tensor::full(dtype, shape, value);
}

// How many of start, start + step, ... come before stop. The arguments of integers are counted in integers.
int64_t arange_count(Number start, Number stop, Number step) {
  if (start.is_integer && stop.is_integer && step.is_integer) {
    const Wide span = Wide{stop.integer} - start.integer, size = step.integer;
    const Wide count = (span + size - (size > 0 ? 1 : -1)) / size;
    return count > std::numeric_limits<int64_t>::max() ? std::numeric_limits<int64_t>::max()
                                                       : static_cast<int64_t>(count);
  }
  const double count = std::ceil((stop.real - start.real) / step.real);
  return count < 0x1p63 ? static_cast<int64_t>(count) : std::numeric_limits<int64_t>::max();
}

void check_arange(Number start, Number stop, Number step) {
  const std::string range = "from " + printed(start) + " to " + printed(stop) + " in steps of " + printed(step);
  if (!std::isfinite(start.real) || !std::isfinite(stop.real) || !std::isfinite(step.real))
    fail(ErrorKind::value, "arange", range, "all three must be finite");
  if (step.real == 0) fail(ErrorKind::value, "arange", range, "the step must not be 0");
  if ((step.real > 0) != (stop.real >= start.real) && stop.real != start.real)
    fail(ErrorKind::value, "arange", range, "the step must lead from the first to the second");
}

void refuse_bool(DType dtype, std::string_view op) {
  if (dtype == DType::boolean)
    fail(ErrorKind::dtype, op, "dtype bool", "the numbers must fit in the dtype", "use an integer dtype");
}

void require_floating_random(DType dtype, std::string_view op) {
  if (!is_floating(dtype))
    fail(ErrorKind::dtype, op, std::string("dtype ") + name_of(dtype), "it works on float32 and float64",
         "use randint for integers");
}

using FloatFill = void (*)(float*, int64_t, CounterRange);
using DoubleFill = void (*)(double*, int64_t, CounterRange);

void fill_random(const Tensor& x, FloatFill single, DoubleFill twofold) {
  const CounterRange counters = default_generator().reserve(x.numel());
  if (x.dtype() == DType::float32) single(x.data<float>(), x.numel(), counters);
  else twofold(x.data<double>(), x.numel(), counters);
}

// x takes offset + scale * (random numbers).
void fill_scaled(const Tensor& x, FloatFill single, DoubleFill twofold, double offset, double scale, const char* op) {
  require_floating_random(x.dtype(), op);
  if (grad_enabled() && x.requires_grad())
    fail(ErrorKind::graph, op, "a tensor that requires gradients", "random numbers have no history to record",
         "use `with no_grad():`");
  const Tensor values = Tensor::empty(x.dtype(), x.shape());
  fill_random(values, single, twofold);
  dispatch(x.dtype(), [&]<class S>() {
    S* const v = values.data<S>();
    for (int64_t i = 0; i < values.numel(); ++i) v[i] = static_cast<S>(offset) + static_cast<S>(scale) * v[i];
  });
  copy_in_place(x, values, op);
}

}  // namespace

Tensor empty(IntSpan shape, DType dtype) { return allocated(shape, dtype, "empty"); }
Tensor full(IntSpan shape, Number value, DType dtype) { return filled(shape, value, dtype, "full"); }
Tensor zeros(IntSpan shape, DType dtype) { return filled(shape, 0, dtype, "zeros"); }
Tensor ones(IntSpan shape, DType dtype) { return filled(shape, 1, dtype, "ones"); }

Tensor eye(int64_t rows, std::optional<int64_t> columns, DType dtype) {
  const int64_t width = columns.value_or(rows);
  Tensor result = filled(Shape{rows, width}, 0, dtype, "eye");
  dispatch(dtype, [&]<class S>() {
    for (int64_t i = 0; i < std::min(rows, width); ++i) result.data<S>()[i * (width + 1)] = S{1};
  });
  return result;
}

Tensor arange(Number start, Number stop, Number step, DType dtype) {
  refuse_bool(dtype, "arange");
  check_arange(start, stop, step);
  check_fits(start, dtype, "arange");
  check_fits(stop, dtype, "arange");
  const int64_t count = arange_count(start, stop, step);
  Tensor result = allocated(Shape{count}, dtype, "arange");
  const bool integers = start.is_integer && step.is_integer;
  dispatch(dtype, [&]<class S>() {
    S* const y = result.data<S>();
    for (int64_t i = 0; i < count; ++i) {
      if (integers) y[i] = static_cast<S>(start.integer + i * step.integer);
      else y[i] = static_cast<S>(start.real + static_cast<double>(i) * step.real);
    }
  });
  return result;
}

// From both ends to the middle, so that both are exact and the points lie symmetrically.
Tensor linspace(double start, double stop, int64_t steps, DType dtype) {
  if (steps < 0)
    fail(ErrorKind::value, "linspace", std::to_string(steps) + " steps", "the number of steps must not be negative");
  refuse_bool(dtype, "linspace");
  check_fits(start, dtype, "linspace");
  check_fits(stop, dtype, "linspace");
  Tensor result = allocated(Shape{steps}, dtype, "linspace");
  const double step = steps > 1 ? (stop - start) / static_cast<double>(steps - 1) : 0;
  dispatch(dtype, [&]<class S>() {
    S* const y = result.data<S>();
    for (int64_t i = 0; i < steps; ++i) {
      const bool from_start = i < steps / 2 || steps == 1;
      y[i] = static_cast<S>(from_start ? start + step * static_cast<double>(i)
                                       : stop - step * static_cast<double>(steps - 1 - i));
    }
  });
  return result;
}

Tensor rand(IntSpan shape, DType dtype) {
  require_floating_random(dtype, "rand");
  Tensor result = allocated(shape, dtype, "rand");
  fill_random(result, fill_uniform, fill_uniform);
  return result;
}

Tensor randn(IntSpan shape, DType dtype) {
  require_floating_random(dtype, "randn");
  Tensor result = allocated(shape, dtype, "randn");
  fill_random(result, fill_normal, fill_normal);
  return result;
}

Tensor randint(int64_t low, int64_t high, IntSpan shape, DType dtype) {
  if (low >= high)
    fail(ErrorKind::value, "randint", "low " + std::to_string(low) + " and high " + std::to_string(high),
         "low must be below high");
  check_fits(low, dtype, "randint");
  check_fits(high - 1, dtype, "randint");
  if (dtype == DType::boolean && (low < 0 || high > 2))
    fail(ErrorKind::value, "randint",
         "low " + std::to_string(low) + " and high " + std::to_string(high) + " for dtype bool", "bools are 0 and 1");
  Tensor result = allocated(shape, DType::int64, "randint");
  fill_integers(result.data<int64_t>(), result.numel(), low, high, default_generator().reserve(result.numel()));
  return as(dtype, result);
}

Tensor randperm(int64_t n, DType dtype) {
  if (n < 0) fail(ErrorKind::value, "randperm", "n = " + std::to_string(n), "n must not be negative");
  refuse_bool(dtype, "randperm");
  if (n > 0) check_fits(n - 1, dtype, "randperm");
  Tensor result = allocated(Shape{n}, DType::int64, "randperm");
  fill_permutation(result.data<int64_t>(), n, default_generator().reserve(n));
  return as(dtype, result);
}

void uniform_(const Tensor& x, double low, double high) {
  if (!(low <= high))
    fail(ErrorKind::value, "uniform_", "low " + printed(low) + " and high " + printed(high),
         "low must not exceed high");
  fill_scaled(x, fill_uniform, fill_uniform, low, high - low, "uniform_");
}

void normal_(const Tensor& x, double mean, double std) {
  if (!(std >= 0)) fail(ErrorKind::value, "normal_", "std " + printed(std), "it must not be negative");
  fill_scaled(x, fill_normal, fill_normal, mean, std, "normal_");
}

}  // namespace chainrule
