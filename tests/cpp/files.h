// files.h - what the tests of files share: a folder that disappears, bytes in and out, graph files with a flaw.
#pragma once
#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "chainrule/graph/file.h"
#include "support.h"

namespace chainrule::testing {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "chainrule-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()));
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string path(const std::string& name) const { return (path_ / name).string(); }
  int entries() const {
    return static_cast<int>(
        std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()));
  }

 private:
  std::filesystem::path path_;
};

inline std::string bytes_in(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
inline void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// A file of this header and these elements.
inline std::string file_of(const std::string& header, const std::string& data = {}) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

/// The file with `from` replaced by `to` in its header.
inline std::string edited(const std::string& file, const std::string& from, const std::string& to) {
  uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  std::string header = file.substr(8, length);
  const size_t at = header.find(from);
  REQUIRE_MESSAGE(at != std::string::npos, from);
  header.replace(at, from.size(), to);
  return file_of(header, file.substr(8 + length));
}
/// The same within the text that describes the graph, which is JSON as a string of JSON.
inline std::string edited_graph(const std::string& file, std::string from, std::string to) {
  for (std::string* text : {&from, &to}) {
    std::string escaped;
    for (char c : *text) escaped += (c == '"' || c == '\\' ? "\\" : "") + std::string(1, c);
    *text = escaped;
  }
  return edited(file, from, to);
}

inline std::string bits_of(const Tensor& x) {
  const Tensor dense = contiguous(detach(x));
  return {static_cast<const char*>(dense.data()), static_cast<size_t>(dense.numel() * size_of(dense.dtype()))};
}

/// What loading a file of these bytes complains about; "" when it loads.
inline std::string complaint(const std::string& bytes) {
  const TemporaryFolder folder;
  const std::string path = folder.path("model.crg");
  write_bytes(path, bytes);
  const std::string message = message_of([&] { Graph::load(path); }, ErrorKind::value);
  if (!message.empty()) CHECK(message.starts_with("load: " + path + ": "));
  return message.empty() ? "" : message.substr(("load: " + path + ": ").size());
}

}  // namespace chainrule::testing
