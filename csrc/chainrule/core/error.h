// error.h - how chainrule says no. Floor: core.
// A user's mistake goes through fail(): "op: what arrived; the rule; a hint". Our own bug goes through
// internal_error(). Both throw; nothing prints, nothing aborts.
#pragma once
#include <stdexcept>
#include <string>
#include <string_view>

namespace chainrule {

/// Which Python exception an error becomes: ValueError (shape, value), TypeError, IndexError, RuntimeError,
/// MemoryError, FileNotFoundError (missing_file), OSError (file: one that cannot be read or written).
enum class ErrorKind { shape, value, dtype, index, graph, memory, missing_file, file };

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

/// Thrown when an invariant of chainrule itself is broken: please report it.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void fail(ErrorKind kind, std::string_view op, std::string_view what_arrived, std::string_view rule,
                       std::string_view hint = {});
[[noreturn]] void internal_error(std::string_view where, std::string_view what);

}  // namespace chainrule
