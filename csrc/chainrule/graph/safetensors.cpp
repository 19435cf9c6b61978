#include "chainrule/graph/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "chainrule/autograd/op_row.h"
#include "chainrule/core/error.h"
#include "chainrule/graph/json.h"

namespace chainrule {

namespace {

static_assert(std::endian::native == std::endian::little, "elements and lengths are stored little-endian");

constexpr const char* metadata_key = "__metadata__";
constexpr int64_t length_bytes = 8;

// By DType.
constexpr const char* stored_dtypes[dtype_count] = {"F32", "F64", "I64", "I32", "BOOL"};
const char* stored_name(DType dtype) { return stored_dtypes[static_cast<int>(dtype)]; }

DType dtype_stored_as(const std::string& name, const std::string& where) {
  for (DType dtype : all_dtypes)
    if (name == stored_name(dtype)) return dtype;
  fail(ErrorKind::dtype, where, "dtype " + excerpt(name), "it must be one of F32, F64, I64, I32, BOOL");
}

// What the system said, as an error.
[[noreturn]] void fail_system(int code, const char* rule) {
  const ErrorKind kind = code == ENOENT ? ErrorKind::missing_file : ErrorKind::file;
  throw Error(kind, std::string(std::strerror(code)) + "; " + rule);
}

constexpr const char* must_be_readable = "it must be a file that can be read";
constexpr const char* must_be_writable = "it must name a file that can be written, in a directory that exists";

StoredTensor stored_tensor(const std::string& name, const JsonValue& entry) {
  const std::string where = "tensor " + excerpt(name);
  JsonFields fields(entry, where);
  StoredTensor stored{.name = name, .meta = {}};
  stored.meta.dtype = dtype_stored_as(fields.take("dtype").string(where), where);
  const JsonItems sizes = fields.take("shape").items(where);
  if (sizes.size() > max_dims)
    fail(ErrorKind::shape, where, std::to_string(sizes.size()) + " dimensions",
         "a tensor has at most " + std::to_string(max_dims));
  for (const JsonValue size : sizes) stored.meta.shape.push_back(size.integer(where));
  const JsonItems offsets = fields.take("data_offsets").items(where);
  if (offsets.size() != 2)
    fail(ErrorKind::value, where, std::to_string(offsets.size()) + " data_offsets", "there must be two, begin and end");
  stored.begin = offsets[0].integer(where);
  stored.end = offsets[1].integer(where);
  fields.finish();
  const int64_t bytes =
      checked_numel(stored.meta.shape, size_of(stored.meta.dtype), where) * size_of(stored.meta.dtype);
  if (stored.begin < 0 || stored.end < stored.begin || stored.end - stored.begin != bytes)
    fail(ErrorKind::value, where,
         "data_offsets from " + std::to_string(stored.begin) + " to " + std::to_string(stored.end),
         "for its dtype and shape there must be " + std::to_string(bytes) + " bytes");
  return stored;
}

int open_to_read(const std::string& path) {
  // Without O_NONBLOCK a named pipe would wait for a writer.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) fail_system(errno, must_be_readable);
  return descriptor;
}

void write_bytes(int descriptor, const char* from, int64_t count) {
  while (count > 0) {
    const ssize_t written = ::write(descriptor, from, static_cast<size_t>(std::min<int64_t>(count, 1 << 30)));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_system(errno, must_be_writable);
    from += written;
    count -= written;
  }
}

// The header, padded with spaces so that the elements begin at a multiple of 8. `tensors` are in the order of the file.
std::string header_of(const std::vector<FileTensor>& tensors, const std::map<std::string, std::string>& metadata) {
  std::string text = "{" + json_string(metadata_key) + ":{";
  for (const char* comma = ""; const auto& [key, value] : metadata) {
    text += comma + json_string(key) + ":" + json_string(value);
    comma = ",";
  }
  text += "}";
  int64_t offset = 0;
  for (const auto& [name, value] : tensors) {
    text += "," + json_string(name) + ":{\"dtype\":\"" + stored_name(value.dtype()) + "\",\"shape\":[";
    for (int d = 0; d < value.ndim(); ++d) text += (d ? "," : "") + std::to_string(value.size(d));
    const int64_t end = offset + value.numel() * size_of(value.dtype());
    text += "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(end) + "]}";
    offset = end;
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (static_cast<int64_t>(text.size()) > max_header_bytes)
    fail(ErrorKind::value, "header", std::to_string(text.size()) + " bytes",
         "the format allows " + std::to_string(max_header_bytes));
  return text;
}

// A new file beside `path` under a name of its own; unless it is kept under its real one, it disappears.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& path) : path_(path) {
    const size_t slash = path.rfind('/') + 1;  // 0 when there is none
    // Only a rename within one directory is sure to be one step. Process and address make the name unique.
    name_ = path.substr(0, slash) + "." + path.substr(slash) + "." + std::to_string(::getpid()) + "." +
            std::to_string(reinterpret_cast<uintptr_t>(this));
    descriptor_ = ::open(name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0) fail_system(errno, must_be_writable);
  }
  ~TemporaryFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!kept_) ::unlink(name_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  int descriptor() const { return descriptor_; }
  void keep() {
    // Some file systems report a full disk at the end only.
    if (::close(std::exchange(descriptor_, -1)) != 0) fail_system(errno, must_be_writable);
    if (::rename(name_.c_str(), path_.c_str()) != 0) fail_system(errno, must_be_writable);
    kept_ = true;
  }

 private:
  std::string path_, name_;
  int descriptor_ = -1;
  bool kept_ = false;
};

}  // namespace

OpenFile::~OpenFile() { ::close(descriptor_); }

SafetensorsReader::SafetensorsReader(const std::string& path) : file_(open_to_read(path)) {
  struct stat facts{};
  if (::fstat(file_.descriptor(), &facts) != 0) fail_system(errno, must_be_readable);
  if (S_ISDIR(facts.st_mode)) fail_system(EISDIR, must_be_readable);
  if (!S_ISREG(facts.st_mode)) throw Error(ErrorKind::file, std::string("not a regular file; ") + must_be_readable);
  const int64_t bytes = facts.st_size;
  if (bytes < length_bytes)
    fail(ErrorKind::value, "header", "the file has " + std::to_string(bytes) + " bytes",
         "it must begin with 8 that say how long the header is", "is the file truncated?");
  uint64_t length = 0;
  read_bytes(reinterpret_cast<char*>(&length), length_bytes, 0);
  if (length > static_cast<uint64_t>(std::min(max_header_bytes, bytes - length_bytes)))
    fail(ErrorKind::value, "header", std::to_string(length) + " bytes in a file of " + std::to_string(bytes),
         "it must end within the file and have at most " + std::to_string(max_header_bytes),
         "is the file truncated, or of another format?");
  data_begin_ = length_bytes + static_cast<int64_t>(length);
  data_bytes_ = bytes - data_begin_;
  std::string text(length, '\0');
  read_bytes(text.data(), static_cast<int64_t>(length), length_bytes);
  parse_header(std::move(text));
  check_layout();
}

void SafetensorsReader::read_bytes(char* to, int64_t count, int64_t offset) const {
  while (count > 0) {
    const ssize_t got = ::pread(file_.descriptor(), to, static_cast<size_t>(std::min<int64_t>(count, 1 << 30)), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_system(errno, must_be_readable);
    if (got == 0) throw Error(ErrorKind::file, "the file became shorter while it was read; it must stay as it is");
    to += got;
    offset += got;
    count -= got;
  }
}

void SafetensorsReader::parse_header(std::string text) {
  const JsonDocument document(std::move(text), "header");
  for (const auto& [name, value] : document.root().members("header")) {
    if (name != metadata_key) {
      tensors_.push_back(stored_tensor(name, value));
      continue;
    }
    for (const auto& [key, entry] : value.members(metadata_key))
      metadata_[key] = entry.string("metadata " + excerpt(key));
  }
}

// The elements fill the rest of the file: no tensor reaches into another, and no byte is left over.
void SafetensorsReader::check_layout() const {
  std::vector<const StoredTensor*> order;
  for (const StoredTensor& stored : tensors_) order.push_back(&stored);
  std::ranges::sort(order, {}, [](const StoredTensor* s) { return std::pair(s->begin, s->end); });
  int64_t at = 0;
  for (const StoredTensor* stored : order) {
    if (stored->begin != at)
      fail(ErrorKind::value, "tensor " + excerpt(stored->name), "it begins at byte " + std::to_string(stored->begin),
           "it must begin where the one before ends, at " + std::to_string(at));
    at = stored->end;
  }
  if (at != data_bytes_)
    fail(ErrorKind::value, "tensors", std::to_string(data_bytes_) + " bytes after the header",
         "the header promises " + std::to_string(at), "is the file truncated?");
}

Tensor SafetensorsReader::read(const StoredTensor& stored) const {
  const Tensor tensor = Tensor::empty(stored.meta);
  char* data = static_cast<char*>(tensor.data());
  read_bytes(data, stored.end - stored.begin, data_begin_ + stored.begin);
  if (stored.meta.dtype == DType::boolean &&
      std::any_of(data, data + tensor.numel(), [](unsigned char byte) { return byte > 1; }))
    fail(ErrorKind::value, "tensor " + excerpt(stored.name), "bytes other than 0 and 1", "its dtype is BOOL");
  return tensor;
}

void write_safetensors(const std::string& path, std::vector<FileTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  // Wide elements first: then all are aligned.
  std::ranges::sort(tensors, {}, [](const FileTensor& t) { return std::pair(-size_of(t.value.dtype()), t.name); });
  const std::string header = header_of(tensors, metadata);
  TemporaryFile file(path);
  const uint64_t length = header.size();
  write_bytes(file.descriptor(), reinterpret_cast<const char*>(&length), length_bytes);
  write_bytes(file.descriptor(), header.data(), static_cast<int64_t>(header.size()));
  for (const FileTensor& tensor : tensors) {
    const Tensor dense = tensor.value.is_contiguous() ? tensor.value : installed().contiguous_copy(tensor.value);
    write_bytes(file.descriptor(), static_cast<const char*>(dense.data()), dense.numel() * size_of(dense.dtype()));
  }
  file.keep();
}

}  // namespace chainrule
