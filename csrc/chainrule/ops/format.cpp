#include "chainrule/ops/format.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <vector>

#include "chainrule/autograd/node.h"

namespace chainrule {

namespace {

constexpr int precision = 4;
constexpr int line_width = 80;
constexpr int64_t edge_items = 3;
constexpr int64_t summary_threshold = 1000;
constexpr double largest_ratio = 1000, largest_fixed = 1e8, smallest_fixed = 1e-4;

std::string printed(char conversion, int digits, double value) {
  if (std::isnan(value)) return "nan";  // printf may give it a sign
  const char format[] = {'%', '.', '*', conversion, '\0'};
  char buffer[512];  // the largest double has 309 digits
  const int length = std::snprintf(buffer, sizeof buffer, format, digits, value);
  return std::string(buffer, static_cast<size_t>(length));
}

/// Lays out the elements of one tensor. PyTorch's rules: one style for all elements, chosen by those that are shown,
/// finite and not zero; columns as wide as the widest of these.
class Layout {
 public:
  explicit Layout(const Tensor& x) : x_(x), summarized_(x.numel() > summary_threshold) {
    if (is_floating(x.dtype())) choose_style();
    for_each_shown(0, 0, [&](int64_t at) {
      const double value = real(at);
      const bool measured = !is_floating(x_.dtype()) || (std::isfinite(value) && value != 0);
      if (measured) width_ = std::max(width_, text(at).size());
    });
  }

  std::string body(int indent) const { return x_.numel() == 0 ? "[]" : nested(0, 0, indent); }

 private:
  enum class Style { whole, fixed, scientific };

  int64_t integer(int64_t at) const {
    int64_t value = 0;
    dispatch(x_.dtype(), [&]<class S>() { value = static_cast<int64_t>(x_.data<S>()[at]); });
    return value;
  }
  double real(int64_t at) const {
    double value = 0;
    dispatch(x_.dtype(), [&]<class S>() { value = static_cast<double>(x_.data<S>()[at]); });
    return value;
  }

  bool elides(int dim) const { return summarized_ && x_.size(dim) > 2 * edge_items; }

  /// f(offset) for every element that is shown, those from `dim` on standing at `at`.
  template <class F>
  void for_each_shown(int dim, int64_t at, const F& f) const {
    if (dim == x_.ndim()) return f(at);
    for (int64_t i = 0; i < x_.size(dim); ++i) {
      if (elides(dim) && i == edge_items) i = x_.size(dim) - edge_items;
      for_each_shown(dim + 1, at + i * x_.strides()[dim], f);
    }
  }

  void choose_style() {
    double smallest = HUGE_VAL, largest = 0;
    bool all_whole = true;
    for_each_shown(0, 0, [&](int64_t at) {
      const double magnitude = std::abs(real(at));
      if (!std::isfinite(magnitude) || magnitude == 0) return;
      smallest = std::min(smallest, magnitude);
      largest = std::max(largest, magnitude);
      all_whole &= magnitude == std::ceil(magnitude);
    });
    style_ = all_whole ? Style::whole : Style::fixed;
    if (largest > 0 && (largest / smallest > largest_ratio || largest > largest_fixed || smallest < smallest_fixed))
      style_ = Style::scientific;
  }

  std::string text(int64_t at) const {
    if (x_.dtype() == DType::boolean) return integer(at) ? "True" : "False";
    if (!is_floating(x_.dtype())) return std::to_string(integer(at));
    const double value = real(at);
    if (style_ == Style::scientific) return printed('e', precision, value);
    if (style_ == Style::fixed) return printed('f', precision, value);
    return printed('f', 0, value) + (std::isfinite(value) ? "." : "");
  }
  std::string padded(int64_t at) const {
    const std::string plain = text(at);
    return std::string(width_ - std::min(width_, plain.size()), ' ') + plain;
  }

  std::string nested(int dim, int64_t at, int indent) const {
    const int depth = x_.ndim() - dim;
    if (depth == 0) return padded(at);
    const int64_t per_line =
        depth > 1 ? 1 : std::max<int64_t>(1, (line_width - indent) / (static_cast<int64_t>(width_) + 2));
    const std::string line_break = "," + std::string(static_cast<size_t>(std::max(depth - 1, 1)), '\n') +
                                   std::string(static_cast<size_t>(indent) + 1, ' ');
    std::string result = "[";
    int64_t written = 0;
    auto write = [&](const std::string& item) {
      if (written) result += written % per_line ? ", " : line_break;
      result += item;
      ++written;
    };
    for (int64_t i = 0; i < x_.size(dim); ++i) {
      if (elides(dim) && i == edge_items) {
        write(depth == 1 ? " ..." : "...");
        i = x_.size(dim) - edge_items;
      }
      write(nested(dim + 1, at + i * x_.strides()[dim], indent + 1));
    }
    return result + "]";
  }

  const Tensor& x_;
  bool summarized_;
  Style style_ = Style::whole;
  size_t width_ = 1;
};

// "log_softmax" as "LogSoftmaxBackward0".
std::string backward_name(std::string_view op) {
  std::string name;
  bool starts_word = true;
  for (char c : op) {
    if (c != '_') name += starts_word ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    starts_word = c == '_';
  }
  return name + "Backward0";
}

// An empty tensor shows no element that would tell its shape and dtype.
std::vector<std::string> suffixes_of(const Tensor& x) {
  std::vector<std::string> suffixes;
  const bool empty = x.numel() == 0;
  if (empty && x.ndim() != 1) suffixes.push_back("size=" + to_string(x.shape()));
  const bool dtype_shows =
      x.dtype() == DType::float32 || (!empty && (x.dtype() == DType::int64 || x.dtype() == DType::boolean));
  if (!dtype_shows) suffixes.push_back(std::string("dtype=chainrule.") + name_of(x.dtype()));
  if (!x.is_leaf()) suffixes.push_back("grad_fn=<" + backward_name(x->node->name()) + ">");
  else if (x.requires_grad()) suffixes.push_back("requires_grad=True");
  return suffixes;
}

}  // namespace

std::string to_string(const Tensor& tensor) {
  const std::string prefix = "tensor(";
  const size_t indent = prefix.size();
  std::string result = prefix + Layout(tensor).body(static_cast<int>(indent));
  // Counted as PyTorch counts it: a line break is part of the line, and one column is kept for the comma.
  const size_t line_break = result.rfind('\n');
  size_t line_length = line_break == std::string::npos ? result.size() + 2 : result.size() - line_break + 1;
  for (const std::string& suffix : suffixes_of(tensor)) {
    if (line_length + suffix.size() + 2 > line_width) {
      result += ",\n" + std::string(indent, ' ') + suffix;
      line_length = indent + suffix.size();
    } else {
      result += ", " + suffix;
      line_length += suffix.size() + 2;
    }
  }
  return result + ")";
}

}  // namespace chainrule
