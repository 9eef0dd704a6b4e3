// Locks a mount that nobody uses: --idle.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

#include "base/mutex.h"

namespace coffer::mount {

// What an idle watch looks at.
struct Activity {
  std::uint64_t requests = 0;  // of the kernel, so far
  std::uint64_t files_open = 0;
};

// Looks now and then, from a thread of its own. Once no request came and no file was open for `limit`, it calls `lock`:
// true ends the watch; false (somebody is in the mount after all, with a working directory for example) begins the wait
// anew.
class IdleWatch {
 public:
  IdleWatch(std::chrono::milliseconds limit, std::function<Activity()> look, std::function<bool()> lock);
  ~IdleWatch();
  IdleWatch(const IdleWatch&) = delete;
  IdleWatch& operator=(const IdleWatch&) = delete;

 private:
  void watch();
  bool wait(std::chrono::milliseconds time);  // false: the watch is over

  const std::chrono::milliseconds limit_;
  const std::function<Activity()> look_;
  const std::function<bool()> lock_;
  base::Mutex mutex_;
  base::CondVar over_changed_;
  bool over_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace coffer::mount
