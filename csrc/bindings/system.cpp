// system.cpp - threads, instruction sets, counters. Floor: bindings.
#include "arguments.h"
#include "chainrule/autograd/elementwise.h"
#include "chainrule/core/allocator.h"
#include "chainrule/core/thread_pool.h"
#include "module.h"

namespace chainrule::python {

namespace {

std::string isa_name(int level) { return "x86-64-v" + std::to_string(level); }

PyObject* set_threads(const Arguments& a) {
  const int64_t n = a.integer(0);
  set_num_threads(static_cast<int>(std::clamp<int64_t>(n, -1, 1 << 20)));
  Py_RETURN_NONE;
}
PyObject* get_threads(const Arguments&) { return PyLong_FromLong(num_threads()); }

PyObject* isa(const Arguments&) { return py::cast(isa_name(active_level())).release().ptr(); }
PyObject* available_isas(const Arguments&) {
  py::list names;
  for (int level = 2; level <= best_level(); ++level) names.append(isa_name(level));
  return names.release().ptr();
}
PyObject* force_isa(const Arguments& a) {
  if (!PyUnicode_Check(a[0])) a.refuse(0, "it must be a name such as 'x86-64-v3'");
  force_level(level_named(py::handle(a[0]).cast<std::string>(), "force_isa"));
  Py_RETURN_NONE;
}
PyObject* live(const Arguments&) { return PyLong_FromLongLong(live_tensors()); }

constexpr Function functions[] = {
    {"set_num_threads(n: int) -> None", R"(Sets how many threads large operations use; results do not depend on it.

Args:
    n: From 1 to 1024. At start: CHAINRULE_NUM_THREADS, or the number of CPUs.

Raises:
    ValueError: n is out of range.

>>> cr.set_num_threads(2)
>>> cr.get_num_threads()
2)",
     set_threads, Scope::function},
    {"get_num_threads() -> int", R"(How many threads large operations use.

>>> cr.get_num_threads() >= 1
True)",
     get_threads, Scope::function},
    {"isa() -> str", "The instruction set that the kernels use now, such as 'x86-64-v3'.", isa, Scope::function},
    {"available_isas() -> list[str]", "The instruction sets that this CPU has, lowest first.", available_isas,
     Scope::function},
    {"force_isa(name: str) -> None", "Lets the kernels use another of available_isas().", force_isa, Scope::function},
    {"live_tensors() -> int", "Tensors alive in the process, those kept for backward included.", live, Scope::function},
};

}  // namespace

void add_system(py::module_& m) {
  add_table<functions>(m);
  const py::list names = m.attr("__all__");
  for (const char* hidden : {"isa", "available_isas", "force_isa", "live_tensors"}) names.attr("remove")(hidden);
}

}  // namespace chainrule::python
