// json.h - JSON as files hold it: a strict reader, and the text of strings and numbers for a writer. Floor: graph.
// The reader takes what RFC 8259 allows and no more: UTF-8 throughout, no key twice, at most max_json_depth levels.
// A document is its text and 8 bytes per value, and what is in it is read where it stands: the memory that a hostile
// text takes is a few times its length.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chainrule {

inline constexpr int max_json_depth = 32;

enum class JsonKind : uint8_t { null, boolean, number, string, array, object };

class JsonDocument;
class JsonItems;
class JsonMembers;

/// A value in a document, which must outlive it. What asks for a kind that it is not fails, calling it `what`.
class JsonValue {
 public:
  JsonValue(const JsonDocument& document, uint32_t at) : document_(&document), at_(at) {}

  JsonKind kind() const;
  bool boolean(std::string_view what) const;
  int64_t integer(std::string_view what) const;  ///< exact: neither fraction nor exponent
  double real(std::string_view what) const;      ///< the nearest double
  float real32(std::string_view what) const;     ///< the nearest float, rounded once
  std::string string(std::string_view what) const;
  JsonItems items(std::string_view what) const;      ///< of an array
  JsonMembers members(std::string_view what) const;  ///< of an object, in order

 private:
  friend class JsonItems;
  friend class JsonMembers;
  [[noreturn]] void refuse(std::string_view what, std::string_view rule) const;
  void require(JsonKind kind, std::string_view what) const;
  uint32_t next() const;  ///< the token after this value and all that is in it
  std::string_view text() const;
  template <class Real>
  Real real_as(std::string_view what) const;

  const JsonDocument* document_;
  uint32_t at_;
};

/// The values in an array.
class JsonItems {
 public:
  struct Iterator {
    JsonValue value;
    JsonValue operator*() const { return value; }
    Iterator& operator++() { return value.at_ = value.next(), *this; }
    bool operator!=(const Iterator& other) const { return value.at_ != other.value.at_; }
  };
  Iterator begin() const { return {first_}; }
  Iterator end() const { return {end_}; }
  size_t size() const;                         ///< counted: it takes as long as going through them
  JsonValue operator[](size_t k) const;        ///< likewise

 private:
  friend class JsonValue;
  JsonItems(JsonValue first, JsonValue end) : first_(first), end_(end) {}
  JsonValue first_, end_;
};

/// The keys and values in an object.
class JsonMembers {
 public:
  struct Iterator {
    JsonValue key;
    std::pair<std::string, JsonValue> operator*() const;
    Iterator& operator++();
    bool operator!=(const Iterator& other) const { return key.at_ != other.key.at_; }
  };
  Iterator begin() const { return {first_}; }
  Iterator end() const { return {end_}; }

 private:
  friend class JsonValue;
  JsonMembers(JsonValue first, JsonValue end) : first_(first), end_(end) {}
  JsonValue first_, end_;
};

class JsonDocument {
 public:
  /// Parses; fails as `where` with the byte at which the text goes wrong.
  JsonDocument(std::string text, std::string_view where);
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;
  JsonValue root() const { return {*this, 0}; }

 private:
  friend class JsonValue;
  friend class JsonParser;
  struct Token {
    uint32_t begin;  ///< in the text: its first character tells the kind
    uint32_t next;   ///< the token after this value and all that is in it
  };
  std::string text_;
  std::vector<Token> tokens_;
};

/// The members of an object, each of which must be asked for.
class JsonFields {
 public:
  JsonFields(const JsonValue& object, std::string_view what);
  /// The member of that name; fails when there is none.
  JsonValue take(std::string_view name);
  /// The same, null when there is none.
  const JsonValue* find(std::string_view name);
  /// Fails when a member was not asked for.
  void finish() const;

 private:
  std::vector<std::pair<std::string, JsonValue>> members_;
  std::string what_;
  uint64_t taken_ = 0;  ///< bit k: members_[k]; of an object with more members than bits, the first ones are kept
};

/// Bytes of the UTF-8 character at the start of `text`; 0 if it is none.
size_t utf8_length(std::string_view text);
bool is_utf8(std::string_view text);
/// In quotes, and cut where it is long: for errors.
std::string excerpt(std::string_view text);
/// As JSON, quotes included; the text must be UTF-8.
std::string json_string(std::string_view text);
/// The shortest number that reads back as the same bits; finite ones only.
std::string json_number(double value);
std::string json_number(float value);

}  // namespace chainrule
