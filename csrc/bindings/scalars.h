// scalars.h - numbers of Python and NumPy as operands. Floor: bindings.
#pragma once
#include <optional>

#include "tensor_type.h"

namespace chainrule::python {

struct Scalar {
  Number value;
  bool is_bool = false;
  bool is_size = false;  ///< one that is not known yet
};

/// A Python or NumPy number; nothing for anything else. Fails when an integer does not fit in 64 bits.
std::optional<Scalar> scalar_from(PyObject* o, std::string_view op);

/// The number as a 0-d tensor beside another one: of its dtype, unless the number's category is higher.
Tensor constant_beside(const Tensor& tensor, const Scalar& scalar);

/// Fails for an integer tensor to a negative power, of which no integer is the result.
void require_power(const Tensor& base, const Tensor& exponent);

/// Is it a size that is not known yet? It is no int for Python's own functions: graphs/sizes.py.
bool is_open_size(PyObject* o);
/// The int64 of an object with __index__; sets the op in the error.
int64_t int64_from(PyObject* o, std::string_view op);

}  // namespace chainrule::python
