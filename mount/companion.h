// Keeps the thread that answers on the processor of the one who asks.
//
// One caller that waits for each answer leaves its processor idle meanwhile. A daemon thread on that very processor
// costs two context switches a request; on another one it costs waking two sleeping processors, which takes several
// times as long, most of all in a virtual machine (docs/PERFORMANCE.md). The scheduler does not find this out by
// itself: it wakes each thread where it slept before. So the leading worker counts who asks, and while it is nearly
// always the same thread, binds itself to the processor where that one ran last. With several callers, or if it has to
// wait for the processor (somebody computes there), it binds itself to none.
//
// Not thread-safe: belongs to the thread that leads.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <cstdint>

namespace coffer::mount {

class Companion {
 public:
  // After each request. `caller`: its thread, as the kernel names it in the request; 0 if nobody waits.
  void asked_by(pid_t caller);
  // The thread stops leading: it runs where it likes again.
  void part();
  // It is bound now; looking for requests without sleeping would only keep the caller from running.
  bool is_close() const noexcept { return processor_ >= 0; }

 private:
  static constexpr unsigned kWindow = 64;        // requests between decisions
  static constexpr unsigned kMostly = 56;        // of these by one caller
  static constexpr unsigned kApartWindows = 16;  // after having had to wait
  static constexpr std::uint64_t kWaitMax_ns =
      50'000;  // for the processor, a request; a context switch takes 2 to 5 us

  void decide();
  void bind_to(int processor);

  pid_t caller_ = 0;        // who asked first in this window
  unsigned by_caller_ = 0;  // how often
  unsigned asked_ = 0;
  unsigned apart_ = 0;           // windows to stay unbound
  int processor_ = -1;           // bound to; -1: to none
  cpu_set_t before_{};           // where the thread might run before it was bound
  std::uint64_t waited_ns_ = 0;  // so far, as of the last decision
};

}  // namespace coffer::mount
