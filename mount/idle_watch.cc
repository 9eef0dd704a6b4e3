#include "mount/idle_watch.h"

#include <algorithm>
#include <utility>

#include "base/shortage.h"

namespace coffer::mount {

IdleWatch::IdleWatch(std::chrono::milliseconds limit, std::function<Activity()> look, std::function<bool()> lock)
    : limit_(limit), look_(std::move(look)), lock_(std::move(lock)) {
  thread_ = std::thread([this] { watch(); });
}

IdleWatch::~IdleWatch() {
  {
    base::MutexLock held(mutex_);
    over_ = true;
  }
  over_changed_.notify_all();
  thread_.join();
}

void IdleWatch::watch() {
  using Clock = std::chrono::steady_clock;
  // Twenty looks within the limit: a lock comes at most a twentieth late, and an idle mount hardly wakes the machine.
  const auto pause = std::clamp(limit_ / 20, std::chrono::milliseconds(100), std::chrono::milliseconds(30'000));
  std::uint64_t seen = 0;
  base::try_with_memory("no memory to see whether the mount is used", [&] { seen = look_().requests; });
  auto idle_since = Clock::now();
  bool locked = false;
  while (!locked && wait(pause)) {
    base::try_with_memory("no memory to see whether the mount is used", [&] {
      const Activity now = look_();
      if (now.requests != seen || now.files_open > 0) {
        seen = now.requests;
        idle_since = Clock::now();
      } else if (Clock::now() - idle_since >= limit_) {
        locked = lock_();
        seen = look_().requests;
        idle_since = Clock::now();
      }
    });
  }
}

bool IdleWatch::wait(std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  mutex_.lock();
  while (!over_ && over_changed_.wait_until(mutex_, until) == std::cv_status::no_timeout) {
  }
  const bool over = over_;
  mutex_.unlock();
  return !over;
}

}  // namespace coffer::mount
