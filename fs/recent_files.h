// Files that were written and closed a moment ago, still open below: programs that append open and close their file
// each time, and editors, compilers and git open again what they just wrote.
//
// Bounded in number; a file leaves when its header settles, when it is removed, and when others push it out. What
// one of them has in the journal only, the settler applies. Whoever finds a file through it checks by name that the
// vault still has it (Filesystem::Impl::reach()). Thread-safe; a leaf in the lock order.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "base/mutex.h"
#include "fs/file_state.h"

namespace coffer::fs {

class RecentFiles {
 public:
  void keep(std::shared_ptr<FileState> file) EXCLUDES(mutex_) {
    std::shared_ptr<FileState> pushed_out;  // dies after the lock
    base::MutexLock lock(mutex_);
    if (std::find(files_.begin(), files_.end(), file) != files_.end()) return;
    files_.push_back(std::move(file));
    if (files_.size() <= kFilesMax) return;
    pushed_out = std::move(files_.front());
    files_.pop_front();
  }

  // The caller holds a reference, so nothing dies in here.
  void drop(const std::shared_ptr<FileState>& file) EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    std::erase(files_, file);
  }

  void clear() EXCLUDES(mutex_) {
    std::deque<std::shared_ptr<FileState>> files;
    base::MutexLock lock(mutex_);
    files.swap(files_);
  }

 private:
  static constexpr std::size_t kFilesMax = 16;  // a descriptor and at most a chunk of memory each

  base::Mutex mutex_;
  std::deque<std::shared_ptr<FileState>> files_ GUARDED_BY(mutex_);
};

}  // namespace coffer::fs
