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
  struct Unsaved {
    InodeRef inode;
    std::shared_ptr<FileState> file;
  };
  struct Work {
    // Brings the header of a file up to date with its place and attributes, ten seconds after its content changed.
    std::function<void(const InodeRef&)> settle;
    // Brings what these files hold into their ciphertext files; a failure is their own flush's to tell.
    std::function<void(const std::vector<Unsaved>&)> store;
    // Makes all that was written so far durable; false: it could not, and is to be called again.
    std::function<bool()> sync_disk;
  };

  // With `by_hand` there are no threads: nothing happens but in round() and drain(). For tests.
  explicit Settler(InodeTable& inodes, Work work, bool by_hand = false);
  ~Settler();  // stop()

  // An open file may have changes that are not on disk. To be called after each change, whether it succeeded or not;
  // cheap if the file is waiting already.
  void file_changed(const InodeRef& inode, const std::shared_ptr<FileState>& file) EXCLUDES(mutex_);
  // The content of a file reached the disk: its header settles later.
  void content_written(const InodeRef& inode) EXCLUDES(mutex_);
  // Something below changed: sync_disk() within five seconds.
  void disk_changed() EXCLUDES(mutex_);
  // The same, but what changed is durable in the journal: sync_disk() within some ten seconds.
  void journal_applied() EXCLUDES(mutex_);
  // Runs `check` soon, in a thread of its own: the content sum of a large file.
  void check_later(std::function<void()> check) EXCLUDES(mutex_);
  // A file with changes that are not in its ciphertext file and that no handle holds any more: they are in the journal,
  // or could not be written. Kept, and stored soon or tried again.
  void keep_unsaved(const InodeRef& inode, const std::shared_ptr<FileState>& file) EXCLUDES(mutex_);
  // So many of these are kept that store_unsaved() should be called.
  bool keeps_many() const EXCLUDES(mutex_);
  // Stores at once, in the caller's thread, what is kept.
  void store_unsaved() EXCLUDES(turn_, mutex_);
  // The next round should come now, not at the next second, and apply all that is in the journal.
  void hurry() EXCLUDES(mutex_);

  // Does at once, in the caller's thread, what is waiting; waits first for the end of the round that is under way.
  // Returns files that still are not saved. Also after stop().
  std::vector<std::shared_ptr<FileState>> drain() EXCLUDES(turn_, mutex_);
  // What the settling thread does each second, at once and in the caller's thread, as if it were `now`.
  void round(Clock::time_point now) EXCLUDES(turn_, mutex_);
  // Ends both threads; what they have not begun keeps waiting, for drain().
  void stop() EXCLUDES(turn_, mutex_);

  std::uint64_t waiting() const EXCLUDES(mutex_);

 private:
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
  std::vector<Unsaved> due_files(Clock::time_point now, bool hurrying) REQUIRES(turn_) EXCLUDES(mutex_);
  void settle_until(Clock::time_point time) REQUIRES(turn_) EXCLUDES(mutex_);
  void store_kept() REQUIRES(turn_) EXCLUDES(mutex_);
  void strike_saved() REQUIRES(turn_) EXCLUDES(mutex_);

  InodeTable& inodes_;
  const Work work_;
  base::Mutex turn_;  // held by whoever works: a round, or drain()
  mutable base::Mutex mutex_;
  base::CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool hurrying_ GUARDED_BY(mutex_) = false;
  // Anybody may append to these; only who has the turn removes, so positions seen by the latter stay what they are.
  std::vector<Changed> changed_ GUARDED_BY(mutex_);
  std::vector<Unsaved> unsaved_ GUARDED_BY(mutex_);
  std::deque<std::function<void()>> checks_ GUARDED_BY(mutex_);
  std::deque<Settling> settling_ GUARDED_BY(mutex_);
  std::optional<Clock::time_point> disk_changed_since_ GUARDED_BY(mutex_);
  std::optional<Clock::time_point> applied_since_ GUARDED_BY(mutex_);
  base::CondVar check_wake_;
  std::thread thread_;
  std::thread check_thread_;
};

}  // namespace coffer::fs
