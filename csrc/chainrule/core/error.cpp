#include "chainrule/core/error.h"

namespace chainrule {

void fail(ErrorKind kind, std::string_view op, std::string_view what_arrived, std::string_view rule,
          std::string_view hint) {
  std::string message;
  message.append(op).append(": ").append(what_arrived);
  if (!rule.empty()) message.append("; ").append(rule);
  if (!hint.empty()) message.append("; ").append(hint);
  throw Error(kind, message);
}

void internal_error(std::string_view where, std::string_view what) {
  std::string message = "chainrule internal error in ";
  message.append(where).append(": ").append(what).append("; this is a bug in chainrule, please report it");
  throw InternalError(message);
}

}  // namespace chainrule
