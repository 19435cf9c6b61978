// openblas.h - products that an optional OpenBLAS makes: the classes of shapes in which it is ahead of our kernels.
// Floor: ops. Built with -DCHAINRULE_OPENBLAS=ON; without it there is no such product.
#pragma once
#include "chainrule/kernels/kernel_table.h"

namespace chainrule {

/// The kernel of OpenBLAS where its products of this shape are faster, else null. Depends on the sizes and steps alone,
/// so results do not depend on the number of threads; that an element's bits depend on k alone does not hold here.
GemmKernel openblas_kernel_for(const GemmArguments& g, DType dtype);

}  // namespace chainrule
