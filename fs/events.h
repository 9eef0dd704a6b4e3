// What was found wrong with the vault since the mount: counted, logged once with its place, kept for `coffer status`.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "base/mutex.h"

namespace coffer::fs {

enum class EventKind {
  kIntegrity,   // content, header or length that does not authenticate or is incomplete: somebody got EIO
  kMoved,       // a file found elsewhere than its header says
  kUnreadable,  // names that look like ours and do not authenticate where they are
  kWriteError,  // something held back could not be written
  kSetAside     // what a mount that died had still to write does not fit the vault any more
};

// Thread-safe; a leaf in the lock order.
class Events {
 public:
  // `line` names ciphertext files and chunks, never plaintext.
  void report(EventKind kind, const std::string& line) EXCLUDES(mutex_);

  std::uint64_t count(EventKind kind) const EXCLUDES(mutex_);
  std::vector<std::string> recent() const EXCLUDES(mutex_);

 private:
  static constexpr std::size_t kRecentMax = 20;
  mutable base::Mutex mutex_;
  std::uint64_t counts_[5] GUARDED_BY(mutex_) = {};
  std::deque<std::string> recent_ GUARDED_BY(mutex_);
};

}  // namespace coffer::fs
