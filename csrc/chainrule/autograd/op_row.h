// op_row.h - what the engine knows of an op: one row of function pointers. Floor: autograd.
// Rows are built in ops/ from the op structs and handed down at start-up by install(); nothing here names an op.
#pragma once
#include <span>

#include "chainrule/autograd/tensor.h"
#include "chainrule/math/probe.h"

namespace chainrule {

/// Which values the rules of a structured op read (an elementwise op's are found by the probe).
struct Saves {
  uint32_t inputs = 0;  ///< bit k: input k; variadic ops count inputs past 31 as bit 31
  uint32_t output = 0;  ///< bit k: output k
};

enum class FieldKind : uint8_t { boolean, integer, real, shape, pair, dtype };

/// One attribute of an op as data, for keyword arguments, printing and files.
struct FieldRow {
  const char* name;
  FieldKind kind;
  void* (*at)(void* op);
};

inline constexpr int max_attribute_bytes = 128;
inline constexpr int variadic = -1;
inline constexpr int max_outputs = 2;

struct OpRow {
  const OpInfo* info;
  int id;
  int inputs;   ///< or variadic
  int outputs;
  bool elementwise, mask_input, mask_output;
  VjpFacts vjp_of_input[3];  ///< elementwise only
  Saves saves;               ///< structured only
  int attribute_bytes;
  std::span<const FieldRow> fields;
  void (*construct)(void* op);  ///< default attributes

  // Structured ops only; `op` points to the attributes.
  void (*infer)(const void* op, std::span<const Meta> inputs, Meta* outputs);
  void (*forward)(const void* op, std::span<const Tensor> inputs, Tensor* outputs);  ///< into fresh dense outputs
  Tensor (*view)(const void* op, const Tensor& x);  ///< shares x's storage; empty when that is not possible

  /// Gradient for input k as ops that record themselves; empty when input k has none.
  Tensor (*vjp)(const void* op, int k, const Tensor* gy, std::span<const Tensor> inputs, const Tensor* y);
  /// The gradients whose bit is set in `owed` in one unrecorded pass; what it leaves empty is given by vjp. Null where
  /// the op has no such rule.
  void (*backward)(const void* op, unsigned owed, const Tensor* gy, std::span<const Tensor> inputs, const Tensor* y,
                   Tensor* gx);
};

/// What autograd takes from the floor above.
struct Installed {
  std::span<const OpRow> rows;  ///< by op id
  Tensor (*cast)(const Tensor& x, DType dtype);
  Tensor (*add)(const Tensor& a, const Tensor& b);
  const OpRow* add_row;
  Tensor (*expand)(const Tensor& x, IntSpan shape);
  Tensor (*sum_to_shape)(const Tensor& x, IntSpan shape);  ///< adjoint of broadcasting
  Tensor (*contiguous_copy)(const Tensor& x);  ///< unrecorded, in memory of its own
};
void install(const Installed& installed);
const Installed& installed();

// ---- Running ops ----
/// Runs an op on tensors and records it if gradients are wanted. `outputs` has room for row.outputs tensors.
void run(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, Tensor* outputs);
/// dtype and shape of the outputs, or the error that running would give.
void infer(const OpRow& row, const void* op, std::span<const Meta> inputs, Meta* outputs);
/// Fails if x was changed in place, as part of a graph, through another view of its memory: its history no longer
/// describes its value.
void check_not_stale(const Tensor& x, std::string_view op);

}  // namespace chainrule
