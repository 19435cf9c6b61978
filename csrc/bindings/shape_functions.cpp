// shape_functions.cpp - functions and methods that rearrange: views, joining, indexing by arrays. Floor: bindings.
#include "arguments.h"
#include "chainrule/ops/functional.h"
#include "chainrule/ops/op_rules.h"
#include "module.h"
#include "op_calls.h"

namespace chainrule::python {

namespace {

constexpr Function table[] = {
    {"reshape(input: Tensor, *shape: int | Sequence[int]) -> Tensor",
     R"(The same elements in row-major order, in another shape.

Args:
    input: Any shape and dtype.
    shape: The new sizes, as ints or one sequence; one may be -1, and follows from the others.

Returns:
    A view where the strides allow it, else a copy.

Raises:
    ValueError: The number of elements would change.

Example:
    >>> cr.arange(6).reshape(2, -1)
    tensor([[0, 1, 2],
            [3, 4, 5]])
)",
     [](const Arguments& a) { return wrap(reshape(a.tensor(0), a.sizes(1))); }},

    {"view(input: Tensor, *shape: int | Sequence[int]) -> Tensor", R"(Like reshape, but never copies.

Args:
    input: Any shape and dtype.
    shape: The new sizes, as ints or one sequence; one may be -1.

Returns:
    A view.

Raises:
    ValueError: The number of elements would change, or the strides allow no such view.

Example:
    >>> cr.arange(4).view(2, 2)
    tensor([[0, 1],
            [2, 3]])
)",
     [](const Arguments& a) { return wrap(view(a.tensor(0), a.sizes(1))); }, Scope::method},

    {"transpose(input: Tensor, dim0: int, dim1: int) -> Tensor", R"(Swaps two dims, without a copy.

Args:
    input: Any shape and dtype.
    dim0: One dim.
    dim1: The other.

Returns:
    A view.

Raises:
    IndexError: There is no such dim.

Example:
    >>> cr.zeros(2, 3, 4).transpose(0, 2).shape
    (4, 3, 2)
)",
     [](const Arguments& a) { return wrap(transpose(a.tensor(0), a.integer(1), a.integer(2))); }},

    {"t(input: Tensor) -> Tensor", R"(The transpose of a matrix; vectors and scalars stay as they are.

Args:
    input: At most 2 dims.

Returns:
    A view.

Raises:
    ValueError: There are more dims.

Example:
    >>> cr.zeros(2, 3).t().shape
    (3, 2)
)",
     [](const Arguments& a) {
       const Tensor x = a.tensor(0);
       if (x.ndim() > 2)
         fail(ErrorKind::shape, "t", "x has shape " + to_string(x.shape()), "it must have at most 2 dimensions",
              "use transpose() or permute()");
       return wrap(reverse_dims(x));
     }},

    {"permute(input: Tensor, *dims: int | Sequence[int]) -> Tensor", R"(Puts the dims in another order, without a copy.

Args:
    input: Any shape and dtype.
    dims: Every dim once: dim i of the result is dims[i] of the input.

Returns:
    A view.

Raises:
    ValueError: A dim is missing or named twice.
    IndexError: There is no such dim.

Example:
    >>> cr.zeros(2, 3, 4).permute(2, 0, 1).shape
    (4, 2, 3)
)",
     [](const Arguments& a) { return wrap(permute(a.tensor(0), a.sizes(1))); }},

    {"expand(input: Tensor, *shape: int | Sequence[int]) -> Tensor", R"(Repeats dims of size 1 without a copy.

Args:
    input: Any shape and dtype.
    shape: A shape the input broadcasts to; -1 keeps a size.

Returns:
    A view; its repeated elements share memory, so it cannot be changed in place.

Raises:
    ValueError: The input does not broadcast to the shape.

Example:
    >>> cr.tensor([[1], [2]]).expand(2, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
)",
     [](const Arguments& a) { return wrap(expand(a.tensor(0), a.sizes(1))); }, Scope::method},

    {"expand_as(input: Tensor, other: Tensor) -> Tensor", R"(Repeats dims of size 1 to the shape of another tensor.

Args:
    input: Any shape and dtype.
    other: Gives the shape.

Returns:
    A view.

Raises:
    ValueError: The input does not broadcast to the shape.

Example:
    >>> cr.tensor([[1], [2]]).expand_as(cr.ones(2, 3)).shape
    (2, 3)
)",
     [](const Arguments& a) { return wrap(expand(a.tensor(0), a.tensor(1).shape())); }, Scope::method},

    {"squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor", R"(Drops dims of size 1.

Args:
    input: Any shape and dtype.
    dim: The dims to drop if their size is 1; all of them if None.

Returns:
    A view.

Raises:
    IndexError: There is no such dim.

Example:
    >>> cr.zeros(2, 1, 3).squeeze(1).shape
    (2, 3)
)",
     [](const Arguments& a) {
       if (!a.has(1)) return wrap(squeeze(a.tensor(0)));
       const Shape dims = a.integers(1);
       return wrap(squeeze(a.tensor(0), IntSpan(dims)));
     }},

    {"unsqueeze(input: Tensor, dim: int) -> Tensor", R"(Inserts a dim of size 1.

Args:
    input: Any shape and dtype.
    dim: Its place in the result.

Returns:
    A view.

Raises:
    IndexError: There is no such place.

Example:
    >>> cr.zeros(2, 3).unsqueeze(1).shape
    (2, 1, 3)
)",
     [](const Arguments& a) { return wrap(unsqueeze(a.tensor(0), a.integer(1))); }},

    {"flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor", R"(Merges neighbouring dims into one.

Args:
    input: Any shape and dtype.
    start_dim: The first of them.
    end_dim: The last of them.

Returns:
    A view where the strides allow it, else a copy; a 0-d input becomes 1-d.

Raises:
    IndexError: There is no such dim.
    ValueError: start_dim comes after end_dim.

Example:
    >>> cr.zeros(2, 3, 4).flatten(1).shape
    (2, 12)
)",
     [](const Arguments& a) { return wrap(flatten(a.tensor(0), a.integer(1, 0), a.integer(2, -1))); }},

    {"broadcast_to(input: Tensor, shape: Sequence[int]) -> Tensor", R"(Repeats dims of size 1 without a copy.

Args:
    input: Any shape and dtype.
    shape: A shape the input broadcasts to.

Returns:
    A view.

Raises:
    ValueError: The input does not broadcast to the shape.

Example:
    >>> cr.broadcast_to(cr.tensor([1, 2]), (2, 2))
    tensor([[1, 2],
            [1, 2]])
)",
     [](const Arguments& a) { return wrap(expand(a.tensor(0), a.integers(1))); }},

    {"cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor", R"(Joins tensors along an existing dim.

Args:
    tensors: At least one; equal shapes except along dim. Dtypes are promoted.
    dim: The dim to join along.

Returns:
    A new tensor.

Raises:
    ValueError: The shapes do not fit.
    IndexError: There is no such dim.

Example:
    >>> cr.cat([cr.tensor([1, 2]), cr.tensor([3])])
    tensor([1, 2, 3])
)",
     [](const Arguments& a) {
       auto tensors = a.tensors(0);
       conform_inputs(id_of<Cat>, tensors);
       if (tensors.empty()) fail(ErrorKind::value, "cat", "no tensors", "there must be at least one");
       return wrap(Tensor::call_many(Cat{a.integer(1, 0)}, tensors));
     },
     Scope::function},

    {"stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor", R"(Joins tensors of one shape along a new dim.

Args:
    tensors: At least one, all of one shape. Dtypes are promoted.
    dim: The place of the new dim.

Returns:
    A new tensor.

Raises:
    ValueError: The shapes differ.
    IndexError: There is no such place.

Example:
    >>> cr.stack([cr.tensor([1, 2]), cr.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
)",
     [](const Arguments& a) {
       auto tensors = a.tensors(0);
       conform_inputs(id_of<Cat>, tensors);
       return wrap(stack(tensors, a.integer(1, 0)));
     },
     Scope::function},

    {"gather(input: Tensor, dim: int, index: Tensor) -> Tensor",
     R"(Picks one element per position of an index along a dim.

y[i, j] = input[i, index[i, j]] for dim=1, and so on.

Args:
    input: Any shape and dtype.
    dim: The dim along which the index picks.
    index: int64 or int32, as many dims as the input, no larger in the other dims; values in [0, size).

Returns:
    The shape of the index. Elements picked several times add up their gradients.

Raises:
    IndexError: A value is out of range.
    ValueError: The shapes do not fit.
    TypeError: The index is not an integer tensor.

Example:
    >>> cr.gather(cr.tensor([[1, 2], [3, 4]]), 1, cr.tensor([[1], [0]]))
    tensor([[2],
            [3]])
)",
     [](const Arguments& a) {
       std::vector<Tensor> inputs{a.tensor(0), a.tensor(2)};
       conform_inputs(id_of<Gather>, inputs);
       return wrap(gather(inputs[0], a.integer(1), inputs[1]));
     }},

    {"nonzero(input: Tensor) -> Tensor", R"(Positions of the elements that are not 0.

Args:
    input: Any shape and dtype.

Returns:
    (count, ndim), int64, in row-major order; no gradient.

Example:
    >>> cr.nonzero(cr.tensor([0, 3, 0, 4]))
    tensor([[1],
            [3]])
)",
     [](const Arguments& a) { return wrap(nonzero(a.tensor(0))); }},
};

}  // namespace

void add_shape_functions(py::module_& m) { add_table<table>(m); }

}  // namespace chainrule::python
