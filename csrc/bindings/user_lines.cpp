#include "user_lines.h"

#include "tensor_type.h"

namespace chainrule::python {

namespace {

// Where the package's own files are: nothing in there is the user's line.
const std::string& package_folder() {
  static const std::string folder = [] {
    std::string file = py::module_::import("chainrule").attr("__file__").cast<std::string>();
    return file.substr(0, file.rfind('/') + 1);
  }();
  return folder;
}

}  // namespace

std::string user_line() {
  PyFrameObject* running = PyEval_GetFrame();
  py::object frame = py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(running));
  while (frame) {
    auto* at = reinterpret_cast<PyFrameObject*>(frame.ptr());
    const py::object code = owned(reinterpret_cast<PyObject*>(PyFrame_GetCode(at)));
    const std::string file = code.attr("co_filename").cast<std::string>();
    if (!file.starts_with(package_folder()) && !file.starts_with("<frozen"))  // python -m has lines of its own
      return file.substr(file.rfind('/') + 1) + ":" + std::to_string(PyFrame_GetLineNumber(at));
    frame = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(PyFrame_GetBack(at)));
  }
  return "";
}

}  // namespace chainrule::python
