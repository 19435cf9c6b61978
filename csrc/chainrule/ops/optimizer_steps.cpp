#include "chainrule/ops/optimizer_steps.h"

#include <algorithm>

#include "chainrule/autograd/elementwise.h"
#include "chainrule/core/error.h"
#include "chainrule/core/thread_pool.h"
#include "chainrule/kernels/copy.h"

namespace chainrule {

namespace {

constexpr int64_t block_size = 4 * 1024;          // elements: fixed, so that the bits do not depend on the threads
constexpr int64_t parallel_elements = 32 * 1024;  // below, one thread is done before the others have begun

/// The elements of a tensor in dense order: its own memory, or a copy that is written back.
class Dense {
 public:
  Dense() = default;
  explicit Dense(const Tensor& x) : x_(x), dense_(x.is_contiguous() ? x : installed().contiguous_copy(x)) {}

  /// Address of element i; null where there is no tensor.
  void* at(int64_t i) const {
    return dense_ ? static_cast<char*>(dense_.data()) + i * size_of(dense_.dtype()) : nullptr;
  }
  /// To be called once the elements have been written.
  void changed() const {
    if (!x_) return;
    if (x_.get() != dense_.get())
      copy_strided(x_.data(), x_.dtype(), x_.strides(), dense_.data(), x_.dtype(), dense_.strides(), x_.shape());
    note_change(*x_->storage, "an optimizer");
  }

 private:
  Tensor x_, dense_;
};

inline constexpr int max_buffers = 3;

/// All that the step of one parameter reads and writes, ready before the first write.
struct Update {
  size_t index;  ///< of the parameter
  int64_t numel;
  int dtype;
  Dense parameter, gradient;
  Tensor fresh[max_buffers];  ///< buffers that are kept from this step on
  Dense buffers[max_buffers];
  bool first = false;  ///< sgd: the momentum buffer has no value yet
};

std::string ordinal(size_t i) { return "parameter " + std::to_string(i); }

void check_parameter(const Tensor& parameter, size_t i, std::string_view op) {
  if (!is_floating(parameter.dtype()))
    fail(ErrorKind::dtype, op, ordinal(i) + " has dtype " + name_of(parameter.dtype()),
         "parameters are float32 or float64");
  for (int d = 0; d < parameter.ndim(); ++d)
    if (parameter.size(d) > 1 && parameter.strides()[d] == 0)
      fail(ErrorKind::graph, op, ordinal(i) + " is an expanded tensor of shape " + to_string(parameter.shape()),
           "several of its elements share one memory cell", "clone() it first");
}

void check_like(const Tensor& other, const char* what, const Tensor& parameter, size_t i, std::string_view op) {
  if (!same(other.shape(), parameter.shape()))
    fail(ErrorKind::shape, op,
         ordinal(i) + " has shape " + to_string(parameter.shape()) + ", its " + what + " " + to_string(other.shape()),
         "they must be equal");
  if (other.dtype() != parameter.dtype())
    fail(ErrorKind::dtype, op,
         ordinal(i) + " has dtype " + name_of(parameter.dtype()) + ", its " + what + " " + name_of(other.dtype()),
         "they must be equal");
}

void check_count(size_t count, const char* what, size_t parameters, std::string_view op) {
  if (count != parameters)
    fail(ErrorKind::value, op, std::to_string(parameters) + " parameters and " + std::to_string(count) + " " + what,
         "there must be one for each parameter");
}

/// The parameters that have a gradient, checked.
std::vector<Update> updates_of(std::span<const Tensor> parameters, std::string_view op) {
  std::vector<Update> updates;
  updates.reserve(parameters.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Tensor& parameter = parameters[i];
    const Tensor gradient = parameter.grad();
    if (!gradient) continue;
    check_parameter(parameter, i, op);
    check_like(gradient, "gradient", parameter, i, op);
    updates.push_back(
        {i, parameter.numel(), static_cast<int>(parameter.dtype()), Dense(parameter), Dense(gradient), {}, {}});
  }
  return updates;
}

/// Gives an update its buffer in `slot`, the one that is there or a new one of zeros.
void attach(Update& update, int slot, const Buffers& buffers, const char* what, const Tensor& parameter,
            std::string_view op) {
  Tensor buffer = buffers[update.index];
  if (buffer) {
    check_like(buffer, what, parameter, update.index, op);
  } else {
    buffer = Tensor::zeros(parameter.dtype(), parameter.shape());
    update.fresh[slot] = buffer;
  }
  update.buffers[slot] = Dense(buffer);
}

/// run(update, first element, count) over all parameters, on all threads where it pays. The threads share out the
/// elements of all parameters, one after the other.
template <class F>
void run_in_blocks(const std::vector<Update>& updates, const F& run) {
  std::vector<int64_t> ends;  // of each parameter
  int64_t elements = 0;
  for (const Update& update : updates) ends.push_back(elements += update.numel);
  auto run_range = [&](int64_t first, int64_t end) noexcept {
    for (auto i = static_cast<size_t>(std::ranges::upper_bound(ends, first) - ends.begin()); first < end; ++i) {
      const int64_t count = std::min(end, ends[i]) - first;
      if (count > 0) run(updates[i], first - (ends[i] - updates[i].numel), count);
      first += count;
    }
  };
  if (elements < parallel_elements) return run_range(0, elements);
  parallel_for((elements + block_size - 1) / block_size, [&](int64_t block) noexcept {
    run_range(block * block_size, std::min((block + 1) * block_size, elements));
  });
}

void finish(const Update& update) {
  update.parameter.changed();
  for (const Dense& buffer : update.buffers) buffer.changed();
}

}  // namespace

void sgd_step(std::span<const Tensor> parameters, Buffers& momentum_buffers, const SgdSettings& settings) {
  constexpr std::string_view op = "sgd_step";
  check_count(momentum_buffers.size(), "momentum buffers", parameters.size(), op);
  std::vector<Update> updates = updates_of(parameters, op);
  if (settings.momentum != 0)
    for (Update& update : updates) {
      update.first = !momentum_buffers[update.index];
      attach(update, 0, momentum_buffers, "momentum buffer", parameters[update.index], op);
    }
  const OptimizerKernels& kernels = active_kernels().optimizers;
  run_in_blocks(updates, [&](const Update& u, int64_t first, int64_t n) {
    kernels.sgd[u.dtype](u.parameter.at(first), u.gradient.at(first), u.buffers[0].at(first), u.first, n, settings);
  });
  for (Update& update : updates) {
    finish(update);
    if (update.fresh[0]) momentum_buffers[update.index] = std::move(update.fresh[0]);
  }
}

void adam_step(std::span<const Tensor> parameters, Buffers& exp_avgs, Buffers& exp_avg_sqs, Buffers& max_exp_avg_sqs,
               std::vector<int64_t>& steps, bool amsgrad, const AdamSettings& settings) {
  constexpr std::string_view op = "adam_step";
  Buffers* const lists[max_buffers] = {&exp_avgs, &exp_avg_sqs, &max_exp_avg_sqs};
  constexpr const char* names[max_buffers] = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"};
  const int used = amsgrad ? 3 : 2;
  for (int slot = 0; slot < used; ++slot) check_count(lists[slot]->size(), names[slot], parameters.size(), op);
  check_count(steps.size(), "steps", parameters.size(), op);
  std::vector<Update> updates = updates_of(parameters, op);
  for (Update& update : updates) {
    if (steps[update.index] < 0)
      fail(ErrorKind::value, op, ordinal(update.index) + " has had " + std::to_string(steps[update.index]) + " steps",
           "it is a count");
    for (int slot = 0; slot < used; ++slot)
      attach(update, slot, *lists[slot], names[slot], parameters[update.index], op);
  }
  const OptimizerKernels& kernels = active_kernels().optimizers;
  run_in_blocks(updates, [&](const Update& u, int64_t first, int64_t n) {
    kernels.adam[u.dtype](u.parameter.at(first), u.gradient.at(first), u.buffers[0].at(first), u.buffers[1].at(first),
                          u.buffers[2].at(first), steps[u.index] + 1, n, settings);
  });
  for (Update& update : updates) {
    finish(update);
    for (int slot = 0; slot < used; ++slot)
      if (update.fresh[slot]) (*lists[slot])[update.index] = std::move(update.fresh[slot]);
    ++steps[update.index];
  }
}

}  // namespace chainrule
