// crash_load: programs at work on a mount whose daemon is killed, and what must be there afterwards. See main.cc.
//
// The model is kept outside the mount. Of content it knows, page by page, every state since the last promise: the
// kernel keeps its pages in memory and writes them back one by one, in an order of its own, so after a crash each is as
// of some moment since then, and so is the size. (A torn chunk shows otherwise: it does not authenticate.) Of names it
// knows one state, because each change of a name is in the vault folder before the call returns, and perhaps one change
// that was under way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace crash {

using Data = std::vector<std::uint8_t>;
using Hash = std::uint64_t;

constexpr std::size_t kPage = 4096;

// Of up to a page; shorter ones count as if zeros followed.
Hash hash_page(const std::uint8_t* bytes, std::size_t size);
Hash hash_of_zeros();

enum class Verdict {
  kFine,
  kBeforeClose,    // promised by nobody, but when a file is closed its content goes to the vault folder
  kBeforePromise,  // lost: older than what fsync promised
  kNever,
};

// The states that one thing had, oldest first.
class History {
 public:
  explicit History(std::uint64_t now) : states_{now} {}

  void now(std::uint64_t state) {
    if (states_.back() != state) states_.push_back(state);
  }
  void closed() { closed_ = states_.size() - 1; }
  void promise();
  Verdict verdict(std::uint64_t seen) const;
  // Smallest and largest since the promise.
  std::pair<std::uint64_t, std::uint64_t> range() const;
  // For people: which of its states that is.
  std::string describe(std::uint64_t seen) const;
  std::uint64_t last() const { return states_.back(); }

  std::string text() const;
  static History from(const std::string& text);

 private:
  std::vector<std::uint64_t> states_;
  std::size_t promised_ = 0;  // index; nothing before it may come back
  std::size_t closed_ = 0;
};

struct File {
  Data data;  // what programs see; only while the load runs
  History size{0};
  std::vector<History> pages;
  std::string story;      // the last operations, for people
  bool promised = false;  // ever; what is there after a mount counts

  void note(std::string_view operation);
  // After a change of bytes [begin, end) of `data`, or of its size. To be called before the change is made.
  void changed(std::size_t begin, std::size_t end);
  void closed();
  void promise();
  // Of these bytes only, as O_SYNC does it, and of the size.
  void promise(std::size_t begin, std::size_t end);
};

enum class Kind { kFile, kFolder, kLink };

struct Node {
  Kind kind = Kind::kFile;
  std::string target;  // of a link
  std::shared_ptr<File> file;
};

// By path within the worker's folder.
using Tree = std::map<std::string, Node>;

struct Change {
  enum class What { kNothing, kAdd, kRemove, kRename, kExchange };
  What what = What::kNothing;
  std::string from;  // of kAdd: nothing
  std::string to;    // of kRemove: nothing
  Node added;
};

// A file that replaces another counts as promised: what is renamed over a file must be whole.
void carry_out(Tree& tree, const Change& change);

struct WorkerModel {
  Tree tree;
  Change pending;  // made or not
};

struct Model {
  std::vector<WorkerModel> workers;
};

void save(const Model& model, const std::string& path);
std::optional<Model> load_model(const std::string& path);

}  // namespace crash
