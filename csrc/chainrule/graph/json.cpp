#include "chainrule/graph/json.h"

#include <algorithm>
#include <charconv>

#include "chainrule/core/error.h"

namespace chainrule {

namespace {

constexpr const char* kind_names[] = {"null", "a boolean", "a number", "a string", "an array", "an object"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

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

// The inside of the string whose opening quote is at `begin`, in a text that was parsed.
std::string_view string_at(std::string_view text, size_t begin) {
  size_t end = begin + 1;
  while (text[end] != '"') end += text[end] == '\\' ? 2 : 1;
  return text.substr(begin + 1, end - begin - 1);
}

JsonKind kind_at(char first) {
  switch (first) {
    case '{': return JsonKind::object;
    case '[': return JsonKind::array;
    case '"': return JsonKind::string;
    case 't':
    case 'f': return JsonKind::boolean;
    case 'n': return JsonKind::null;
    default: return JsonKind::number;
  }
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
      const bool is_ascii = static_cast<unsigned char>(text_[at]) < 0x80;
      const size_t length = is_ascii ? 1 : utf8_length(text_.substr(at));
      if (!length) fail(ErrorKind::value, where_, "byte " + std::to_string(at) + " is not UTF-8", "it must be JSON");
      at += length;
    }
    tokens_.reserve(most_values());
    value(0);
    spaces();
    if (at_ < text_.size()) refuse("more text after its end");
  }

 private:
  // Each value but the first stands behind one of these marks.
  size_t most_values() const {
    size_t count = 1;
    bool in_string = false;
    for (size_t at = 0; at < text_.size(); ++at) {
      const char c = text_[at];
      if (in_string && c == '\\') ++at;
      else if (c == '"') in_string = !in_string;
      else if (!in_string) count += c == ',' || c == ':' || c == '[' || c == '{';
    }
    return count;
  }

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
    tokens_.push_back({static_cast<uint32_t>(at_), 0});
    switch (peek()) {
      case '{': object(depth); break;
      case '[': array(depth); break;
      case '"': string(); break;
      case 't': word("true"); break;
      case 'f': word("false"); break;
      case 'n': word("null"); break;
      default: number();
    }
    tokens_[index].next = static_cast<uint32_t>(tokens_.size());
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
    const size_t first = tokens_.size();
    std::vector<size_t> hashes;  // of the keys: less than the keys themselves
    do {
      spaces();
      if (peek() != '"') refuse("no key");
      const size_t begin = at_;
      value(depth + 1);
      hashes.push_back(std::hash<std::string>()(decoded(text_.substr(begin + 1, at_ - begin - 2))));
      spaces();
      expect(':');
      value(depth + 1);
      spaces();
    } while (accept(','));
    expect('}');
    std::ranges::sort(hashes);
    if (std::ranges::adjacent_find(hashes) != hashes.end()) check_keys(first);
  }

  // Of an object that ends here and whose first key is this token: two keys may be the same.
  void check_keys(size_t first) const {
    std::vector<std::string> keys;
    for (size_t at = first; at < tokens_.size(); at = tokens_[at + 1].next)
      keys.push_back(decoded(string_at(text_, tokens_[at].begin)));
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

JsonKind JsonValue::kind() const { return kind_at(document_->text_[document_->tokens_[at_].begin]); }
uint32_t JsonValue::next() const { return document_->tokens_[at_].next; }
// Of a string without its quotes, of a number or a word.
std::string_view JsonValue::text() const {
  const std::string_view all = document_->text_;
  const size_t begin = document_->tokens_[at_].begin;
  if (all[begin] == '"') return string_at(all, begin);
  return all.substr(begin, std::min(all.find_first_of(",]} \n\r\t", begin), all.size()) - begin);
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

JsonItems JsonValue::items(std::string_view what) const {
  require(JsonKind::array, what);
  return {{*document_, at_ + 1}, {*document_, next()}};
}
JsonMembers JsonValue::members(std::string_view what) const {
  require(JsonKind::object, what);
  return {{*document_, at_ + 1}, {*document_, next()}};
}

size_t JsonItems::size() const {
  size_t count = 0;
  for (Iterator at = begin(); at != end(); ++at) ++count;
  return count;
}
JsonValue JsonItems::operator[](size_t k) const {
  Iterator at = begin();
  for (; k > 0; --k) ++at;
  return *at;
}
std::pair<std::string, JsonValue> JsonMembers::Iterator::operator*() const {
  return {key.string("key"), {*key.document_, key.next()}};
}
JsonMembers::Iterator& JsonMembers::Iterator::operator++() {
  key.at_ = JsonValue(*key.document_, key.next()).next();
  return *this;
}

// ---- Fields ----

JsonFields::JsonFields(const JsonValue& object, std::string_view what) : what_(what) {
  for (auto member : object.members(what)) {
    members_.push_back(std::move(member));
    if (members_.size() > 64) return;
  }
}

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

}  // namespace chainrule
