// The threads behind the mount. The settling one sees to it that what was written reaches the disk within seconds and
// that headers take their final form; the checking one computes the sums of large files while they are read. Both sleep
// while there is nothing to do.
//
// The settling thread works in rounds. A round takes copies of what waits and strikes out of the lists what is done, so
// nothing is ever out of the sight of waiting(); and a round and drain() take turns, so drain() never misses what a
// round has in hand.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "fs/file_state.h"
#include "fs/inode_table.h"

namespace coffer::fs {

class Settler {
 public:
  using Clock = FileState::Clock;
  struct Work {
    // Brings the header of a file up to date with its place and attributes, ten seconds after its content changed.
    std::function<void(const InodeRef&)> settle;
    // Writes out one open file; a failure is its own flush's to tell.
    std::function<void(const InodeRef&, const std::shared_ptr<FileState>&)> write_out;
    // Makes all that was written so far durable.
    std::function<void()> sync_disk;
  };

  explicit Settler(InodeTable& inodes, Work work);
  ~Settler();  // stop()

  // An open file may have changes that are not on disk. To be called after each change, whether it succeeded or not;
  // cheap if the file is waiting already.
  void file_changed(const InodeRef& inode, const std::shared_ptr<FileState>& file) EXCLUDES(mutex_);
  // The content of a file reached the disk: its header settles later.
  void content_written(const InodeRef& inode) EXCLUDES(mutex_);
  // Something below changed: sync_disk() within five seconds.
  void disk_changed() EXCLUDES(mutex_);
  // Runs `check` soon, in a thread of its own: the content sum of a large file.
  void check_later(std::function<void()> check) EXCLUDES(mutex_);
  // A file with changes that could not be written and that no handle holds any more; kept and tried again.
  void keep_unsaved(const InodeRef& inode, const std::shared_ptr<FileState>& file) EXCLUDES(mutex_);

  // Does at once, in the caller's thread, what is waiting; waits first for the end of the round that is under way.
  // Returns files that still are not saved. Also after stop().
  std::vector<std::shared_ptr<FileState>> drain() EXCLUDES(turn_, mutex_);
  // Ends both threads; what they have not begun keeps waiting, for drain().
  void stop() EXCLUDES(turn_, mutex_);

  std::uint64_t waiting() const EXCLUDES(mutex_);

 private:
  struct Unsaved {
    InodeRef inode;
    std::shared_ptr<FileState> file;
  };
  struct Changed {
    std::weak_ptr<Inode> inode;
    std::weak_ptr<FileState> file;
  };
  struct Settling {
    Clock::time_point when;
    InodeRef inode;
  };
  void run() EXCLUDES(turn_, mutex_);
  void wake() REQUIRES(mutex_);
  bool idle() const REQUIRES(mutex_);
  void run_checks() EXCLUDES(turn_, mutex_);
  void round(Clock::time_point now) REQUIRES(turn_) EXCLUDES(mutex_);
  std::vector<Unsaved> due_files(Clock::time_point now) REQUIRES(turn_) EXCLUDES(mutex_);
  void settle_until(Clock::time_point time) REQUIRES(turn_) EXCLUDES(mutex_);
  void strike_saved() REQUIRES(turn_) EXCLUDES(mutex_);

  InodeTable& inodes_;
  const Work work_;
  base::Mutex turn_;  // held by whoever works: a round, or drain()
  mutable base::Mutex mutex_;
  base::CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  // Anybody may append to these; only who has the turn removes, so positions seen by the latter stay what they are.
  std::vector<Changed> changed_ GUARDED_BY(mutex_);
  std::vector<Unsaved> unsaved_ GUARDED_BY(mutex_);
  std::deque<std::function<void()>> checks_ GUARDED_BY(mutex_);
  std::deque<Settling> settling_ GUARDED_BY(mutex_);
  std::optional<Clock::time_point> disk_changed_since_ GUARDED_BY(mutex_);
  base::CondVar check_wake_;
  std::thread thread_;
  std::thread check_thread_;
};

}  // namespace coffer::fs
