#include "fs/events.h"

#include "base/log.h"

namespace coffer::fs {

void Events::report(EventKind kind, const std::string& line) {
  auto level = kind == EventKind::kIntegrity || kind == EventKind::kWriteError ? base::LogLevel::kError
                                                                               : base::LogLevel::kWarning;
  base::log_line(level, line);
  base::MutexLock lock(mutex_);
  ++counts_[static_cast<int>(kind)];
  recent_.push_back(line);
  if (recent_.size() > kRecentMax) recent_.pop_front();
}

std::uint64_t Events::count(EventKind kind) const {
  base::MutexLock lock(mutex_);
  return counts_[static_cast<int>(kind)];
}

std::vector<std::string> Events::recent() const {
  base::MutexLock lock(mutex_);
  return {recent_.begin(), recent_.end()};
}

}  // namespace coffer::fs
