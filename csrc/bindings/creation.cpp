// creation.cpp - tensors from nothing, from data, and from random numbers. Floor: bindings.
#include "chainrule/ops/creation.h"
#include "arguments.h"
#include "chainrule/autograd/annotations.h"
#include "chainrule/core/random.h"
#include "chainrule/ops/functional.h"
#include "dtypes.h"
#include "from_python.h"
#include "module.h"
#include "scalars.h"

namespace chainrule::python {

namespace {

PyObject* finished(Tensor tensor, bool requires_grad) {
  if (requires_grad) tensor.requires_grad_(true);
  return wrap(std::move(tensor));
}

// name(*size, dtype, requires_grad)
template <Tensor (*make)(IntSpan, DType)>
PyObject* of_size(const Arguments& a) {
  return finished(make(a.sizes(0), a.dtype(1, DType::float32)), a.boolean(2, false));
}
// name_like(input, dtype, requires_grad)
template <Tensor (*make)(IntSpan, DType)>
PyObject* of_like(const Arguments& a) {
  const Tensor model = a.tensor(0);
  return finished(make(model.shape(), a.dtype(1, model.dtype())), a.boolean(2, false));
}

DType dtype_of_number(PyObject* o, Number value) {
  if (is_tensor(o)) return impl_of(o)->dtype;
  if (PyBool_Check(o)) return DType::boolean;
  return value.is_integer ? DType::int64 : DType::float32;
}

PyObject* make_full(const Arguments& a) {
  const Number value = a.number(1);
  return finished(full(a.integers(0), value, a.dtype(2, dtype_of_number(a[1], value))), a.boolean(3, false));
}

PyObject* make_arange(const Arguments& a) {
  const bool only_stop = !a.has(1);
  const Number start = only_stop ? Number(0) : a.number(0), stop = a.number(only_stop ? 0 : 1);
  const Number step = a.has(2) ? a.number(2) : Number(1);
  const bool integers = start.is_integer && stop.is_integer && step.is_integer;
  const DType dtype = a.dtype(3, integers ? DType::int64 : DType::float32);
  return finished(arange(start, stop, step, dtype), a.boolean(4, false));
}

PyObject* make_eye(const Arguments& a) {
  const auto columns = a.has(1) ? std::optional<int64_t>(a.integer(1)) : std::nullopt;
  return finished(eye(a.integer(0), columns, a.dtype(2, DType::float32)), a.boolean(3, false));
}

// randint(high, size), randint(low, high, size)
PyObject* make_randint(const Arguments& a) {
  const bool size_is_second = !a.has(2) && a.has(1) && !PyIndex_Check(a[1]);
  const bool only_high = size_is_second || !a.has(1);
  const int size = size_is_second ? 1 : 2;
  if (!a.has(size)) fail(ErrorKind::dtype, "randint", "no size", "it takes high and size, or low, high and size");
  const int64_t low = only_high ? 0 : a.integer(0), high = a.integer(only_high ? 0 : 1);
  return finished(randint(low, high, a.integers(size), a.dtype(3, DType::int64)), false);
}

PyObject* make_randint_like(const Arguments& a) {
  const Tensor model = a.tensor(0);
  const int64_t low = a.has(2) ? a.integer(1) : 0, high = a.integer(a.has(2) ? 2 : 1);
  return finished(randint(low, high, model.shape(), a.dtype(3, model.dtype())), false);
}

std::optional<DType> optional_dtype(const Arguments& a, int i) {
  return a.has(i) ? std::optional<DType>(a.dtype(i)) : std::nullopt;
}

PyObject* make_tensor(const Arguments& a) {
  Tensor made = tensor_from(a[0], optional_dtype(a, 1), "tensor");
  if (a.has(3)) set_name(made, a.text(3));
  return finished(std::move(made), a.boolean(2, false));
}

PyObject* make_as_tensor(const Arguments& a) {
  if (!is_tensor(a[0])) return wrap(tensor_from(a[0], optional_dtype(a, 1), "as_tensor"));
  const Tensor x = a.tensor(0);
  return x.dtype() == a.dtype(1, x.dtype()) ? new_reference(a[0]) : wrap(cast(x, a.dtype(1)));
}

constexpr Function table[] = {
    {"tensor(data: Any, dtype: dtype | None = None, requires_grad: bool = False, *, name: str | None = None) -> Tensor",
     R"(A new tensor with a copy of data.

Args:
    data: A number, nested lists or tuples of numbers, an array, or a tensor.
    dtype: The dtype; inferred if None: floats float32, ints int64, bools bool, arrays their own.
    requires_grad: Whether operations on it are recorded.
    name: What graphs and drawings call it.

Returns:
    A leaf of the shape of the data.

Raises:
    ValueError: Lists of one level differ in length, or a number does not fit in the dtype.
    TypeError: The data holds something that is no number, or an integer tensor is asked for gradients.

Example:
    >>> cr.tensor([[1, 2], [3, 4.5]])
    tensor([[1.0000, 2.0000],
            [3.0000, 4.5000]])
)",
     &make_tensor, Scope::function},
    {"as_tensor(data: Any, dtype: dtype | None = None) -> Tensor",
     R"(Data as a tensor: a tensor of that dtype itself, else as tensor().

Example:
    >>> x = cr.ones(2)
    >>> cr.as_tensor(x) is x
    True
)",
     &make_as_tensor, Scope::function},
    {"zeros(*size: int | Sequence[int], dtype: dtype | None = None, requires_grad: bool = False) -> Tensor", R"(Zeros.

Args:
    size: The shape, as ints or one sequence.
    dtype: float32 if None.
    requires_grad: Whether operations on it are recorded.

Raises:
    ValueError: A size is negative.
    MemoryError: There is not that much memory.

Example:
    >>> cr.zeros(2)
    tensor([0., 0.])
)",
     &of_size<zeros>, Scope::function},
    {"ones(*size: int | Sequence[int], dtype: dtype | None = None, requires_grad: bool = False) -> Tensor", R"(Ones.

Args:
    size: The shape, as ints or one sequence.
    dtype: float32 if None.
    requires_grad: Whether operations on it are recorded.

Example:
    >>> cr.ones((2,), dtype=cr.int64)
    tensor([1, 1])
)",
     &of_size<ones>, Scope::function},
    {"empty(*size: int | Sequence[int], dtype: dtype | None = None, requires_grad: bool = False) -> Tensor",
     R"(Memory that holds anything.

Args:
    size: The shape, as ints or one sequence.
    dtype: float32 if None.
    requires_grad: Whether operations on it are recorded.

Example:
    >>> cr.empty(2, 3).shape
    (2, 3)
)",
     &of_size<empty>, Scope::function},
    {"full(size: int | Sequence[int], fill_value: float, dtype: dtype | None = None, requires_grad: bool = False) -> Tensor",
     R"(One value everywhere.

Args:
    size: The shape.
    fill_value: The value.
    dtype: If None, float32 for a float, int64 for an int, bool for a bool.
    requires_grad: Whether operations on it are recorded.

Example:
    >>> cr.full((2,), 7)
    tensor([7, 7])
)",
     &make_full, Scope::function},
    {"eye(n: int, m: int | None = None, dtype: dtype | None = None, requires_grad: bool = False) -> Tensor",
     R"(Ones on the diagonal, zeros elsewhere.

Args:
    n: Rows.
    m: Columns; n if None.
    dtype: float32 if None.
    requires_grad: Whether operations on it are recorded.

Example:
    >>> cr.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
)",
     &make_eye, Scope::function},
    {"arange(start: float, end: float | None = None, step: float = 1, dtype: dtype | None = None, "
     "requires_grad: bool = False) -> Tensor",
     R"(start, start + step, ... as far as below end.

Args:
    start: The first value; with one argument, that is the end and the start is 0.
    end: Not reached.
    step: Not 0; it leads from start to end.
    dtype: If None, int64 when all three are ints, else float32.
    requires_grad: Whether operations on it are recorded.

Raises:
    ValueError: The step is 0 or leads away, or a number is not finite.

Example:
    >>> cr.arange(1, 7, 2)
    tensor([1, 3, 5])
)",
     &make_arange, Scope::function},
    {"linspace(start: float, end: float, steps: int, dtype: dtype | None = None, requires_grad: bool = False) -> Tensor",
     R"(Evenly spaced values from start to end, both included.

Args:
    start: The first value.
    end: The last value.
    steps: How many.
    dtype: float32 if None.
    requires_grad: Whether operations on it are recorded.

Example:
    >>> cr.linspace(0, 1, 3)
    tensor([0.0000, 0.5000, 1.0000])
)",
     [](const Arguments& a) {
       return finished(linspace(a.real(0), a.real(1), a.integer(2), a.dtype(3, DType::float32)), a.boolean(4, false));
     },
     Scope::function},
    {"rand(*size: int | Sequence[int], dtype: dtype | None = None, requires_grad: bool = False) -> Tensor",
     R"(Random numbers, uniform on [0, 1).

Args:
    size: The shape, as ints or one sequence.
    dtype: float32 (if None) or float64.
    requires_grad: Whether operations on it are recorded.

Example:
    >>> bool((cr.rand(100) < 1).sum() == 100)
    True
)",
     &of_size<rand>, Scope::function},
    {"randn(*size: int | Sequence[int], dtype: dtype | None = None, requires_grad: bool = False) -> Tensor",
     R"(Random numbers of the standard normal distribution.

Args:
    size: The shape, as ints or one sequence.
    dtype: float32 (if None) or float64.
    requires_grad: Whether operations on it are recorded.

Example:
    >>> cr.randn(2, 3).shape
    (2, 3)
)",
     &of_size<randn>, Scope::function},
    {"randint(low: int, high: int | Sequence[int] | None = None, size: Sequence[int] | None = None, "
     "dtype: dtype | None = None) -> Tensor",
     R"(Random integers, uniform on [low, high); randint(high, size) starts at 0.

Args:
    low: The smallest.
    high: One more than the largest.
    size: The shape.
    dtype: int64 if None.

Raises:
    ValueError: The range is empty.

Example:
    >>> cr.randint(0, 1, (3,))
    tensor([0, 0, 0])
)",
     &make_randint, Scope::function},
    {"randperm(n: int, dtype: dtype | None = None) -> Tensor", R"(0 ... n - 1 in random order.

Args:
    n: How many.
    dtype: int64 if None.

Example:
    >>> sorted(cr.randperm(3).tolist())
    [0, 1, 2]
)",
     [](const Arguments& a) { return wrap(randperm(a.integer(0), a.dtype(1, DType::int64))); }, Scope::function},
    {"zeros_like(input: Tensor, dtype: dtype | None = None, requires_grad: bool = False) -> Tensor",
     "Zeros of the shape and, unless given, dtype of a tensor.\n\nExample:\n    >>> cr.zeros_like(cr.ones(2))\n"
     "    tensor([0., 0.])\n",
     &of_like<zeros>, Scope::function},
    {"ones_like(input: Tensor, dtype: dtype | None = None, requires_grad: bool = False) -> Tensor",
     "Ones of the shape and, unless given, dtype of a tensor.\n\nExample:\n    >>> cr.ones_like(cr.zeros(2))\n"
     "    tensor([1., 1.])\n",
     &of_like<ones>, Scope::function},
    {"empty_like(input: Tensor, dtype: dtype | None = None, requires_grad: bool = False) -> Tensor",
     "Memory that holds anything, of the shape and, unless given, dtype of a tensor.\n\nExample:\n"
     "    >>> cr.empty_like(cr.zeros(2)).shape\n    (2,)\n",
     &of_like<empty>, Scope::function},
    {"rand_like(input: Tensor, dtype: dtype | None = None, requires_grad: bool = False) -> Tensor",
     "Uniform random numbers of the shape and, unless given, dtype of a tensor.\n\nExample:\n"
     "    >>> cr.rand_like(cr.zeros(2)).shape\n    (2,)\n",
     &of_like<rand>, Scope::function},
    {"randn_like(input: Tensor, dtype: dtype | None = None, requires_grad: bool = False) -> Tensor",
     "Normal random numbers of the shape and, unless given, dtype of a tensor.\n\nExample:\n"
     "    >>> cr.randn_like(cr.zeros(2)).shape\n    (2,)\n",
     &of_like<randn>, Scope::function},
    {"full_like(input: Tensor, fill_value: float, dtype: dtype | None = None, requires_grad: bool = False) -> Tensor",
     "One value everywhere, of the shape and, unless given, dtype of a tensor.\n\nExample:\n"
     "    >>> cr.full_like(cr.zeros(2), 3)\n    tensor([3., 3.])\n",
     [](const Arguments& a) {
       const Tensor model = a.tensor(0);
       return finished(full(model.shape(), a.number(1), a.dtype(2, model.dtype())), a.boolean(3, false));
     },
     Scope::function},
    {"randint_like(input: Tensor, low: int, high: int | None = None, dtype: dtype | None = None) -> Tensor",
     "Random integers on [low, high) of the shape and, unless given, dtype of a tensor; randint_like(x, high) starts at "
     "0.\n\nExample:\n    >>> cr.randint_like(cr.zeros(2), 0, 1)\n    tensor([0., 0.])\n",
     &make_randint_like, Scope::function},
    {"manual_seed(seed: int) -> None", R"(Starts the random numbers of this seed from their beginning.

Example:
    >>> cr.manual_seed(1)
    >>> first = cr.rand(2).tolist()
    >>> cr.manual_seed(1)
    >>> cr.rand(2).tolist() == first
    True
)",
     [](const Arguments& a) {
       default_generator().manual_seed(static_cast<uint64_t>(a.integer(0)));
       return py::none().release().ptr();
     },
     Scope::function},
    {"initial_seed() -> int", R"(The seed that random numbers come from: of manual_seed, or of the system.

Example:
    >>> cr.manual_seed(3)
    >>> cr.initial_seed()
    3
)",
     [](const Arguments&) { return checked(PyLong_FromUnsignedLongLong(default_generator().seed())); },
     Scope::function},
};

}  // namespace

void add_creation(py::module_& m) { add_table<table>(m); }

}  // namespace chainrule::python
