// Every inode the kernel knows, and how each is found again in the vault.
//
// Inode numbers are counters; the identity of an inode is that of its ciphertext file (device, number, birth time: file
// systems reuse numbers at once). An Inode lives while anything holds it: the kernel (lookup count), a child's place,
// an open handle, a verb at work. While it lives, every lookup of the same file gives the same object and number.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "base/sys.h"
#include "crypto/types.h"
#include "fs/types.h"

namespace coffer::fs {

struct BackingId {
  dev_t dev = 0;
  ino_t ino = 0;
  std::int64_t birth_ns = 0;
  friend bool operator==(const BackingId&, const BackingId&) = default;

  static BackingId of(const base::sys::Stat& stat) { return {stat.dev, stat.ino, base::sys::nanoseconds(stat.btime)}; }
};

struct BackingIdHash {
  std::size_t operator()(const BackingId& id) const noexcept {
    return std::hash<std::uint64_t>()(id.ino * 0x9e3779b97f4a7c15ULL ^ id.dev) ^ static_cast<std::size_t>(id.birth_ns);
  }
};

class Directory;
class FileState;
class InodeTable;
struct Inode;
using InodeRef = std::shared_ptr<Inode>;

// An entry that does not lie under the name computed for it: a conflict copy, a name under an older id.
struct OddEntry {
  std::string entry;  // on disk
  std::string full;   // ciphertext name, undecorated
  crypto::DirId under;
};

// Where an inode lies: a name in a directory. Entry names are computed from the name again when needed; only odd ones
// are carried along.
struct Place {
  InodeRef parent;
  std::string name;  // plaintext, as shown
  std::unique_ptr<OddEntry> odd;
};

// What a special file's header says; needed for stat, so kept.
struct SpecialNode {
  mode_t type = 0;  // S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK
  dev_t rdev = 0;
};

struct Inode {
  Inode(InodeTable& owner, InodeId number, const BackingId& below, crypto::Kind its_kind, bool is_dir);
  ~Inode();
  Inode(const Inode&) = delete;
  Inode& operator=(const Inode&) = delete;

  InodeTable& table;
  const InodeId id;
  const BackingId backing;
  const crypto::Kind kind;
  const bool is_directory;

  // Guarded by the table's mutex; use the table's functions.
  bool removed = false;         // no name left that we know of, by our own doing
  bool replaced = false;        // changed by others: the file has another Inode now, this one serves old handles
  bool settle_pending = false;  // queued for its header to be brought up to date
  std::uint64_t lookups = 0;
  Place place;                      // the last known; empty for the root and where none is known
  std::vector<Place> other_places;  // further names (hard links)
  std::weak_ptr<FileState> file;    // while open
  // The state of the ciphertext file that the kernel's pages of this inode come from; ctime 0: none known.
  std::int64_t cached_ctime_ns = 0;
  std::uint64_t cached_length = 0;
  std::int64_t settled_ctime_ns = 0;  // of the state whose header is known to say all; 0: none
  std::unique_ptr<SpecialNode> special;
  std::unique_ptr<Attr> last_attr;         // of a removed inode
  std::shared_ptr<const UniqueFd> orphan;  // O_PATH, of a file about to lose its last name

  // Directories only; constant after construction.
  std::unique_ptr<Directory> directory;
};

class InodeTable {
 public:
  InodeTable();
  ~InodeTable();

  // The root gets number 1 and a lookup count of its own.
  InodeRef make_root(const BackingId& backing) EXCLUDES(mutex_);

  // The inode of `backing`, known or new, with `lookups` lookup counts taken; its place becomes (parent, name). Finding
  // and counting is one step: a FORGET in between cannot lose it. These are the only functions that take a count from 0
  // to 1.
  InodeRef ref(const BackingId& backing, crypto::Kind kind, bool is_directory, Place place, std::uint64_t lookups)
      EXCLUDES(mutex_);
  // nullptr: not known.
  InodeRef get(InodeId id) EXCLUDES(mutex_);
  InodeRef find(const BackingId& backing) EXCLUDES(mutex_);
  void forget(InodeId id, std::uint64_t count) EXCLUDES(mutex_);

  // A copy of the inode's current place. parent is null for the root and for inodes without a known name.
  Place place_of(const Inode& inode) EXCLUDES(mutex_);
  // The name is gone; another known one takes over. True if none is left.
  bool remove_place(Inode& inode, const Inode& parent, std::string_view name) EXCLUDES(mutex_);
  // After a rename: forget the old name, know the new one. One step: at no time has the inode no place.
  void move_place(Inode& inode, const Inode& old_parent, std::string_view old_name, Place place) EXCLUDES(mutex_);
  // The inode's last name is gone and nothing holds it open: what stat says from now on.
  void set_removed(Inode& inode, const Attr& attr) EXCLUDES(mutex_);
  std::unique_ptr<Attr> removed_attr(const Inode& inode) EXCLUDES(mutex_);

  std::shared_ptr<const UniqueFd> orphan_of(const Inode& inode) EXCLUDES(mutex_);  // only once removed
  void set_orphan(Inode& inode, std::shared_ptr<const UniqueFd> fd) EXCLUDES(mutex_);

  std::shared_ptr<FileState> file_of(const Inode& inode) EXCLUDES(mutex_);
  // Sets the open file unless there is one; gives the one that counts.
  std::shared_ptr<FileState> publish_file(Inode& inode, std::shared_ptr<FileState> file) EXCLUDES(mutex_);

  // Does the kernel's page cache, if any, hold the content of this state of the ciphertext file?
  bool is_cached(const Inode& inode, const base::sys::Stat& stat) EXCLUDES(mutex_);
  void set_cached(Inode& inode, const base::sys::Stat& stat) EXCLUDES(mutex_);

  // Was the header brought up to date with this state of the ciphertext file, its name and attributes?
  bool is_settled(const Inode& inode, const base::sys::Stat& stat) EXCLUDES(mutex_);
  void set_settled(Inode& inode, const base::sys::Stat& stat) EXCLUDES(mutex_);

  std::unique_ptr<SpecialNode> special_of(const Inode& inode) EXCLUDES(mutex_);
  void set_special(Inode& inode, const SpecialNode& special) EXCLUDES(mutex_);

  // True if it was not pending before.
  bool begin_settle(Inode& inode) EXCLUDES(mutex_);
  void end_settle(Inode& inode) EXCLUDES(mutex_);

  // The file below is not what it was when the kernel learned of this inode: lookups give another one from now on, with
  // another number, since with the writeback cache the kernel believes its own size and times of the old one for as
  // long as it knows it. Returns the places of it that are known. Not for directories.
  std::vector<Place> replace(Inode& inode) EXCLUDES(mutex_);
  bool is_replaced(const Inode& inode) EXCLUDES(mutex_);
  std::vector<Place> places_of(const Inode& inode) EXCLUDES(mutex_);

  // All that the kernel knows.
  std::vector<InodeRef> all() EXCLUDES(mutex_);
  // Called from the destructor of a directory's inode that was watched. Set while no other thread uses the table.
  using WatchedGone = std::function<void(std::string handle, Place place, const BackingId& id)>;
  void on_watched_gone(WatchedGone function) { watched_gone_ = std::move(function); }

  std::uint64_t size() const EXCLUDES(mutex_);

 private:
  friend struct Inode;
  void erase(const Inode& inode) EXCLUDES(mutex_);
  static void add_place_locked(Inode& inode, Place place);
  // The place that went, to be destroyed with the mutex free.
  [[nodiscard]] static Place remove_place_locked(Inode& inode, const Inode& parent, std::string_view name);
  std::vector<Place> places_locked(const Inode& inode) const REQUIRES(mutex_);

  WatchedGone watched_gone_;
  mutable base::Mutex mutex_;
  std::uint64_t next_id_ GUARDED_BY(mutex_) = kRootInode.value;
  // Owns those the kernel knows.
  std::unordered_map<std::uint64_t, InodeRef> by_id_ GUARDED_BY(mutex_);
  // All that live.
  std::unordered_map<BackingId, std::weak_ptr<Inode>, BackingIdHash> by_backing_ GUARDED_BY(mutex_);
};

}  // namespace coffer::fs
