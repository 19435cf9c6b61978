// graph_object.h - what stands behind a Python Graph: the graph, its names, its programs. Floor: bindings.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "chainrule/graph/program.h"
#include "tensor_type.h"

namespace chainrule::python {

class GraphObject {
 public:
  const Graph& graph() const { return graph_; }
  void set(Graph graph);
  const std::vector<std::string>& labels() const { return labels_; }

  /// The output of that name, or else the node; fails naming those there are.
  Ref find_output(std::string_view name, std::string_view op) const;
  /// The node of that name, or else what the output is.
  Ref find_node(std::string_view name, std::string_view op) const;
  /// The same by numbers; fails when there is no such node or output.
  Ref checked(int node, int output) const;
  /// The input of that name.
  int find_input(PyObject* name) const;
  std::span<const int> inputs() const { return inputs_; }

  /// The program for this unknown size (0 where all sizes are known), which is the last one from now on.
  Program& program(int64_t n);
  /// The program of the last run; fails when there was none.
  Program& last(std::string_view op) const;
  /// Fails when nobody has said yet what the outputs are: then there is no node.
  void require_outputs(std::string_view op) const;
  bool has_run() const { return last_ != nullptr; }

  /// Inputs and parameters that a floating gradient of `of` can be asked for.
  const std::vector<int>& leaves_below(Ref of);
  PyObject* name_object(int node) const { return name_objects_[static_cast<size_t>(node)].ptr(); }
  PyObject* output_name(size_t k) const { return output_names_[k].ptr(); }

  /// Fails when the graph is running already, in another thread.
  class Running {
   public:
    explicit Running(GraphObject& graph);
    ~Running() { graph_.running_ = false; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    GraphObject& graph_;
  };

  /// Says that a pass begins, of that name: steps of one that has not ended would mix two runs.
  void begin_pass(const char* name) {
    ++passes_;
    last_pass_ = name;
  }
  std::pair<int64_t, const char*> last_pass() const { return {passes_, last_pass_}; }

  /// After a run that failed: no value is that of a run, no gradient that of a backward.
  void forget_run();

  bool has_unknown_size = false;
  bool has_frozen = false;  ///< values that may have to be warned of: GraphNode::frozen_by
  // The keywords of the last call and the inputs they name: a loop passes the same tuple each time.
  py::object last_keywords;
  std::vector<int> last_inputs;

 private:
  using Names = std::unordered_map<std::string, Ref>;

  Graph graph_;
  std::vector<std::string> labels_;
  Ref find(const Names& first, const Names& then, std::string_view name, std::string_view op) const;

  Names nodes_, outputs_;
  std::vector<int> inputs_;
  std::vector<py::object> name_objects_, output_names_;
  struct KeptProgram {
    std::unique_ptr<Program> program;
    uint64_t last_use = 0;
  };
  void drop_programs();

  std::map<int64_t, KeptProgram> programs_;
  uint64_t uses_ = 0;
  Program* last_ = nullptr;
  Ref leaves_of_;
  std::vector<int> leaves_;
  bool running_ = false;
  int64_t passes_ = 0;
  const char* last_pass_ = "";
};

/// Adds forward and backward to the type: graph_run.cpp.
void add_graph_methods(py::handle graph_type);

}  // namespace chainrule::python
