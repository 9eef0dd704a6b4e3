// What a file tree must be, in memory and without cleverness: what tests/fuzz/operations_fuzz.cc compares the file
// system with. Verbs give 0 or the errno that Filesystem's contract promises (fs/filesystem.h).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace coffer::fuzz {

struct Node;
using NodePtr = std::shared_ptr<Node>;

struct Node {
  enum class Kind { kFile, kDirectory, kSymlink, kFifo };
  Kind kind = Kind::kFile;
  mode_t mode = 0;      // permission bits
  std::string content;  // of a file; where a symbolic link leads
  std::map<std::string, NodePtr> children;
  std::map<std::string, std::string> xattrs;
  std::optional<timespec> mtime;                   // as set, while nothing has changed it since
  std::set<std::pair<Node*, std::string>> places;  // its names; none: removed, or the root

  // What the real one is called in the present mount.
  std::uint64_t id = 0;  // 0: not looked up
  std::uint64_t lookups = 0;
  std::set<std::pair<Node*, std::string>> met;  // those of its places that were told to it
  std::uint64_t ino = 0;                        // once seen, for ever

  bool is_directory() const { return kind == Kind::kDirectory; }
  bool is_file() const { return kind == Kind::kFile; }
};

// Content; each forgets the time.
void grow(Node& file, std::size_t size);
void put(Node& file, std::size_t offset, const std::string& data);
void zero(Node& file, std::size_t offset, std::size_t length);  // up to the end of the file
void truncate(Node& file, std::size_t size);
std::string piece(const Node& file, std::size_t offset, std::size_t length);

// Names.
int add(Node& parent, const std::string& name, const NodePtr& node);  // made or linked
int unlink(Node& parent, const std::string& name);
int rmdir(Node& parent, const std::string& name);
int rename(Node& from, const std::string& name, Node& to, const std::string& new_name, unsigned flags);
NodePtr find(const Node& parent, const std::string& name);
// `above` is `node` or a directory over it.
bool is_above(const Node& above, const Node& node);

// Attributes.
int set_xattr(Node& node, const std::string& name, const std::string& value, int flags);
int remove_xattr(Node& node, const std::string& name);

}  // namespace coffer::fuzz
