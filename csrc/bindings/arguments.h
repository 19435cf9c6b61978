// arguments.h - one caller for all fast functions: binds arguments to a signature, converts, reports. Floor: bindings.
// A function is a row: its signature as Python writes it, its docstring, its body. The signature is parsed once, when
// the module is loaded; it is also the first line of the docstring, from which the stubs are written. So parameter
// names, keywords, help() and types cannot differ. Errors read "op: what arrived; the rule".
#pragma once
#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "chainrule/core/error.h"
#include "tensor_type.h"

namespace chainrule::python {

inline constexpr int max_parameters = 16;

struct Parameter {
  std::string name;
  bool required = true;
  bool keyword_only = false;
  bool rest = false;  ///< *name: all further positional arguments
};

struct Signature {
  explicit Signature(std::string written);
  std::string text;  ///< "sum(input: Tensor, dim: int | None = None) -> Tensor"
  std::string name;
  std::vector<Parameter> parameters;
  /// The position of a keyword or of NumPy's name for it; -1 when there is none.
  int find(PyObject* keyword) const;
  /// The same for a method: the first parameter is self.
  std::string method_text() const;
};

/// The arguments of one call by position in the signature.
class Arguments {
 public:
  /// `self`, if not null, is the first argument.
  Arguments(const Signature& signature, PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords);

  const std::string& op() const { return signature_.name; }
  PyObject* operator[](int i) const { return values_[i]; }
  bool none_but_first() const { return given_ == 1; }
  bool has(int i) const { return values_[i] && values_[i] != Py_None; }
  void set(int i, PyObject* value) { values_[i] = value; }
  std::span<PyObject* const> rest() const { return rest_; }

  Tensor tensor(int i) const;
  Tensor tensor_or_empty(int i) const { return has(i) ? tensor(i) : Tensor(); }
  /// A number beside a tensor becomes a 0-d tensor.
  Tensor operand(int i, const Tensor& beside) const;
  std::vector<Tensor> tensors(int i) const;
  int64_t integer(int i) const;
  int64_t integer(int i, int64_t otherwise) const { return has(i) ? integer(i) : otherwise; }
  double real(int i) const;
  double real(int i, double otherwise) const { return has(i) ? real(i) : otherwise; }
  Number number(int i) const;
  bool boolean(int i, bool otherwise) const;
  std::string text(int i) const;
  DType dtype(int i) const;
  DType dtype(int i, DType otherwise) const { return has(i) ? dtype(i) : otherwise; }
  /// An int or a sequence of ints.
  Shape integers(int i) const;
  std::vector<int64_t> integer_list(int i) const;  ///< the same, of any length
  /// An int, for both, or a sequence of two: (height, width).
  Pair pair(int i) const;
  Shape integers_or_empty(int i) const { return has(i) ? integers(i) : Shape(); }
  /// *name as ints or one sequence of ints; parameter i is its name.
  Shape sizes(int i) const;

  /// TypeError: "op: name is a list; rule".
  [[noreturn]] void refuse(int i, const char* rule) const;

 private:
  int64_t integer_of(PyObject* o, int i) const;
  void bind_keywords(PyObject* const* values, PyObject* keywords);
  void check_complete() const;

  const Signature& signature_;
  Py_ssize_t given_;
  std::array<PyObject*, max_parameters> values_{};
  std::span<PyObject* const> rest_;
};

using Body = PyObject* (*)(const Arguments& arguments);
enum class Scope { both, function, method };

/// One row of a table of functions.
struct Function {
  const char* signature;
  const char* doc;
  Body body;
  Scope scope = Scope::both;
};

struct Bound {
  Signature signature;
  Body body;
};

PyObject* call(const Bound& bound, PyObject* self, PyObject* const* args, Py_ssize_t count,
               PyObject* keywords) noexcept;

using FastCall = PyObject* (*)(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords);

/// Adds the C functions to the module, to __all__ and to Tensor, as the scope says. Null functions are left out.
void publish(py::module_& m, const Signature& signature, const std::string& doc, FastCall function, FastCall method);
/// A built-in function object with a docstring that lives as long as the process.
py::object new_function(py::handle module, const std::string& name, const std::string& doc, FastCall function);

/// The Python-visible C functions of row I of a table.
template <const auto& table, size_t I>
struct Entry {
  static inline const Bound* bound = nullptr;
  static PyObject* function(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return call(*bound, nullptr, args, count, keywords);
  }
  static PyObject* method(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return call(*bound, self, args, count, keywords);
  }
};

template <const auto& table>
void add_table(py::module_& m) {
  auto add = [&]<size_t I>(std::integral_constant<size_t, I>) {
    using E = Entry<table, I>;
    const Function& row = table[I];
    E::bound = new Bound{Signature(row.signature), row.body};  // as old as the process
    publish(m, E::bound->signature, row.doc, row.scope == Scope::method ? nullptr : &E::function,
            row.scope == Scope::function ? nullptr : &E::method);
  };
  [&]<size_t... I>(std::index_sequence<I...>) {
    (add(std::integral_constant<size_t, I>{}), ...);
  }(std::make_index_sequence<std::size(table)>{});
}

}  // namespace chainrule::python
