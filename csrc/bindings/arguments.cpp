#include "arguments.h"

#include <cstring>

#include "dtypes.h"
#include "scalars.h"

namespace chainrule::python {

namespace {

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

// Splits at commas outside brackets.
std::vector<std::string_view> split_parameters(std::string_view s) {
  std::vector<std::string_view> parts;
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i <= s.size(); ++i) {
    if (i < s.size() && (s[i] == '[' || s[i] == '(')) ++depth;
    if (i < s.size() && (s[i] == ']' || s[i] == ')')) --depth;
    if (i < s.size() && (s[i] != ',' || depth > 0)) continue;
    if (!trimmed(s.substr(begin, i - begin)).empty()) parts.push_back(trimmed(s.substr(begin, i - begin)));
    begin = i + 1;
  }
  return parts;
}

constexpr std::pair<std::string_view, std::string_view> other_names[] = {
    {"axis", "dim"},   {"axes", "dims"}, {"keepdims", "keepdim"}, {"shape", "size"},
    {"size", "shape"}, {"input", "x"},   {"input", "a"},          {"other", "b"},
    {"x", "input"},    {"a", "input"},   {"b", "other"},          {"split_size", "split_size_or_sections"}};

bool is_text(PyObject* o) { return PyUnicode_Check(o) || PyBytes_Check(o) || PyByteArray_Check(o); }

}  // namespace

// ---- Signature ----

Signature::Signature(std::string written) : text(std::move(written)) {
  const size_t open = text.find('('), close = text.rfind(')', text.find("->"));
  name = text.substr(0, open);
  bool keyword_only = false;
  for (std::string_view part : split_parameters(std::string_view(text).substr(open + 1, close - open - 1))) {
    if (part == "*") {
      keyword_only = true;
      continue;
    }
    Parameter parameter;
    parameter.keyword_only = keyword_only;
    if (part.front() == '*') {
      parameter.rest = keyword_only = true;
      part.remove_prefix(1);
    }
    parameter.required = part.find('=') == std::string_view::npos && !parameter.rest;
    parameter.name = trimmed(part.substr(0, part.find_first_of(":=")));
    parameters.push_back(std::move(parameter));
  }
  if (parameters.size() > max_parameters) internal_error(name, "too many parameters");
}

int Signature::find(PyObject* keyword) const {
  const char* utf8 = PyUnicode_AsUTF8(keyword);
  if (!utf8) throw py::error_already_set();
  auto position = [&](std::string_view wanted) {
    for (size_t i = 0; i < parameters.size(); ++i)
      if (parameters[i].name == wanted) return static_cast<int>(i);
    return -1;
  };
  int found = position(utf8);
  for (const auto& [alias, meant] : other_names)
    if (found < 0 && alias == utf8) found = position(meant);
  return found;
}

std::string Signature::method_text() const {
  const size_t open = text.find('('), close = text.rfind(')', text.find("->"));
  const auto parts = split_parameters(std::string_view(text).substr(open + 1, close - open - 1));
  std::string result = name + "(self";
  for (size_t i = 1; i < parts.size(); ++i) result.append(", ").append(parts[i]);
  return result + text.substr(close);
}

// ---- Arguments ----

Arguments::Arguments(const Signature& signature, PyObject* self, PyObject* const* args, Py_ssize_t count,
                     PyObject* keywords)
    : signature_(signature), given_((self != nullptr) + count + (keywords ? PyTuple_GET_SIZE(keywords) : 0)) {
  const auto& parameters = signature.parameters;
  size_t at = 0;
  if (self) values_[at++] = self;
  Py_ssize_t used = 0;
  while (used < count && at < parameters.size() && !parameters[at].keyword_only && !parameters[at].rest)
    values_[at++] = args[used++];
  if (used < count) {
    if (at >= parameters.size() || !parameters[at].rest)
      fail(ErrorKind::dtype, op(), std::to_string(count) + " positional arguments",
           "it takes at most " + std::to_string(used), signature.text);
    rest_ = {args + used, static_cast<size_t>(count - used)};
  }
  if (keywords) bind_keywords(args + count, keywords);
  check_complete();
}

void Arguments::bind_keywords(PyObject* const* values, PyObject* keywords) {
  for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(keywords); ++k) {
    PyObject* keyword = PyTuple_GET_ITEM(keywords, k);
    const int i = signature_.find(keyword);
    if (i < 0)
      fail(ErrorKind::dtype, op(), "the keyword '" + std::string(py::str(keyword)) + "'",
           "it is not among its arguments", signature_.text);
    if (values_[i] || (signature_.parameters[i].rest && !rest_.empty()))
      fail(ErrorKind::dtype, op(), "two values for " + signature_.parameters[i].name, "one is enough");
    values_[i] = values[k];
  }
}

void Arguments::check_complete() const {
  for (size_t i = 0; i < signature_.parameters.size(); ++i)
    if (signature_.parameters[i].required && !values_[i])
      fail(ErrorKind::dtype, op(), signature_.parameters[i].name + " is missing", "it has no default", signature_.text);
}

void Arguments::refuse(int i, const char* rule) const {
  const Parameter& parameter = signature_.parameters[static_cast<size_t>(i)];
  PyObject* value = parameter.rest && !rest_.empty() ? rest_[0] : values_[i];
  fail(ErrorKind::dtype, op(), parameter.name + " is a " + type_name(value), rule);
}

Tensor Arguments::tensor(int i) const {
  if (!is_tensor(values_[i])) refuse(i, "it must be a Tensor");
  return share(values_[i]);
}

Tensor Arguments::operand(int i, const Tensor& beside) const {
  if (is_tensor(values_[i])) return share(values_[i]);
  const auto scalar = scalar_from(values_[i], op());
  if (!scalar) refuse(i, "it must be a Tensor or a number");
  return constant_beside(beside, *scalar);
}

std::vector<Tensor> Arguments::tensors(int i) const {
  if (!PyList_Check(values_[i]) && !PyTuple_Check(values_[i])) refuse(i, "it must be a list or tuple of Tensors");
  const py::object items = owned(PySequence_Fast(values_[i], ""));
  std::vector<Tensor> result;
  for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(items.ptr()); ++k) {
    PyObject* item = PySequence_Fast_GET_ITEM(items.ptr(), k);
    if (!is_tensor(item))
      fail(ErrorKind::dtype, op(),
           signature_.parameters[i].name + "[" + std::to_string(k) + "] is a " + type_name(item),
           "it must be a Tensor");
    result.push_back(share(item));
  }
  return result;
}

int64_t Arguments::integer_of(PyObject* o, int i) const {
  if (!PyIndex_Check(o) || PyBool_Check(o) || (is_tensor(o) && is_floating(impl_of(o)->dtype)))
    fail(ErrorKind::dtype, op(), signature_.parameters[i].name + " is a " + type_name(o), "it must be an int");
  return int64_from(o, op());
}
int64_t Arguments::integer(int i) const { return integer_of(values_[i], i); }

Number Arguments::number(int i) const {
  PyObject* value = values_[i];
  if (is_tensor(value) && impl_of(value)->numel == 1) {
    const Borrowed tensor(value);
    return is_floating(tensor->dtype()) ? Number(tensor->item()) : Number(tensor->item_integer());
  }
  const auto scalar = scalar_from(value, op());
  if (!scalar) refuse(i, "it must be a number");
  if (scalar->value.is_integer && !is_known(scalar->value.integer))
    fail(ErrorKind::graph, op(),
         signature_.parameters[static_cast<size_t>(i)].name + " is " + size_text(scalar->value.integer),
         "N is not known before the graph runs, and only sizes and factors of tensors may depend on it");
  return scalar->value;
}
double Arguments::real(int i) const { return number(i).real; }

bool Arguments::boolean(int i, bool otherwise) const {
  if (!has(i)) return otherwise;
  if (!PyBool_Check(values_[i]) && !scalar_from(values_[i], op())) refuse(i, "it must be a bool");
  const int truth = PyObject_IsTrue(values_[i]);
  if (truth < 0) throw py::error_already_set();
  return truth == 1;
}

std::string Arguments::text(int i) const {
  if (!PyUnicode_Check(values_[i])) refuse(i, "it must be a str");
  return text_from(values_[i], op(), signature_.parameters[static_cast<size_t>(i)].name);
}

DType Arguments::dtype(int i) const {
  const auto found = dtype_from(values_[i]);
  if (!found) refuse(i, "it must be a dtype: chainrule.float32, float64, int64, int32 or bool");
  return *found;
}

Shape Arguments::integers(int i) const { return Shape(IntSpan(integer_list(i))); }

std::vector<int64_t> Arguments::integer_list(int i) const {
  PyObject* value = values_[i];
  if (PyIndex_Check(value) && !is_tensor(value)) return {integer_of(value, i)};
  if (is_text(value) || !PySequence_Check(value)) refuse(i, "it must be an int or a sequence of ints");
  const py::object items = owned(PySequence_Fast(value, "a sequence of ints"));
  std::vector<int64_t> result;
  for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(items.ptr()); ++k)
    result.push_back(integer_of(PySequence_Fast_GET_ITEM(items.ptr(), k), i));
  return result;
}

Pair Arguments::pair(int i) const {
  const Shape values = integers(i);
  if (values.empty() || values.size() > 2) refuse(i, "it must be an int or a sequence of two");
  return {values[0], values.back()};
}

Shape Arguments::sizes(int i) const {
  if (rest_.empty()) {
    if (values_[i]) return integers(i);
    fail(ErrorKind::dtype, op(), signature_.parameters[i].name + " is missing", "it has no default", signature_.text);
  }
  if (rest_.size() == 1 && !PyIndex_Check(rest_[0])) {
    if (is_text(rest_[0]) || !PySequence_Check(rest_[0])) refuse(i, "it must be ints or one sequence of ints");
    Arguments sequence(*this);
    sequence.values_[i] = rest_[0];
    return sequence.integers(i);
  }
  std::vector<int64_t> result;
  for (PyObject* o : rest_) result.push_back(integer_of(o, i));
  return Shape(IntSpan(result));
}

// ---- Publishing ----

PyObject* call(const Bound& bound, PyObject* self, PyObject* const* args, Py_ssize_t count,
               PyObject* keywords) noexcept {
  return guarded([&] { return bound.body(Arguments(bound.signature, self, args, count, keywords)); });
}

namespace {

// Python keeps pointers to all of this for as long as the process lives.
PyMethodDef* new_definition(const std::string& name, const std::string& doc, FastCall function) {
  return new PyMethodDef{strdup(name.c_str()), reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(function)),
                         METH_FASTCALL | METH_KEYWORDS, strdup(doc.c_str())};
}

}  // namespace

py::object new_function(py::handle module, const std::string& name, const std::string& doc, FastCall function) {
  return owned(
      PyCFunction_NewEx(new_definition(name, doc, function), module.ptr(), py::object(module.attr("__name__")).ptr()));
}

void publish(py::module_& m, const Signature& signature, const std::string& doc, FastCall function, FastCall method) {
  if (function) {
    m.attr(signature.name.c_str()) = new_function(m, signature.name, signature.text + "\n\n" + doc, function);
    if (signature.name[0] != '_') m.attr("__all__").cast<py::list>().append(signature.name);
  }
  if (method) {
    PyMethodDef* definition = new_definition(signature.name, signature.method_text() + "\n\n" + doc, method);
    const py::object descriptor = owned(PyDescr_NewMethod(tensor_type, definition));
    py::setattr(reinterpret_cast<PyObject*>(tensor_type), signature.name.c_str(), descriptor);
  }
}

}  // namespace chainrule::python
