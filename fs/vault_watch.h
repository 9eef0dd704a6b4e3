// Tells of changes that others make in the vault folder: what lets the kernel keep names and attributes for long.
//
// One directory is watched at a time, when its content is first about to be told to the kernel. fanotify gives the
// process of each event, so what this process does itself is dismissed here, for nanoseconds; only the rest is told.
// Where the kernel or the file system cannot tell (start() fails), or a directory cannot be watched (add() is false),
// nothing may be cached for long: silence means nothing there.
//
// Order, for the user of this class: add() first, then look at the directory. What changes after add() is told; so what
// is read after it is either up to date or will be told about.
//
// What no kernel tells: changes through a shared memory mapping, changes of a file through a name of it in a directory
// that is not watched, and what another machine does to a network file system (see is_told_of_changes).
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "fs/inode_table.h"

namespace coffer::fs {

// What others did to one entry of a watched directory since the last report.
struct OutsideChange {
  InodeRef directory;
  std::string entry;          // on disk; "." for the directory itself
  bool came_or_went = false;  // the entry, or what lies under its name; of ".": it was moved or removed
  bool content = false;
  bool attributes = false;
};

struct OutsideChanges {
  std::vector<OutsideChange> changes;
  std::vector<InodeRef> by_ourselves;  // drop_soon()
  bool lost = false;                   // too many: anything may have changed, also what `changes` does not name
};

// Does this kind of file system (statfs's f_type) tell of all changes that its users can make? Only kinds known to be
// local do: a change on another machine is nobody's event here.
bool is_told_of_changes(std::uint64_t filesystem_type);

// Thread-safe.
class VaultWatch {
 public:
  struct Options {
    // Events are collected for this long, so that a busy mount wakes the thread ten or twenty times a second, not ten
    // thousand.
    std::chrono::milliseconds delay{50};
    // Directories watched at most (each holds about 1.5 KiB of kernel memory), besides what the kernel allows.
    std::size_t directories_max = 1 << 17;
  };
  // Called on the watching thread with no lock held. True: something is left to do, call again in a second.
  using Report = std::function<bool(OutsideChanges)>;
  // A descriptor of the directory that lies at `place` if it is still `id`; called on the watching thread.
  using Reopen = std::function<Result<std::shared_ptr<const UniqueFd>>(const Place& place, const BackingId& id)>;

  // nullptr, and why in words: this folder cannot be watched.
  static std::unique_ptr<VaultWatch> start(FdRef vault, const Options& options, Report report, Reopen reopen,
                                           std::string& why_not);
  ~VaultWatch();  // stop()

  // Watches `directory`, of which `fd` is a descriptor, as long as its Inode lives. False: cannot be watched (asked
  // once, remembered). Cheap when it is watched already.
  bool add(const InodeRef& directory, FdRef fd) EXCLUDES(mutex_);
  // From the destructor of a watched Inode: nobody needs to hear of it any more.
  void drop(std::string handle, Place place, const BackingId& id) EXCLUDES(mutex_);
  // We changed attributes of `inode` in a way that the kernel cannot know of: in the next report.
  void drop_soon(const InodeRef& inode) EXCLUDES(mutex_);
  // Afterwards no report is running and none comes.
  void stop() EXCLUDES(mutex_);

  std::uint64_t directories() const { return count_; }
  std::uint64_t refused() const { return refused_; }

 private:
  struct Dropped {
    std::string handle;
    Place place;
    BackingId id;
  };
  class Collected;
  VaultWatch(UniqueFd group, UniqueFd wake, dev_t device, const Options& options, Report report, Reopen reopen);
  void run() EXCLUDES(mutex_);
  OutsideChanges read_events() EXCLUDES(mutex_);
  void unmark_dropped() EXCLUDES(mutex_);
  InodeRef find(const std::string& handle) EXCLUDES(mutex_);
  bool refuse(const Inode& directory, Errno error);

  const UniqueFd group_;
  const UniqueFd wake_;  // something was dropped or is to be, or stop
  const dev_t device_;
  const Options options_;
  const Report report_;
  const Reopen reopen_;

  // Also held over the marking itself, so that marking anew and taking away of one directory do not cross.
  base::Mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<Inode>> by_handle_ GUARDED_BY(mutex_);
  std::vector<Dropped> dropped_ GUARDED_BY(mutex_);
  std::vector<InodeRef> by_ourselves_ GUARDED_BY(mutex_);
  std::atomic<bool> stopping_{false};
  std::atomic<bool> limit_logged_{false};
  std::atomic<std::uint64_t> count_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::thread thread_;
};

}  // namespace coffer::fs
