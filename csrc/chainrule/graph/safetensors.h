// safetensors.h - tensors by name and a few texts, in one file that other tools read. Floor: graph.
// The format is https://github.com/huggingface/safetensors: the length of a JSON header in 8 bytes, little-endian, the
// header, the elements. A file is checked whole against its size before a tensor is allocated, and appears whole or
// not at all.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "chainrule/autograd/tensor.h"

namespace chainrule {

inline constexpr int64_t max_header_bytes = 100'000'000;  ///< the format's own limit

/// A file that is open; closed at the end.
class OpenFile {
 public:
  explicit OpenFile(int descriptor) : descriptor_(descriptor) {}
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

/// A tensor in a file: where its elements stand.
struct StoredTensor {
  std::string name;
  Meta meta;
  int64_t begin = 0, end = 0;  ///< bytes, from the end of the header
};

/// A file to read from. Errors do not name it; the caller knows it.
class SafetensorsReader {
 public:
  /// Opens the file and checks its header.
  explicit SafetensorsReader(const std::string& path);
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  /// The texts of __metadata__.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// One of them, which may be large, to keep.
  std::string take_metadata(const std::string& key) { return std::move(metadata_.at(key)); }
  /// The elements, in memory of their own.
  Tensor read(const StoredTensor& stored) const;

 private:
  void read_bytes(char* to, int64_t count, int64_t offset) const;
  void parse_header(std::string text);
  void check_layout() const;

  OpenFile file_;
  int64_t data_begin_ = 0, data_bytes_ = 0;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

struct FileTensor {
  std::string name;
  Tensor value;  ///< of any strides
};

/// Writes beside `path` first and renames, so an older file there stays whole until the new one is. The same tensors
/// and texts give the same bytes.
void write_safetensors(const std::string& path, std::vector<FileTensor> tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace chainrule
