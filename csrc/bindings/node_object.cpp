#include "node_object.h"

#include "chainrule/autograd/node.h"
#include "module.h"

namespace chainrule::python {

namespace {

// Holds a counted reference to the node; equal when the node is the same.
class NodeObject {
 public:
  explicit NodeObject(Node* node) : node_(node) { ++node_->refs; }
  NodeObject(const NodeObject& other) : NodeObject(other.node_) {}
  NodeObject& operator=(const NodeObject&) = delete;
  ~NodeObject() { release(node_); }
  Node* node() const { return node_; }

 private:
  Node* node_;
};

py::object node_or_none(Node* node) { return node ? py::cast(NodeObject(node)) : py::none(); }

py::tuple next_functions(const NodeObject& self) {
  py::list next;
  for (const Edge& edge : self.node()->edges()) next.append(py::make_tuple(node_or_none(edge.node), edge.output()));
  return next;
}

}  // namespace

void add_node_type(py::module_& m) {
  py::class_<NodeObject>(m, "Node", R"(One operation on the tape: what made a tensor, and where its gradient goes.

>>> x = cr.tensor(2., requires_grad=True)
>>> (x * 3).grad_fn
<Node mul>)")
      .def_property_readonly(
          "name", [](const NodeObject& self) { return self.node()->name(); },
          "Name of the op; 'leaf' for the accumulator of a leaf.")
      .def_property_readonly("next_functions", next_functions,
                             "For each input (node, output number); node is None where no gradient flows.")
      .def_property_readonly(
          "variable",
          [](const NodeObject& self) { return self.node()->is_leaf() ? Tensor::share(self.node()->leaf) : Tensor(); },
          "The leaf that this accumulates into; None in other nodes, or when the leaf is gone.")
      .def_property_readonly(
          "sequence", [](const NodeObject& self) { return self.node()->sequence; },
          "Larger than that of all nodes the inputs come from; 0 for leaves.")
      .def("__eq__",
           [](const NodeObject& self, const py::object& other) {
             return py::isinstance<NodeObject>(other) && other.cast<const NodeObject&>().node() == self.node();
           })
      .def("__hash__", [](const NodeObject& self) { return std::hash<const void*>()(self.node()); })
      .def("__repr__", [](const NodeObject& self) { return "<Node " + std::string(self.node()->name()) + ">"; });
}

PyObject* wrap_node(Node* node) { return node_or_none(node).release().ptr(); }

}  // namespace chainrule::python
