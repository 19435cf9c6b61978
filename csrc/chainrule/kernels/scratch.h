// scratch.h - one fixed buffer per thread where kernels pack operands: they never allocate. Floor: kernels.
// Shared by all instruction sets; a kernel owns it only until it returns, and calls no other kernel
// meanwhile.
#pragma once
#include <cstdint>

namespace chainrule {

inline constexpr int64_t scratch_bytes = 192 * 1024;  ///< stays in the second level cache

/// `scratch_bytes` bytes of this thread, aligned to 64.
void* kernel_scratch();

}  // namespace chainrule
