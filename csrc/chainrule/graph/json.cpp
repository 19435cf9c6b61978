#include "chainrule/graph/json.h"

#include <algorithm>
#include <charconv>

#include "chainrule/core/error.h"

namespace chainrule {

namespace {

constexpr const char* kind_names[] = {"null", "a boolean", "a number", "a string", "an array", "an object"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

template <class Real>
std::string shortest(Real value) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

void append_utf8(std::string& text, uint32_t code) {
  auto put = [&](uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) put(0xE0 | code >> 12);
    else put(0xF0 | code >> 18), put(0x80 | (code >> 12 & 63));
    put(0x80 | (code >> 6 & 63));
  }
  put(0x80 | (code & 63));
}

// Bytes of the character at the start of `text`; 0 if it is none.
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

// The four hex digits at `at`.
uint32_t hex4(std::string_view text, size_t at) {
  uint32_t code = 0;
  std::from_chars(text.data() + at, text.data() + at + 4, code, 16);
  return code;
}
bool is_hex4(std::string_view text, size_t at) {
  return at + 4 <= text.size() && std::all_of(text.begin() + at, text.begin() + at + 4, [](char c) {
           return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
         });
}
bool is_high(uint32_t code) { return code >= 0xD800 && code < 0xDC00; }
bool is_low(uint32_t code) { return code >= 0xDC00 && code < 0xE000; }

// What the text between a string's quotes stands for; the parser has checked it.
std::string decoded(std::string_view raw) {
  std::string text;
  text.reserve(raw.size());
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\') {
      text += raw[i];
      continue;
    }
    const char c = raw[++i];
    constexpr std::string_view letters = "bfnrt", controls = "\b\f\n\r\t";
    if (const size_t k = letters.find(c); k != letters.npos) {
      text += controls[k];
    } else if (c != 'u') {
      text += c;
    } else {
      uint32_t code = hex4(raw, i + 1);
      i += 4;
      if (is_high(code)) code = 0x10000 + ((code - 0xD800) << 10) + (hex4(raw, i + 3) - 0xDC00), i += 6;
      append_utf8(text, code);
    }
  }
  return text;
}

}  // namespace

// ---- The parser ----

class JsonParser {
 public:
  JsonParser(JsonDocument& document, std::string_view where)
      : text_(document.text_), tokens_(document.tokens_), where_(where) {}

  void parse() {
    if (text_.size() >= UINT32_MAX) refuse("text of " + std::to_string(text_.size()) + " bytes");
    for (size_t at = 0; at < text_.size();) {
      const size_t length = utf8_length(text_.substr(at));
      if (!length) fail(ErrorKind::value, where_, "byte " + std::to_string(at) + " is not UTF-8", "it must be JSON");
      at += length;
    }
    value(0);
    spaces();
    if (at_ < text_.size()) refuse("more text after its end");
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    fail(ErrorKind::value, where_, what + " at byte " + std::to_string(at_), "it must be JSON");
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool accept(char c) { return peek() == c && at_ < text_.size() ? (++at_, true) : false; }
  void expect(char c) {
    if (!accept(c)) refuse(std::string("no '") + c + "'");
  }
  void spaces() {
    while (peek() == ' ' || peek() == '\n' || peek() == '\r' || peek() == '\t') ++at_;
  }

  void value(int depth) {
    spaces();
    if (depth > max_json_depth) refuse("more than " + std::to_string(max_json_depth) + " levels");
    const size_t index = tokens_.size();
    tokens_.push_back({JsonKind::null, static_cast<uint32_t>(at_), 0, 0});
    JsonKind kind;
    switch (peek()) {
      case '{': kind = JsonKind::object, object(depth); break;
      case '[': kind = JsonKind::array, array(depth); break;
      case '"': kind = JsonKind::string, string(); break;
      case 't': kind = JsonKind::boolean, word("true"); break;
      case 'f': kind = JsonKind::boolean, word("false"); break;
      case 'n': kind = JsonKind::null, word("null"); break;
      default: kind = JsonKind::number, number();
    }
    JsonDocument::Token& token = tokens_[index];
    token.kind = kind;
    token.end = static_cast<uint32_t>(at_);
    token.next = static_cast<uint32_t>(tokens_.size());
    if (kind == JsonKind::string) ++token.begin, --token.end;
  }

  void word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) refuse("an unknown word");
    at_ += expected.size();
  }

  void digits() {
    if (!is_digit(peek())) refuse("no digit");
    while (is_digit(peek())) ++at_;
  }
  void number() {
    accept('-');
    if (!accept('0')) digits();  // no 0 in front
    if (accept('.')) digits();
    if (accept('e') || accept('E')) {
      if (!accept('+')) accept('-');
      digits();
    }
  }

  void escape() {
    constexpr std::string_view letters = "\"\\/bfnrt";
    if (at_ < text_.size() && letters.find(peek()) != letters.npos) {
      ++at_;
      return;
    }
    if (peek() != 'u' || !is_hex4(text_, at_ + 1)) refuse("an unknown escape");
    const uint32_t code = hex4(text_, at_ + 1);
    at_ += 5;
    if (is_low(code)) refuse("half a surrogate pair");
    if (!is_high(code)) return;
    if (text_.substr(at_, 2) != "\\u" || !is_hex4(text_, at_ + 2) || !is_low(hex4(text_, at_ + 2)))
      refuse("half a surrogate pair");
    at_ += 6;
  }
  void string() {
    for (expect('"'); !accept('"');) {
      if (at_ >= text_.size()) refuse("a string without end");
      if (static_cast<unsigned char>(peek()) < 0x20) refuse("a control character in a string");
      if (accept('\\')) escape();
      else ++at_;
    }
  }

  void array(int depth) {
    expect('[');
    spaces();
    if (accept(']')) return;
    do {
      value(depth + 1);
      spaces();
    } while (accept(','));
    expect(']');
  }

  // A key is a token of its own, before that of its value.
  void object(int depth) {
    expect('{');
    spaces();
    if (accept('}')) return;
    std::vector<std::string> keys;
    do {
      spaces();
      if (peek() != '"') refuse("no key");
      const size_t begin = at_;
      value(depth + 1);
      keys.push_back(decoded(text_.substr(begin + 1, at_ - begin - 2)));
      spaces();
      expect(':');
      value(depth + 1);
      spaces();
    } while (accept(','));
    expect('}');
    std::ranges::sort(keys);
    const auto twice = std::ranges::adjacent_find(keys);
    if (twice != keys.end())
      fail(ErrorKind::value, where_, "the key " + excerpt(*twice) + " stands twice in an object",
           "each may stand there once");
  }

  std::string_view text_;
  std::vector<JsonDocument::Token>& tokens_;
  std::string_view where_;
  size_t at_ = 0;
};

JsonDocument::JsonDocument(std::string text, std::string_view where) : text_(std::move(text)) {
  JsonParser(*this, where).parse();
}

// ---- Values ----

JsonKind JsonValue::kind() const { return document_->tokens_[at_].kind; }
std::string_view JsonValue::text() const {
  const auto& token = document_->tokens_[at_];
  return std::string_view(document_->text_).substr(token.begin, token.end - token.begin);
}

void JsonValue::refuse(std::string_view what, std::string_view rule) const {
  std::string arrived = kind_names[static_cast<int>(kind())];
  if (kind() == JsonKind::string) arrived = excerpt(string(what));
  else if (kind() == JsonKind::number || kind() == JsonKind::boolean) arrived = text().substr(0, 60);
  fail(ErrorKind::value, what, "it is " + arrived, rule);
}
void JsonValue::require(JsonKind expected, std::string_view what) const {
  if (kind() != expected) refuse(what, std::string("it must be ") + kind_names[static_cast<int>(expected)]);
}

bool JsonValue::boolean(std::string_view what) const {
  require(JsonKind::boolean, what);
  return text() == "true";
}

int64_t JsonValue::integer(std::string_view what) const {
  require(JsonKind::number, what);
  int64_t value = 0;
  const std::string_view digits = text();
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size())
    refuse(what, "it must be an integer that fits in 64 bits");
  return value;
}

template <class Real>
Real JsonValue::real_as(std::string_view what) const {
  require(JsonKind::number, what);
  Real value = 0;
  const std::string_view digits = text();
  if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec != std::errc())
    refuse(what, "it must be a number within the range of its dtype");
  return value;
}
double JsonValue::real(std::string_view what) const { return real_as<double>(what); }
float JsonValue::real32(std::string_view what) const { return real_as<float>(what); }

std::string JsonValue::string(std::string_view what) const {
  require(JsonKind::string, what);
  return decoded(text());
}

std::vector<JsonValue> JsonValue::items(std::string_view what) const {
  require(JsonKind::array, what);
  std::vector<JsonValue> result;
  const uint32_t end = document_->tokens_[at_].next;
  for (uint32_t at = at_ + 1; at < end; at = document_->tokens_[at].next) result.emplace_back(*document_, at);
  return result;
}

std::vector<std::pair<std::string, JsonValue>> JsonValue::members(std::string_view what) const {
  require(JsonKind::object, what);
  std::vector<std::pair<std::string, JsonValue>> result;
  const uint32_t end = document_->tokens_[at_].next;
  for (uint32_t at = at_ + 1; at < end; at = document_->tokens_[at + 1].next)
    result.emplace_back(JsonValue(*document_, at).string(what), JsonValue(*document_, at + 1));
  return result;
}

// ---- Fields ----

const JsonValue* JsonFields::find(std::string_view name) {
  for (size_t k = 0; k < members_.size() && k < 64; ++k)
    if (members_[k].first == name) {
      taken_ |= uint64_t{1} << k;
      return &members_[k].second;
    }
  return nullptr;
}
JsonValue JsonFields::take(std::string_view name) {
  if (const JsonValue* value = find(name)) return *value;
  fail(ErrorKind::value, what_, "there is no " + excerpt(name), "it must be there");
}
void JsonFields::finish() const {
  for (size_t k = 0; k < members_.size(); ++k)
    if (k >= 64 || !(taken_ >> k & 1))
      fail(ErrorKind::value, what_, excerpt(members_[k].first) + " is there", "nothing of that name belongs there");
}

// ---- Text ----

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
