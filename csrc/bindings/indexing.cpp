// indexing.cpp - x[...] and x[...] = y, length and iteration. Floor: bindings.
// Basic indices (ints, slices, None, Ellipsis) become views, one op each. Integer arrays and masks become one index op,
// placed as NumPy places it: where the arrays stand if they are neighbours, else in front.
#include <array>
#include <limits>
#include <vector>

#include "chainrule/autograd/in_place.h"
#include "chainrule/core/error.h"
#include "chainrule/ops/creation.h"
#include "chainrule/ops/functional.h"
#include "chainrule/ops/op_rules.h"
#include "from_python.h"
#include "interop.h"
#include "module.h"
#include "scalars.h"

namespace chainrule::python {

namespace {

constexpr std::string_view op_name = "index";

enum class Kind { integer, slice, newaxis, ellipsis, array, mask };

struct Item {
  Kind kind;
  int64_t value = 0;  // integer
  int64_t start = 0, stop = 0, step = 1;
  Tensor tensor;  // array: int64; mask: bool
  int dims() const {
    return kind == Kind::newaxis || kind == Kind::ellipsis ? 0 : kind == Kind::mask ? tensor.ndim() : 1;
  }
};

Item slice_item(PyObject* o) {
  PyObject* step = reinterpret_cast<PySliceObject*>(o)->step;
  Item item{.kind = Kind::slice, .tensor = {}};
  if (step != Py_None) {
    item.step = int64_from(step, "slice");
    if (item.step < 1)
      fail(ErrorKind::value, "slice", "step " + std::to_string(item.step), "the step must be positive");
  }
  // As PySlice_Unpack does, but for sizes that are not known yet.
  const auto bound = [](PyObject* at, int64_t otherwise) {
    if (at == Py_None) return otherwise;
    if (!PyLong_Check(at)) return int64_from(at, "slice");
    const Py_ssize_t clipped = PyNumber_AsSsize_t(at, nullptr);
    if (clipped == -1 && PyErr_Occurred()) throw py::error_already_set();
    return static_cast<int64_t>(clipped);
  };
  item.start = bound(reinterpret_cast<PySliceObject*>(o)->start, 0);
  item.stop = bound(reinterpret_cast<PySliceObject*>(o)->stop, PY_SSIZE_T_MAX);
  return item;
}

// A 0-d integer tensor is an int; a bool one a mask; other integers are arrays.
Item tensor_item(Tensor tensor) {
  if (is_floating(tensor.dtype()))
    fail(ErrorKind::dtype, op_name, std::string("an index of dtype ") + name_of(tensor.dtype()),
         "indices are integers or bools", "convert it with .long()");
  if (tensor.dtype() == DType::boolean) return {.kind = Kind::mask, .tensor = std::move(tensor)};
  if (tensor.ndim() == 0) return {.kind = Kind::integer, .value = tensor.item_integer(), .tensor = {}};
  return {.kind = Kind::array, .tensor = cast(tensor, DType::int64)};
}

Item sequence_item(PyObject* o) {
  Tensor tensor = tensor_from(o, std::nullopt, op_name);
  return tensor_item(tensor.numel() == 0 && !has_buffer(o) ? Tensor::empty(DType::int64, tensor.shape()) : tensor);
}

bool has_length(PyObject* o) {
  return !PyUnicode_Check(o) && !PyBytes_Check(o) && !PyDict_Check(o) && PySequence_Check(o);
}

Item item_from(PyObject* o) {
  if (o == Py_None) return {.kind = Kind::newaxis, .tensor = {}};
  if (o == Py_Ellipsis) return {.kind = Kind::ellipsis, .tensor = {}};
  if (PyBool_Check(o)) return tensor_item(Tensor::full(DType::boolean, {}, o == Py_True ? 1 : 0));
  if (PyLong_Check(o)) return {.kind = Kind::integer, .value = int64_from(o, op_name), .tensor = {}};
  if (PySlice_Check(o)) return slice_item(o);
  if (is_tensor(o)) return tensor_item(share(o));
  if (PyList_Check(o) || PyTuple_Check(o) || (has_buffer(o) && has_length(o)) || PyRange_Check(o))
    return sequence_item(o);
  if (PyIndex_Check(o)) return {.kind = Kind::integer, .value = int64_from(o, op_name), .tensor = {}};
  fail(ErrorKind::dtype, op_name, "a " + type_name(o), "an index is an int, a slice, None, ..., or integers or bools");
}

// The items of an index, the ellipsis spelled out as whole slices.
std::vector<Item> items_from(PyObject* key, const Tensor& x) {
  std::vector<Item> items;
  if (PyTuple_Check(key))
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(key); ++i) items.push_back(item_from(PyTuple_GET_ITEM(key, i)));
  else items.push_back(item_from(key));
  int used = 0, ellipses = 0;
  for (const Item& item : items) {
    used += item.dims();
    ellipses += item.kind == Kind::ellipsis;
  }
  if (ellipses > 1) fail(ErrorKind::index, op_name, "several ...", "there may be one");
  if (used > x.ndim())
    fail(ErrorKind::index, op_name, std::to_string(used) + " indices for a tensor of shape " + to_string(x.shape()),
         "there are " + std::to_string(x.ndim()) + " dimensions");
  return items;
}

// ---- Integer arrays and masks ----

struct Arrays {
  std::vector<Tensor> tensors;
  std::vector<int> dims;  // of the tensor as it is after the basic indices
  bool separated = false;  // something stands between them
};

// The positions of a mask's true elements, one array for each of its dims.
void add_mask(Arrays& arrays, const Tensor& mask, const Tensor& x, int dim) {
  for (int d = 0; d < mask.ndim(); ++d)
    if (mask.size(d) != x.size(dim + d))
      fail(ErrorKind::index, op_name,
           "a mask of shape " + to_string(mask.shape()) + " for a tensor of shape " + to_string(x.shape()),
           "the sizes must be equal");
  const Tensor positions = nonzero(mask);
  if (mask.is_unrecorded()) positions->storage->unrecorded_op = mask->storage->unrecorded_op;
  for (int d = 0; d < mask.ndim(); ++d) {
    arrays.tensors.push_back(select(positions, 1, d));
    arrays.dims.push_back(dim + d);
  }
}

Tensor take(const Tensor& x, const Arrays& arrays) {
  if (!arrays.separated) return index(x, arrays.tensors, arrays.dims[0]);
  Shape order;
  for (int dim : arrays.dims) order.push_back(dim);
  for (int d = 0; d < x.ndim(); ++d)
    if (!order.contains(d)) order.push_back(d);
  return index(permute(x, order), arrays.tensors);
}

Tensor read(const Tensor& x, const std::vector<Item>& items) {
  bool any_array = false;
  int used = 0;
  for (const Item& item : items) {
    any_array |= item.kind == Kind::array || item.kind == Kind::mask;
    used += item.dims();
  }
  Tensor result = x;
  Arrays arrays;
  int dim = 0;
  bool gap = false;  // since the last array
  for (const Item& item : items) {
    const bool is_array =
        item.kind == Kind::array || item.kind == Kind::mask || (any_array && item.kind == Kind::integer);
    arrays.separated |= is_array && gap && !arrays.tensors.empty();
    gap = !is_array && !arrays.tensors.empty();
    switch (item.kind) {
      case Kind::integer:
        if (!any_array) {
          result = select(result, dim, item.value);
          break;
        }
        arrays.tensors.push_back(Tensor::full(DType::int64, {}, item.value));
        arrays.dims.push_back(dim++);
        break;
      case Kind::slice:
        if (item.start != 0 || item.stop < result.size(dim) || item.step != 1)
          result = slice(result, dim, item.start, item.stop, item.step);
        ++dim;
        break;
      case Kind::newaxis: result = unsqueeze(result, dim++); break;
      case Kind::ellipsis: dim += x.ndim() - used; break;
      case Kind::array:
        arrays.tensors.push_back(item.tensor);
        arrays.dims.push_back(dim++);
        break;
      case Kind::mask:
        if (item.tensor.ndim() == 0) {  // True keeps all, False nothing: a new dim of size 1 or 0
          result = slice(unsqueeze(result, dim), dim, 0, item.tensor.item() != 0 ? 1 : 0);
          ++dim;
          break;
        }
        add_mask(arrays, item.tensor, result, dim);
        dim += item.tensor.ndim();
        break;
    }
  }
  if (!arrays.tensors.empty()) return take(result, arrays);
  return result.get() == x.get() ? reshape(x, x.shape()) : result;
}

// ---- Assignment ----

bool selects_by_array(const std::vector<Item>& items) {
  for (const Item& item : items)
    if (item.kind == Kind::array || item.kind == Kind::mask) return true;
  return false;
}

void check_fits(const Tensor& value, const Tensor& part) {
  const auto refuse = [&] {
    fail(ErrorKind::shape, "setitem",
         "a value of shape " + to_string(value.shape()) + " for elements of shape " + to_string(part.shape()),
         "the value must broadcast to the shape of the elements");
  };
  const int lead = part.ndim() - value.ndim();
  for (int d = 0; d < value.ndim(); ++d) {
    const bool fits = d + lead < 0 ? value.size(d) == 1 : value.size(d) == 1 || value.size(d) == part.size(d + lead);
    if (!fits) refuse();
  }
}

void check_recordable(const Tensor& x, const Tensor& value) {
  if (!grad_enabled()) return;
  if (x.requires_grad() && x.is_leaf())
    fail(ErrorKind::graph, "setitem", "a leaf that requires gradients",
         "a leaf cannot change while gradients are recorded", "use `with no_grad():`");
  if (x.requires_grad() || value.requires_grad())
    fail(ErrorKind::graph, "setitem", "a change of part of a tensor whose history is recorded",
         "its history could no longer describe its value", "build it with where(), cat() or stack(), or detach()");
}

// Through a mask of places: what was chosen is found by indexing the row-major numbers of all elements.
void assign_by_array(const Tensor& x, const std::vector<Item>& items, const Tensor& value) {
  const Tensor places = contiguous(read(reshape(arange(0, x.numel(), 1, DType::int64), x.shape()), items));
  check_fits(value, places);
  const Tensor values = installed().contiguous_copy(expand(cast(value, x.dtype()), places.shape()));
  Tensor changed = installed().contiguous_copy(x);
  const int64_t bytes = size_of(x.dtype());
  const int64_t* place = places.data<int64_t>();
  for (int64_t i = 0; i < places.numel(); ++i)
    std::copy_n(values.data<char>() + i * bytes, bytes, changed.data<char>() + place[i] * bytes);
  copy_in_place(x, changed, "setitem");
}

void assign(PyObject* self, PyObject* key, PyObject* value) {
  if (!value) fail(ErrorKind::dtype, "delitem", "a deletion", "elements of a tensor cannot be deleted");
  const Tensor x = share(self);
  const std::vector<Item> items = items_from(key, x);
  Tensor source;
  if (is_tensor(value)) source = share(value);
  else if (const auto scalar = scalar_from(value, "setitem")) source = constant_beside(x, *scalar);
  else source = tensor_from(value, std::nullopt, "setitem");
  check_recordable(x, source);
  // Note [Unrecorded results]: copy_in_place would do this, but runs without recording.
  if (grad_enabled() && source.is_unrecorded()) x->storage->unrecorded_op = source.unrecorded_op();
  for (const Item& item : items)
    if (grad_enabled() && item.tensor && item.tensor.is_unrecorded())
      x->storage->unrecorded_op = item.tensor.unrecorded_op();
  const GradMode unrecorded(false);
  if (selects_by_array(items)) return assign_by_array(x, items, source);
  const Tensor part = read(x, items);
  check_fits(source, part);
  while (source.ndim() > part.ndim()) source = select(source, 0, 0);
  copy_in_place(part, source, "setitem");
}

// ---- Slots ----

PyObject* subscript(PyObject* self, PyObject* key) {
  return guarded([&] {
    const Borrowed x(self);
    if (PyLong_CheckExact(key)) return wrap(select(*x, 0, int64_from(key, op_name)));
    return wrap(read(*x, items_from(key, *x)));
  });
}

int assign_subscript(PyObject* self, PyObject* key, PyObject* value) {
  return guarded(-1, [&] {
    assign(self, key, value);
    return 0;
  });
}

void require_dims(const Tensor& x, const char* op) {
  if (x.ndim() == 0) fail(ErrorKind::dtype, op, "a 0-d tensor", "it has no length and no rows", "use item()");
  if (!is_known(x.size(0)))
    fail(ErrorKind::graph, op, "a tensor of shape " + to_string(x.shape()),
         "its length is not known before the graph runs", "use shape[0], which may stand for a size");
}

Py_ssize_t length(PyObject* self) {
  return guarded(Py_ssize_t{-1}, [&] {
    const Borrowed x(self);
    require_dims(*x, "len");
    return Py_ssize_t{x->size(0)};
  });
}

// What iteration calls until it fails with IndexError.
PyObject* row(PyObject* self, Py_ssize_t i) {
  const Borrowed x(self);
  if (x->ndim() > 0 && (i < 0 || i >= x->size(0))) {
    PyErr_SetString(PyExc_IndexError, "index: there is no such row; iteration ends here");
    return nullptr;
  }
  return guarded([&] { return wrap(select(*x, 0, i)); });
}

PyObject* iterate(PyObject* self) {
  return guarded([&] {
    require_dims(*Borrowed(self), "iter");
    return checked(PySeqIter_New(self));
  });
}

int contains(PyObject* self, PyObject* value) {
  return guarded(-1, [&] {
    const Tensor x = share(self);
    Tensor other;
    if (is_tensor(value)) other = share(value);
    else if (const auto scalar = scalar_from(value, "in")) other = constant_beside(x, *scalar);
    else fail(ErrorKind::dtype, "in", "a " + type_name(value), "it must be a Tensor or a number");
    const GradMode unrecorded(false);
    return static_cast<int>(nonzero(equal(x, other)).numel() > 0 || (x.ndim() == 0 && equal(x, other).item() != 0));
  });
}

template <class F>
void* slot(F* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

std::span<const PyType_Slot> indexing_slots() {
  static const PyType_Slot slots[] = {
      {Py_mp_subscript, slot(subscript)},
      {Py_mp_ass_subscript, slot(assign_subscript)},
      {Py_mp_length, slot(length)},
      {Py_sq_length, slot(length)},
      {Py_sq_item, slot(row)},
      {Py_sq_contains, slot(contains)},
      {Py_tp_iter, slot(iterate)},
  };
  return slots;
}

}  // namespace chainrule::python
