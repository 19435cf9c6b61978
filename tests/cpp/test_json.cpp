// The JSON that graph files hold: what the reader takes, what it refuses, and that writing is exact.
#include "chainrule/graph/json.h"

#include <bit>
#include <limits>

#include "support.h"

using namespace chainrule;
using namespace chainrule::testing;

namespace {
std::string complaint_about(const std::string& text) {
  return message_of([&] { JsonDocument(text, "test"); }, ErrorKind::value);
}
std::string string_in(const std::string& text) { return JsonDocument(text, "test").root().string("test"); }
}  // namespace

TEST_CASE("what is JSON is read") {
  const JsonDocument document(R"( {"a": [1, -2.5e+3, true, null], "": {"é\u00e9\ud83c\udf93": "\"\\\/\b\f\n\r\t"}} )",
                              "test");
  JsonFields fields(document.root(), "test");
  const JsonItems items = fields.take("a").items("a");
  REQUIRE(items.size() == 4);
  CHECK(items[0].integer("a") == 1);
  CHECK(items[1].real("a") == -2500);
  CHECK(items[2].boolean("a"));
  CHECK(items[3].kind() == JsonKind::null);
  int members = 0;
  for (const auto& [key, value] : fields.take("").members("inner")) {
    ++members;
    CHECK(key == "éé🎓");
    CHECK(value.string("inner") == "\"\\/\b\f\n\r\t");
  }
  CHECK(members == 1);
  fields.finish();
}

TEST_CASE("what is not JSON is refused") {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[",
                           "[1,]",
                           "[,1]",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{1:1}",
                           "[1 2]",
                           "1 2",
                           "tru",
                           "truE",
                           "nul",
                           "'a'",
                           "\"a",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u12G4\"",
                           "\"\\ud800\"",
                           "\"\\ud800\\u0041\"",
                           "\"\\udc00\"",
                           "\"\n\"",
                           "\"\t\"",
                           "01",
                           "-",
                           "-01",
                           "+1",
                           "1.",
                           ".5",
                           "1e",
                           "1e+",
                           "0x1",
                           "NaN",
                           "Infinity",
                           "-Infinity",
                           "[1]]",
                           "{}}",
                           "//",
                           "\xEF\xBB\xBF{}"}) {
    CAPTURE(text);
    CHECK(contains(complaint_about(text), "it must be JSON"));
  }
  for (const char* text : {"\"\xFF\"", "\"\xC0\x80\"", "\"\xE0\x80\x80\"", "\"\xED\xA0\x80\"", "\"\xF4\x90\x80\x80\"",
                           "\"\xF0\x80\x80\x80\"", "\"\xE2\x82\"", "\"\x80\"", "\"\xF5\x80\x80\x80\""}) {
    CHECK(contains(complaint_about(text), "is not UTF-8"));
    CHECK_FALSE(is_utf8(text));
  }
  CHECK(contains(complaint_about(std::string("[\0]", 3)), "it must be JSON"));
}

TEST_CASE("no key stands twice, however it is written") {
  CHECK(contains(complaint_about(R"({"a":1,"b":2,"\u0061":3})"), "the key \"a\" stands twice"));
  CHECK(contains(complaint_about(R"([{"x":{"":1,"":2}}])"), "the key \"\" stands twice"));
  CHECK(complaint_about(R"([{"a":1},{"a":1}])").empty());
}

TEST_CASE("depth is bounded") {
  const auto nested = [](int levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  CHECK(complaint_about(nested(max_json_depth)).empty());
  CHECK(contains(complaint_about(nested(1'000'000)), "more than 32 levels"));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  CHECK(contains(complaint_about(objects), "more than 32 levels"));
}

TEST_CASE("integers are exact, or refused") {
  const auto integer = [](const std::string& text) { return JsonDocument(text, "test").root().integer("n"); };
  CHECK(integer("9223372036854775807") == std::numeric_limits<int64_t>::max());
  CHECK(integer("-9223372036854775808") == std::numeric_limits<int64_t>::min());
  CHECK(integer("9007199254740993") == 9007199254740993);
  for (const char* text : {"9223372036854775808", "-9223372036854775809", "1.0", "1e3", "\"1\"", "true", "[1]", "null"})
    CHECK(message_of([&] { integer(text); }, ErrorKind::value).starts_with("n: it is "));
  CHECK_THROWS_AS(JsonDocument("1e999", "test").root().real("n"), Error);
}

TEST_CASE("what is written reads back as it was") {
  for (const std::string text : {"", "a\"b\\c", "\x01\x1f\n", "ünïcode 🎓", "</script>"})
    CHECK(string_in(json_string(text)) == text);
  for (double value : {0., -0., 1 / 3., 5e-324, 1e308, 123456789., -2.5e-7})
    CHECK(std::bit_cast<uint64_t>(JsonDocument(json_number(value), "test").root().real("n")) ==
          std::bit_cast<uint64_t>(value));
  CHECK(json_number(0.1f) == "0.1");
  CHECK(JsonDocument("0.1", "test").root().real32("n") == 0.1f);
}

TEST_CASE("an object gives what is asked for, and no more") {
  const JsonDocument document(R"({"a":1,"surplus":2})", "test");
  JsonFields fields(document.root(), "node 3");
  CHECK(fields.find("b") == nullptr);
  CHECK(message_of([&] { fields.take("b"); }, ErrorKind::value) == "node 3: there is no \"b\"; it must be there");
  fields.take("a");
  CHECK(contains(message_of([&] { fields.finish(); }, ErrorKind::value), "node 3: \"surplus\" is there; nothing"));
}

TEST_CASE("long names are cut where a character ends") {
  CHECK(excerpt("short") == "\"short\"");
  std::string name = "x";
  for (int i = 0; i < 50; ++i) name += "é";
  CHECK(is_utf8(excerpt(name)));
  CHECK(excerpt(name).size() < 70);
  CHECK(excerpt("a\xFF") == "\"a...\"");
}

TEST_CASE("empty arrays and objects, and what stands behind them") {
  const JsonDocument document(R"({"a":[],"b":{},"c":[[],{},[1,[2]]],"d":"]}","e":-0.5})", "test");
  JsonFields fields(document.root(), "test");
  CHECK(fields.take("a").items("a").size() == 0);
  for ([[maybe_unused]] const auto& member : fields.take("b").members("b")) FAIL("a member");
  const JsonItems nested = fields.take("c").items("c");
  CHECK(nested.size() == 3);
  CHECK(nested[2].items("c")[1].items("c")[0].integer("c") == 2);
  CHECK(fields.take("d").string("d") == "]}");
  CHECK(fields.take("e").real("e") == -0.5);
  fields.finish();
}

TEST_CASE("of many members the first are kept, and the others are too many") {
  std::string text = "{\"k0\":0";
  for (int i = 1; i < 1000; ++i) text += ",\"k" + std::to_string(i) + "\":0";
  const JsonDocument document(text + "}", "test");
  JsonFields fields(document.root(), "test");
  for (int i = 0; i < 64; ++i) fields.take("k" + std::to_string(i));
  CHECK(contains(message_of([&] { fields.finish(); }, ErrorKind::value), "\"k64\" is there; nothing"));
}
