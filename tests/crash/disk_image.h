// What lies on the disks below a mounted vault: the vault folder and the local-state folder, as plain values.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "base/sys.h"
#include "tests/support/temp_dir.h"

namespace coffer::crash {

namespace sys = base::sys;

// A file or directory below, for as long as the harness runs: the same in the recorded folder and in all rebuilt ones.
using NodeId = std::uint32_t;
inline constexpr NodeId kVaultRoot = 1;
inline constexpr NodeId kStateRoot = 2;

enum class Disk : std::uint8_t { kVault, kState };

struct Node {
  Disk disk = Disk::kVault;
  bool directory = false;
  mode_t mode = 0;
  std::string content;
  std::map<std::string, NodeId> entries;
  std::map<std::string, std::string> xattrs;
};

using Image = std::map<NodeId, Node>;
Image empty_image();
// Equal for equal images (those of one workload; not kept anywhere).
std::uint64_t hash_of(const Image& image);

// How the file system below would name a node. It is told the same in every rebuilt folder, since after a power cut a
// file has the inode it had.
struct Identity {
  dev_t dev = 0;
  ino_t ino = 0;
  timespec birth{};
};

// Thread-safe.
class Identities {
 public:
  NodeId add(const sys::Stat& stat);
  // The identity of a node that an image began with and nobody has seen yet becomes that of `stat`.
  Identity of(NodeId node, const sys::Stat& stat);

 private:
  base::Mutex mutex_;
  std::vector<Identity> known_ GUARDED_BY(mutex_) = std::vector<Identity>(kStateRoot + 1);
};

// Both folders, with which inode is which node.
class Folders {
 public:
  explicit Folders(const Image& image);

  struct Here {
    NodeId node;
    Disk disk;
  };
  const std::string& vault() const { return vault_.path(); }
  base::UniqueFd open_vault() const { return vault_.open(); }
  base::UniqueFd open_state() const { return state_.open(); }
  const std::unordered_map<ino_t, Here>& inodes() const { return inodes_; }

 private:
  void fill(const Image& image, const Node& directory, base::FdRef fd, const std::string& path);
  void write(const Image& image, NodeId id, base::FdRef parent, const std::string& path);

  test::TempDir vault_;
  test::TempDir state_;
  std::unordered_map<ino_t, Here> inodes_;
  std::map<NodeId, std::string> first_paths_;  // of files, for their further links
};

}  // namespace coffer::crash
