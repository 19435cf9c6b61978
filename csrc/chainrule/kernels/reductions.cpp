// reductions.cpp - the table of the reductions over rows. Compiled once per level. Floor: kernels.
#include "chainrule/kernels/reductions_extrema.h"
#include "chainrule/kernels/reductions_sum.h"

namespace chainrule {
namespace {

template <class... S>
constexpr ReductionKernels all_reductions() {
  return {.sum = {&sum<float>, &sum<double>, &sum<int64_t>, nullptr, nullptr},
          .maximum = {&extremum<Largest, S>...},
          .minimum = {&extremum<Smallest, S>...},
          .argmax = {&position_of_extremum<Largest, S>...},
          .argmin = {&position_of_extremum<Smallest, S>...}};
}

}  // namespace

template <>
ReductionKernels reduction_kernels<level>() {
  return all_reductions<float, double, int64_t, int32_t, uint8_t>();
}

}  // namespace chainrule
