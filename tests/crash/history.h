// What happened to a vault as people see it: every state of every file and of the tree of names, and what was promised
// of them when. The harness compares a vault after a power cut with this.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace coffer::crash {

// A file, symbolic link or directory of the plaintext tree.
using FileId = int;

struct Entry {
  char kind = 'f';  // f, l, d
  FileId id = 0;
  friend bool operator==(const Entry&, const Entry&) = default;
};
using Tree = std::map<std::string, Entry>;  // by path

struct Version {
  int step = 0;  // that made it
  std::string content;
};

// One verb of the file system, with the operations that it caused below: [begin, end) of the recording.
struct Step {
  std::string what;
  std::size_t begin = 0;
  std::size_t end = 0;
};

// What a step that is over has promised about a file: its state is at least this one.
struct Promise {
  int step = 0;
  std::size_t version = 0;
  enum class Kind {
    kDurable,     // fsync, fdatasync, sync
    kProcess,     // close, flush: outlives the process, not the machine
    kIfReplaced,  // holds once the names are as `step` left them: a rename over another file
  } kind = Kind::kDurable;
};

struct FileHistory {
  char kind = 'f';
  std::vector<Version> versions;
  std::vector<Promise> promises;
  int named = 0;          // the step that last changed a name of it
  std::uint64_t ino = 0;  // as stat tells it
};

class History {
 public:
  // --- as it happens -------------------------------------------------------------------------------------------------
  void begin(std::string what, std::size_t operations);
  void end(std::size_t operations);
  int now() const { return static_cast<int>(steps_.size()) - 1; }

  FileId make(char kind);
  void set_content(FileId file, std::string content);
  void set_link(FileId link, std::string target) { files_.at(link).versions.back().content = std::move(target); }
  void set_ino(FileId file, std::uint64_t ino) { files_.at(file).ino = ino; }
  const std::string& content(FileId file) const { return files_.at(file).versions.back().content; }
  // The tree as the current step leaves it.
  Tree& change_tree();
  const Tree& tree() const { return trees_.back().second; }
  void touched(FileId file) { files_.at(file).named = now(); }
  void promise(FileId file, Promise::Kind kind);
  void promise_as_flushed(FileId file);  // kIfReplaced, of what was closed
  void promise_names(int as_of) { name_promises_.emplace_back(now(), as_of); }
  int named(FileId file) const { return files_.at(file).named; }
  // Everything so far was before the recording began.
  void forget_operations();

  // --- looked at afterwards ------------------------------------------------------------------------------------------
  // What was started, and what was over, when the first `count` operations had been done.
  int started(std::size_t count) const;
  int completed(std::size_t count) const;
  const std::vector<Step>& steps() const { return steps_; }
  const std::map<FileId, FileHistory>& files() const { return files_; }
  // All trees of the steps up to `started` and from the one that the steps up to `completed` promise; each with the
  // step that made it. `process`: only that was killed.
  std::vector<std::pair<int, const Tree*>> trees(int started, int completed, bool process) const;
  // The oldest version that `file` may be in, if any was promised; where the tree is that of step `tree`.
  std::optional<std::size_t> promised(FileId file, int completed, int tree, bool process) const;
  bool ever_promised(FileId file, int completed, bool process) const;

 private:
  std::vector<Step> steps_;
  std::map<FileId, FileHistory> files_;
  std::vector<std::pair<int, Tree>> trees_{{-1, {}}};
  std::vector<std::pair<int, int>> name_promises_;  // made by a step, about a step
};

}  // namespace coffer::crash
