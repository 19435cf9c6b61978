// split_functions.cpp - functions and methods that cut a tensor: split, chunk, tril. Floor: bindings.
#include "arguments.h"
#include "chainrule/ops/functional.h"
#include "chainrule/ops/op_rules.h"
#include "module.h"

namespace chainrule::python {

namespace {

int dim_of(const Arguments& a, const Tensor& x, int i) {
  if (x.ndim() == 0) fail(ErrorKind::shape, a.op(), "a 0-d tensor", "it has no dimension to cut along");
  return normalize_dim(a.integer(i, 0), x.ndim(), a.op());
}

/// Views of x along dim, of these sizes.
PyObject* pieces(const Tensor& x, int dim, const std::vector<int64_t>& sizes) {
  py::tuple result(sizes.size());
  int64_t start = 0;
  for (size_t k = 0; k < sizes.size(); ++k) {
    result[k] = owned(wrap(Tensor::call(Slice{dim, start, start + sizes[k], 1}, x)));
    start += sizes[k];
  }
  return result.release().ptr();
}

/// Pieces of one size, the last one smaller if need be; one empty piece of an empty dim.
PyObject* pieces_of(const Tensor& x, int dim, int64_t size) {
  if (!is_known(x.size(dim)) && is_known(size))
    fail(ErrorKind::graph, "split", "pieces of " + std::to_string(size) + " of a dim of size " + size_text(x.size(dim)),
         "N, and so the number of pieces, is not known before the graph runs");
  std::vector<int64_t> sizes;
  int64_t left = x.size(dim);
  for (; left > size; left -= size) sizes.push_back(size);
  sizes.push_back(left);
  return pieces(x, dim, sizes);
}

PyObject* split(const Arguments& a) {
  const Tensor x = a.tensor(0);
  const int dim = dim_of(a, x, 2);
  if (PyIndex_Check(a[1]) && !is_tensor(a[1])) {
    const int64_t size = a.integer(1);
    if (size < 0 || (size == 0 && x.size(dim) != 0))
      fail(ErrorKind::value, a.op(), "split size " + std::to_string(size), "it must be positive");
    return pieces_of(x, dim, size);
  }
  const std::vector<int64_t> sections = a.integer_list(1);
  int64_t sum = 0;
  bool whole = true;
  bool negative = false;
  for (int64_t size : sections) {
    negative |= size < 0;
    whole &= size >= 0 && !__builtin_add_overflow(sum, size, &sum);
  }
  if (negative) fail(ErrorKind::value, a.op(), "sections " + to_string(sections), "none may be negative");
  if (!whole || sum != x.size(dim))
    fail(ErrorKind::value, a.op(),
         "sections " + to_string(sections) + " of dim " + std::to_string(dim) + " of size " +
             std::to_string(x.size(dim)),
         "they must add up to that size (" + std::to_string(sum) + " != " + std::to_string(x.size(dim)) + ")");
  return pieces(x, dim, sections);
}

PyObject* chunk(const Arguments& a) {
  const Tensor x = a.tensor(0);
  const int dim = dim_of(a, x, 2);
  const int64_t chunks = a.integer(1);
  if (chunks < 1) fail(ErrorKind::value, a.op(), std::to_string(chunks) + " chunks", "there must be at least one");
  const int64_t size = x.size(dim) / chunks + (x.size(dim) % chunks != 0);
  if (size == 0) return pieces(x, dim, std::vector<int64_t>(static_cast<size_t>(chunks), 0));
  return pieces_of(x, dim, size);
}

constexpr Function table[] = {
    {"split(input: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]",
     R"(Cuts a tensor into pieces along a dim, without a copy.

Args:
    input: Any shape and dtype.
    split_size_or_sections: The size of a piece, the last one smaller if need be; or the sizes of all pieces.
    dim: The dim to cut along.

Returns:
    Views.

Raises:
    ValueError: The size is not positive, or the sizes do not add up to that of the dim.
    IndexError: There is no such dim.

Example:
    >>> cr.arange(5).split(2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    >>> cr.split(cr.arange(5), [1, 4])
    (tensor([0]), tensor([1, 2, 3, 4]))
)",
     &split},

    {"chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]",
     R"(Cuts a tensor into a number of pieces along a dim, without a copy.

Args:
    input: Any shape and dtype.
    chunks: How many pieces. There may be fewer: all but the last have the same size, rounded up.
    dim: The dim to cut along.

Returns:
    Views.

Raises:
    ValueError: chunks is not positive.
    IndexError: There is no such dim.

Example:
    >>> cr.arange(6).chunk(3)
    (tensor([0, 1]), tensor([2, 3]), tensor([4, 5]))
)",
     &chunk},

    {"tril(input: Tensor, diagonal: int = 0) -> Tensor",
     R"(The lower triangle of the last two dims; the elements above it become 0.

Args:
    input: (..., rows, columns), any dtype.
    diagonal: How many diagonals above the main one stay; if negative, how many go that are below it.

Returns:
    The shape of the input.

Raises:
    ValueError: There are fewer than 2 dims.

Example:
    >>> cr.tril(cr.ones(2, 3))
    tensor([[1., 0., 0.],
            [1., 1., 0.]])
)",
     [](const Arguments& a) { return wrap(Tensor::call(Tril{a.integer(1, 0)}, a.tensor(0))); }},
};

}  // namespace

void add_split_functions(py::module_& m) { add_table<table>(m); }

}  // namespace chainrule::python
