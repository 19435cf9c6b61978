// json_text.cpp - the text of strings and numbers, for files and for errors. Floor: graph.
#include <charconv>

#include "chainrule/graph/json.h"

namespace chainrule {

namespace {

template <class Real>
std::string shortest(Real value) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

}  // namespace

size_t utf8_length(std::string_view text) {
  auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  auto continues = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned first = byte(0), second = byte(1);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4 || !continues(1)) return 0;  // C0, C1: longer than need be
  if (first < 0xE0) return 2;
  if (!continues(2)) return 0;
  if (first < 0xF0) return (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ? 0 : 3;
  return !continues(3) || (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F) ? 0 : 4;
}

bool is_utf8(std::string_view text) {
  for (size_t length; !text.empty(); text.remove_prefix(length))
    if (!(length = utf8_length(text))) return false;
  return true;
}

std::string excerpt(std::string_view text) {
  constexpr size_t most = 60;
  size_t end = 0;
  while (end < text.size() && end < most) {
    const size_t length = utf8_length(text.substr(end));
    if (!length) break;
    end += length;
  }
  std::string cut = json_string(text.substr(0, end));
  if (end < text.size()) cut.insert(cut.size() - 1, "...");
  return cut;
}

std::string json_string(std::string_view text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) {
      result += c;
      continue;
    }
    constexpr char hex[] = "0123456789abcdef";
    result += "\\u00";
    result += hex[c >> 4];
    result += hex[c & 15];
  }
  return result + '"';
}

std::string json_number(double value) { return shortest(value); }
std::string json_number(float value) { return shortest(value); }

}  // namespace chainrule
