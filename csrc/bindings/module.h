// module.h - what each file of the bindings adds to the module. Floor: bindings.
#pragma once
#include <pybind11/pybind11.h>

#include <span>

namespace chainrule::python {

// ---- Slots of the type Tensor ----
std::span<const PyType_Slot> number_slots();    ///< number_slots.cpp: arithmetic, comparison, conversion
std::span<const PyType_Slot> indexing_slots();  ///< indexing.cpp: x[...], len, iteration, in
std::span<const PyType_Slot> interop_slots();   ///< interop.cpp: the buffer protocol
std::span<const PyType_Slot> property_slots();  ///< tensor_properties.cpp: properties, repr

// ---- Functions, classes and methods ----
void add_dtypes(pybind11::module_& m);          ///< dtypes.cpp
void add_ops(pybind11::module_& m);             ///< op_calls.cpp
void add_shape_functions(pybind11::module_& m); ///< shape_functions.cpp
void add_split_functions(pybind11::module_& m); ///< split_functions.cpp
void add_functions(pybind11::module_& m);       ///< functions.cpp
void add_tensor_methods(pybind11::module_& m);  ///< tensor_methods.cpp
void add_in_place_methods(pybind11::module_& m);  ///< in_place_methods.cpp
void add_creation(pybind11::module_& m);        ///< creation.cpp
void add_interop(pybind11::module_& m);         ///< interop.cpp
void add_dlpack(pybind11::module_& m);          ///< dlpack.cpp
void add_forward_caller(pybind11::module_& m);  ///< forward_caller.cpp: the base of nn.Module
void add_graph(pybind11::module_& m);           ///< graph_object.cpp
void add_autograd(pybind11::module_& m);        ///< autograd.cpp
void add_system(pybind11::module_& m);          ///< system.cpp

}  // namespace chainrule::python
