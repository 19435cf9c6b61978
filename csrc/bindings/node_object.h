// node_object.h - grad_fn: a node of the tape as a Python object. Floor: bindings.
#pragma once
#include "chainrule/autograd/node.h"
#include "tensor_type.h"

namespace chainrule::python {

/// A new reference to an object for the node, None without one. Objects of one node are equal.
PyObject* wrap_node(Node* node);
void add_node_type(py::module_& m);

}  // namespace chainrule::python
