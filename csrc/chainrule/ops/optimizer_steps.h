// optimizer_steps.h - one optimizer step over all parameters in one call, in place, unrecorded. Floor: ops.
// Parameters without a gradient are skipped. Everything is checked before anything is written.
#pragma once
#include <vector>

#include "chainrule/autograd/tensor.h"
#include "chainrule/kernels/kernel_table.h"

namespace chainrule {

/// One buffer per parameter; an empty one is made at the parameter's first step.
using Buffers = std::vector<Tensor>;

void sgd_step(std::span<const Tensor> parameters, Buffers& momentum_buffers, const SgdSettings& settings);

/// `steps`: how many steps each parameter has had, counted up here. `max_exp_avg_sqs` is used with amsgrad only.
void adam_step(std::span<const Tensor> parameters, Buffers& exp_avgs, Buffers& exp_avg_sqs, Buffers& max_exp_avg_sqs,
               std::vector<int64_t>& steps, bool amsgrad, const AdamSettings& settings);

}  // namespace chainrule
