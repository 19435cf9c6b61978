// suites.h - what is measured: each suite registers its benchmarks with Google Benchmark.
#pragma once

namespace chainrule::benchmarks {

void register_elementwise();  ///< every elementwise op of the op table, forward and fused backward
void register_structured();   ///< every structured op of the op table; fails if one has no case
void register_optimizers();   ///< a step of each over the parameters of a few models
void register_gemm();
void register_engine();
void register_core();         ///< allocator and thread pool

}  // namespace chainrule::benchmarks
