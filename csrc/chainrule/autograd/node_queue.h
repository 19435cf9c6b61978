// node_queue.h - the order of a backward pass: largest sequence number first, leaves last. Floor: autograd.
#pragma once
#include <algorithm>
#include <memory_resource>
#include <utility>
#include <vector>

#include "chainrule/autograd/node.h"

namespace chainrule {

/// Of two nodes, was a recorded first? Inputs come before their consumers.
inline bool earlier(const Node* a, const Node* b) { return a->sequence < b->sequence; }

/// The nodes that have a gradient and wait for their turn. Most graphs are chains: the node given last is mostly the
/// next to go, and passes by the heap. Leaves need no order.
class NodeQueue {
 public:
  explicit NodeQueue(std::pmr::memory_resource* memory) : heap_(memory), leaves_(memory) {}

  void push(Node* node) {
    if (node->is_leaf()) {
      leaves_.push_back(node);
      return;
    }
    if (!next_) {
      next_ = node;
      return;
    }
    if (earlier(next_, node)) std::swap(next_, node);
    heap_.push_back(node);
    std::push_heap(heap_.begin(), heap_.end(), earlier);
  }

  /// The latest node, or a leaf when there is no other; null at the end.
  Node* pop() {
    if (next_ && (heap_.empty() || earlier(heap_.front(), next_))) return std::exchange(next_, nullptr);
    if (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), earlier);
      return take_back(heap_);
    }
    return leaves_.empty() ? nullptr : take_back(leaves_);
  }

 private:
  static Node* take_back(std::pmr::vector<Node*>& nodes) {
    Node* node = nodes.back();
    nodes.pop_back();
    return node;
  }

  Node* next_ = nullptr;
  std::pmr::vector<Node*> heap_, leaves_;
};

}  // namespace chainrule
