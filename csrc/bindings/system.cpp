// system.cpp - threads, instruction sets, counters. Floor: bindings.
#include "arguments.h"
#include "chainrule/autograd/elementwise.h"
#include "chainrule/core/allocator.h"
#include "chainrule/core/thread_pool.h"
#include "interpreter_lock.h"
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

PyObject* memory(const Arguments&) {
  const MemoryStats now = memory_stats();
  py::dict stats;
  stats["bytes_in_use"] = now.bytes_in_use;
  stats["peak_bytes_in_use"] = now.peak_bytes_in_use;
  stats["bytes_cached"] = now.bytes_cached;
  stats["cache_limit_bytes"] = now.cache_limit_bytes;
  stats["bytes_small"] = now.bytes_small;
  stats["allocations"] = now.allocations;
  stats["cache_hits"] = now.cache_hits;
  stats["live_tensors"] = now.live_tensors;
  return stats.release().ptr();
}
PyObject* empty(const Arguments&) { return PyLong_FromLongLong(empty_cache()); }
PyObject* reset_peak(const Arguments&) {
  reset_peak_memory_stats();
  Py_RETURN_NONE;
}

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
    {"memory_stats() -> dict[str, int]", R"(What the library's own memory is used for, over all threads.

Memory that came from elsewhere, such as a NumPy array's, is not counted. Tensors of up to 256 bytes and graph nodes
live in small blocks; all others have a buffer, which is up to 1/8 larger than their elements.

Returns:
    A dict:

    - bytes_in_use: In buffers that tensors hold, those kept for backward included.
    - peak_bytes_in_use: The most of that since the start or reset_peak_memory_stats(); exact in a program of
        one thread, else nearly so.
    - bytes_cached: In freed buffers that wait for the next tensor of their size.
    - cache_limit_bytes: The most that is kept so: the environment variable CHAINRULE_CACHE_BYTES, or 256 MiB; and
      up to 1 MiB for each thread (nothing where it is 0).
    - bytes_small: In small blocks, used and free; these are never given back.
    - allocations: Buffers handed out since the start.
    - cache_hits: How many of these had been used before.
    - live_tensors: Tensors alive, those kept for backward included.

>>> before = cr.memory_stats()["bytes_in_use"]
>>> x = cr.zeros(1024)
>>> cr.memory_stats()["bytes_in_use"] - before
4096)",
     memory, Scope::function},
    {"empty_cache() -> int", R"(Gives the memory of freed tensors back to the system.

There is no need to call it: the cache is bounded, and a tensor that finds no memory empties it by itself.

Returns:
    How many bytes were given back. Small ones (up to 64 KiB) that other threads keep are not among them.

>>> x = cr.zeros(1000, 1000)
>>> del x
>>> cr.empty_cache() >= 4_000_000
True)",
     empty, Scope::function},
    {"reset_peak_memory_stats() -> None", R"(Lets memory_stats()["peak_bytes_in_use"] start from what is in use now.

>>> cr.reset_peak_memory_stats()
>>> stats = cr.memory_stats()
>>> stats["peak_bytes_in_use"] == stats["bytes_in_use"]
True)",
     reset_peak, Scope::function},
    {"isa() -> str", "The instruction set that the kernels use now, such as 'x86-64-v3'.", isa, Scope::function},
    {"available_isas() -> list[str]", "The instruction sets that this CPU has, lowest first.", available_isas,
     Scope::function},
    {"force_isa(name: str) -> None", "Lets the kernels use another of available_isas().", force_isa, Scope::function},
    {"live_tensors() -> int", "Tensors alive in the process, those kept for backward included.", live, Scope::function},
};

}  // namespace

void add_system(py::module_& m) {
  install_interpreter_lock();
  add_table<functions>(m);
  const py::list names = m.attr("__all__");
  for (const char* hidden : {"isa", "available_isas", "force_isa", "live_tensors"}) names.attr("remove")(hidden);
}

}  // namespace chainrule::python
