// user_lines.h - which line of the user's code is running. Floor: bindings.
#pragma once
#include <string>

namespace chainrule::python {

/// "train.py:12": the innermost frame that is not chainrule's own; empty when there is none.
std::string user_line();

}  // namespace chainrule::python
