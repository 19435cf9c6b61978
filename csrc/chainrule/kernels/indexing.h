// indexing.h - moving elements by tables of integers. Floor: kernels. Compiled once, not per level: memory
// decides. Steps and strides count elements, never bytes. Only gather checks its indices: whoever scatters
// has gathered, or has checked by itself.
#pragma once
#include <cstdint>

#include "chainrule/core/dtype.h"
#include "chainrule/core/shape.h"

namespace chainrule {

/// The flat position of the first index outside [0, size), or -1.
int64_t first_outside(const int64_t* index, int64_t count, int64_t size);

/// y[p] = x[p with p[dim] replaced by index[p]] for every position p of `shape`; y and index are dense.
/// Checks first: returns the flat position of the first index outside [0, x_size), having written nothing, or
/// -1.
int64_t gather(void* y, const void* x, IntSpan x_strides, int64_t x_size, const int64_t* index, IntSpan shape, int dim,
               int64_t element_size);

/// The adjoint: y[p with p[dim] replaced by index[p]] += x[p], positions ascending; x and index are dense.
/// Checks and returns like gather.
int64_t scatter_add(void* y, IntSpan y_strides, int64_t y_size, const void* x, const int64_t* index, IntSpan shape,
                    int dim, DType dtype);

/// y[r * length + j] = x[offsets[r] + j] for r < rows, j < length.
void take_rows(void* y, const void* x, const int64_t* offsets, int64_t rows, int64_t length, int64_t element_size);

/// The adjoint: y[offsets[r] + j] += x[r * length + j], r ascending.
void add_rows(void* y, const void* x, const int64_t* offsets, int64_t rows, int64_t length, DType dtype);

}  // namespace chainrule
