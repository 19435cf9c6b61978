// program.h - a graph of known sizes, laid out to be run again and again. Floor: graph.
// Each node has its buffers from the first run on and calls its kernel directly. A buffer that somebody outside still
// holds is left to them. Forward and backward give the bits of eager execution: they call the same kernels in the same
// order.
#pragma once
#include <span>
#include <vector>

#include "chainrule/graph/graph.h"

namespace chainrule {

class Program {
 public:
  explicit Program(Graph graph);

  const Graph& graph() const { return graph_; }
  /// Of the memory that the inputs and results of a run take.
  double bytes() const { return bytes_; }

  // ---- Forward ----
  /// Gives an input its value; fails unless shape and dtype are those of the input.
  void feed(int node, const Tensor& value);
  /// The same for a 0-d input.
  void feed(int node, double value);
  /// Every input has its own value again, or none.
  void forget_feeds();
  void forward();
  /// Fails, naming the first, when an input that the outputs depend on has no value; then forgets the last run.
  void begin_forward();
  void run_node(int node);  ///< its inputs have run
  /// Nothing has a value that will not have been computed anew: before a run a node at a time, after one that failed.
  void forget_results();
  /// The value of the last run; empty when there was none.
  const Tensor& value(Ref ref) const { return values_[slot(ref)]; }

  // ---- Backward ----
  /// Gradients of `of`, weighted by seed (empty: 1, for one element only), with respect to the outputs of the nodes in
  /// wrt. With `keep`, those of all nodes between stay readable.
  void backward(Ref of, std::span<const int> wrt, const Tensor& seed, bool keep);
  void begin_backward(Ref of, std::span<const int> wrt, const Tensor& seed, bool keep);
  /// The nodes that backward visits, consumers first.
  std::span<const int> backward_order() const { return order_; }
  /// What one node gave to its inputs: the gradient for each, empty where none is owed.
  std::vector<Tensor> run_node_backward(int node);
  /// That of the last backward; where it was not kept, the pass is run again.
  Tensor gradient(Ref ref);
  /// The gradient of a node in wrt, in memory of its own.
  Tensor take_gradient(int node) const;

  /// A node whose memory was changed in place since the last forward, or -1.
  int first_changed() const;

 private:
  size_t slot(Ref ref) const { return first_slot_[static_cast<size_t>(ref.node)] + static_cast<size_t>(ref.output); }
  std::string label(int node) const;  ///< for errors
  void plan_backward(Ref of, std::span<const int> wrt);
  void check_unchanged() const;
  void note_results();
  void give(Ref to, Tensor gradient);
  void backward_of(int node, std::vector<Tensor>* shown);
  void backward_of_elementwise(const GraphNode& node, unsigned owed, Tensor gy, Tensor* gx) const;
  void backward_of_structured(const GraphNode& node, unsigned owed, std::span<Tensor> gy, std::span<Tensor> gx) const;

  Graph graph_;
  std::vector<size_t> first_slot_;
  std::vector<int> ops_, leaves_;
  std::vector<Tensor> values_, gradients_;  // by slot
  std::vector<uint32_t> versions_;  // of the leaves' memory, when forward read it
  std::vector<uint32_t> result_versions_;  // of the outputs' memory, when forward had made it
  double bytes_ = 0;
  bool has_run_ = false, keep_ = false;
  Tensor seed_;

  // The last backward plan, which serves until another gradient is asked for.
  Ref of_;
  std::vector<int> wrt_, order_;
  std::vector<unsigned> owed_;  // by node: which inputs lead to wrt
  std::vector<char> asked_;  // by node: is it in wrt
};

}  // namespace chainrule
