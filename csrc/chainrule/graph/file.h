// file.h - a graph in a file: Graph::save and Graph::load. Floor: graph.
// The file is in the safetensors format: any tool reads the weights by name. Its metadata entry "chainrule.graph" is
// JSON: the nodes with their ops by name, attributes, inputs and shapes, the module calls, the outputs. It holds no
// code. FORMAT.md beside this file is the whole of it.
//
//   Graph::save(path)   writes beside `path` and renames: an older file stays whole until the new one is. Tensors of
//                       any strides are written densely, and one that several nodes hold is written once. The same
//                       graph gives the same bytes.
//   Graph::load(path)   checks everything before it allocates a tensor: the header against the file's size, the nodes
//                       by building them again, so shapes are inferred and not believed. Any fault is one Error,
//                       "load: PATH: what arrived; the rule; a hint", and nothing is returned.
#pragma once
#include "chainrule/graph/graph.h"

namespace chainrule {

inline constexpr const char* graph_metadata_key = "chainrule.graph";
inline constexpr int graph_file_version = 1;

}  // namespace chainrule
