// Entries on their way: from just before a system call that renames or removes one until the inode table knows.
//
// Verbs that start from an inode take no lock of names, so in that time they may look where the file was a moment ago
// and find nothing, or another. They ask here whether that can be the reason, and look again.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/mutex.h"

namespace coffer::fs {

class Moves {
 public:
  // While one exists, an entry is under way. A thread has at most one.
  class UnderWay {
   public:
    explicit UnderWay(Moves& moves) : moves_(moves) {
      moves_.begin();
      mine_ = true;
    }
    ~UnderWay() {
      mine_ = false;
      moves_.end();
    }
    UnderWay(const UnderWay&) = delete;
    UnderWay& operator=(const UnderWay&) = delete;

   private:
    Moves& moves_;
  };

  // How many have ended so far; to be read before looking.
  std::uint64_t ended() const { return ended_; }
  // Has an entry been under way at any time since `ended` was read? Then waits for it, and it is worth looking again.
  // False for a thread that has one under way itself: it would wait for ever, and knows what it does.
  bool wait(std::uint64_t ended) EXCLUDES(mutex_) {
    if (mine_) return false;
    base::MutexLock lock(mutex_);
    if (begun_ == ended) return false;
    for (const std::uint64_t begun = begun_; ended_ < begun;) change_.wait(mutex_);
    return true;
  }

 private:
  void begin() EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    ++begun_;
  }
  void end() EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    ++ended_;
    change_.notify_all();
  }

  static inline thread_local bool mine_ = false;
  base::Mutex mutex_;  // a leaf
  base::CondVar change_;
  std::uint64_t begun_ GUARDED_BY(mutex_) = 0;
  std::atomic<std::uint64_t> ended_{0};  // changes under mutex_
};

}  // namespace coffer::fs
