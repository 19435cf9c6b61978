// dlpack.cpp - tensors to and from other libraries without a copy, by the DLPack protocol. Floor: bindings.
// The structures are the ABI of DLPack 1.0 (dmlc.github.io/dlpack, "C API"); a capsule is consumed at most once, and
// whoever consumed it calls the deleter.
#include <memory>

#include "arguments.h"
#include "chainrule/autograd/op_row.h"
#include "interop.h"
#include "module.h"

namespace chainrule::python {

namespace {

struct DLDevice {
  int32_t device_type, device_id;
};
struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null means dense
  uint64_t byte_offset;
};
struct Managed {  // DLManagedTensor
  static constexpr const char* name = "dltensor";
  static constexpr const char* used_name = "used_dltensor";
  DLTensor tensor;
  void* context;
  void (*deleter)(Managed*);
};
struct ManagedVersioned {  // DLManagedTensorVersioned
  static constexpr const char* name = "dltensor_versioned";
  static constexpr const char* used_name = "used_dltensor_versioned";
  uint32_t major, minor;
  void* context;
  void (*deleter)(ManagedVersioned*);
  uint64_t flags;
  DLTensor tensor;
};
constexpr uint64_t flag_read_only = 1, flag_copied = 2;
constexpr int32_t cpu = 1;
enum TypeCode : uint8_t { code_int = 0, code_float = 2, code_bool = 6 };

DLDataType data_type(DType dtype) {
  const uint8_t code = is_floating(dtype) ? code_float : dtype == DType::boolean ? code_bool : code_int;
  return {code, static_cast<uint8_t>(8 * size_of(dtype)), 1};
}

DType dtype_of(DLDataType type) {
  for (DType dtype : all_dtypes) {
    const DLDataType own = data_type(dtype);
    if (own.code == type.code && own.bits == type.bits && type.lanes == 1) return dtype;
  }
  fail(ErrorKind::dtype, "from_dlpack",
       "elements of type code " + std::to_string(type.code) + " with " + std::to_string(type.bits) + " bits",
       "supported are float32, float64, int64, int32 and bool");
}

// ---- Out ----

template <class M>
struct Exported {
  M managed{};
  Tensor tensor;
  Shape shape, strides;
};

template <class M>
void destroy_unused(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, M::name)) return;  // consumed: its new owner frees it
  auto* managed = static_cast<M*>(PyCapsule_GetPointer(capsule, M::name));
  managed->deleter(managed);
}

template <class M>
PyObject* new_capsule(Tensor tensor, bool copied) {
  auto exported = std::make_unique<Exported<M>>();
  exported->shape = Shape(tensor.shape());
  exported->strides = Shape(tensor.strides());
  exported->managed.tensor = {tensor.data(),
                              {cpu, 0},
                              tensor.ndim(),
                              data_type(tensor.dtype()),
                              exported->shape.begin(),
                              exported->strides.begin(),
                              0};
  exported->tensor = std::move(tensor);
  exported->managed.context = exported.get();
  exported->managed.deleter = [](M* managed) { with_gil([&] { delete static_cast<Exported<M>*>(managed->context); }); };
  if constexpr (requires { M::major; }) {
    exported->managed.major = 1;
    exported->managed.flags = copied ? flag_copied : 0;
  }
  PyObject* capsule = checked(PyCapsule_New(&exported->managed, M::name, destroy_unused<M>));
  exported.release();
  return capsule;
}

// __dlpack__(*, stream=None, max_version=None, dl_device=None, copy=None)
PyObject* to_dlpack(const Arguments& arguments) {
  Tensor x = arguments.tensor(0);
  require_exportable(x, "__dlpack__");
  if (arguments.has(1))
    fail(ErrorKind::value, "__dlpack__", "a stream", "tensors on the CPU have none", "pass stream=None");
  if (arguments.has(3) && arguments.integers(3)[0] != cpu)
    fail(ErrorKind::value, "__dlpack__", "device type " + std::to_string(arguments.integers(3)[0]),
         "chainrule's tensors are on the CPU (type 1)");
  const bool copy = arguments.boolean(4, false);
  if (copy) x = installed().contiguous_copy(x);
  const bool versioned = arguments.has(2) && arguments.integers(2)[0] >= 1;
  return versioned ? new_capsule<ManagedVersioned>(std::move(x), copy) : new_capsule<Managed>(std::move(x), copy);
}

PyObject* dlpack_device(const Arguments&) { return checked(Py_BuildValue("(ii)", cpu, 0)); }

// ---- In ----

template <class M>
Tensor take_capsule(PyObject* capsule) {
  auto* managed = static_cast<M*>(PyCapsule_GetPointer(capsule, M::name));
  if (!managed) throw py::error_already_set();
  const DLTensor& source = managed->tensor;
  if (source.device.device_type != cpu)
    fail(ErrorKind::value, "from_dlpack", "device type " + std::to_string(source.device.device_type),
         "only memory of the CPU (type 1) can be shared");
  if constexpr (requires { M::major; }) {
    if (managed->major != 1)
      fail(ErrorKind::value, "from_dlpack", "DLPack version " + std::to_string(managed->major),
           "version 1 is understood");
    if (managed->flags & flag_read_only)
      fail(ErrorKind::value, "from_dlpack", "read-only memory", "shared memory must be writable", "pass a copy");
  }
  const Shape shape(IntSpan(source.shape, static_cast<size_t>(source.ndim)));
  const Shape strides =
      source.strides ? Shape(IntSpan(source.strides, static_cast<size_t>(source.ndim))) : contiguous_strides(shape);
  const DType dtype = dtype_of(source.dtype);
  checked_numel(shape, size_of(dtype), "from_dlpack");
  if (std::ranges::any_of(strides, [](int64_t stride) { return stride < 0; }))
    fail(ErrorKind::value, "from_dlpack", "negative strides", "they cannot be shared", "pass a copy");
  auto give_back = [](void* owner) {
    with_gil([&] {
      auto* consumed = static_cast<M*>(owner);
      if (consumed->deleter) consumed->deleter(consumed);
    });
  };
  Tensor result =
      Tensor::wrap(dtype, shape, strides, static_cast<char*>(source.data) + source.byte_offset, give_back, managed);
  PyCapsule_SetName(capsule, M::used_name);
  return result;
}

py::object capsule_of(PyObject* source) {
  if (PyCapsule_CheckExact(source)) return py::reinterpret_borrow<py::object>(source);
  const py::handle producer(source);
  if (!py::hasattr(producer, "__dlpack__"))
    fail(ErrorKind::dtype, "from_dlpack", "a " + type_name(source), "it must have __dlpack__()",
         "use tensor() for Python data");
  try {
    return producer.attr("__dlpack__")(py::arg("max_version") = py::make_tuple(1, 0));
  } catch (const py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError)) throw;  // a producer from before versions knows no such argument
    return producer.attr("__dlpack__")();
  }
}

PyObject* from_dlpack(const Arguments& arguments) {
  const py::object capsule = capsule_of(arguments[0]);
  if (PyCapsule_IsValid(capsule.ptr(), ManagedVersioned::name))
    return wrap(take_capsule<ManagedVersioned>(capsule.ptr()));
  if (PyCapsule_IsValid(capsule.ptr(), Managed::name)) return wrap(take_capsule<Managed>(capsule.ptr()));
  fail(ErrorKind::value, "from_dlpack", "a capsule that was taken already, or is none of DLPack",
       "a DLPack capsule is consumed once");
}

constexpr Function functions[] = {
    {"__dlpack__(input: Tensor, *, stream: None = None, max_version: tuple[int, int] | None = None, "
     "dl_device: tuple[int, int] | None = None, copy: bool | None = None) -> Any",
     R"(A DLPack capsule on the tensor's memory, for other libraries' from_dlpack().

Raises:
    RuntimeError: The tensor requires gradients; detach() it first.

>>> import numpy as np
>>> np.from_dlpack(cr.ones(2))
array([1., 1.], dtype=float32))",
     to_dlpack, Scope::method},
    {"__dlpack_device__(input: Tensor) -> tuple[int, int]", R"(DLPack's name of the CPU.

>>> cr.ones(2).__dlpack_device__()
(1, 0))",
     dlpack_device, Scope::method},
    {"from_dlpack(source: Any) -> Tensor", R"(A tensor on the memory of another library's array.

Args:
    source: An object with __dlpack__(), on the CPU; float32, float64, int64, int32 or bool; or its capsule.

Raises:
    TypeError: No __dlpack__(), or another dtype.
    ValueError: Memory on another device, read-only, or a capsule that was consumed.

>>> import numpy as np
>>> cr.from_dlpack(np.arange(3))
tensor([0, 1, 2]))",
     from_dlpack, Scope::function},
};

}  // namespace

void add_dlpack(py::module_& m) { add_table<functions>(m); }

}  // namespace chainrule::python
