// module.cpp - table of contents of chainrule._C. Floor: bindings.
#include "module.h"
#include "chainrule/ops/op_table.h"
#include "tensor_type.h"

PYBIND11_MODULE(_C, m) {
  using namespace chainrule::python;
  m.doc() = "The compiled half of chainrule: tensors, ops, the tape. Import chainrule instead.";
  m.attr("__version__") = CHAINRULE_VERSION;
  m.attr("__all__") = pybind11::list();
  add_dtypes(m);
  create_tensor_type(m);
  add_ops(m);
  add_shape_functions(m);
  add_split_functions(m);
  add_functions(m);
  add_tensor_methods(m);
  add_in_place_methods(m);
  add_creation(m);
  add_interop(m);
  add_dlpack(m);
  add_autograd(m);
  add_graph(m);
  add_forward_caller(m);
  add_system(m);
}
