// Keeps the thread that answers on the processor of the one who asks.
//
// One caller that waits for each answer leaves its processor idle meanwhile. A daemon thread on that very processor
// costs two context switches a request; on another one it costs waking two sleeping processors, which takes several
// times as long, most of all in a virtual machine (docs/PERFORMANCE.md). The scheduler does not find this out by
// itself: it wakes each thread where it slept before. So the leading worker counts who asks, and while it is nearly
// always the same thread, binds itself to the processor where that one ran last.
//
// It does not always help. While another processor is idle, the scheduler moves the caller there as soon as its answer
// wakes it (kernel/sched/fair.c, select_idle_sibling), and both sleep and wake across again: looking for requests for a
// moment (Patience) is better then. So at each decision it is seen whether the caller has stayed. If not, or with
// several callers, or if this thread has to wait for the processor (somebody computes there), it binds itself to none
// for a while, longer each time.
//
// Not thread-safe: belongs to the thread that leads.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <cstdint>

namespace coffer::mount {

class Companion {
 public:
  // For the processor, a request; a context switch takes 2 to 5 us.
  static constexpr std::uint64_t kWaitMax_ns = 50'000;

  explicit Companion(std::uint64_t wait_max_ns = kWaitMax_ns) : wait_max_ns_(wait_max_ns) {}
  // After each request. `caller`: its thread, as the kernel names it in the request; 0 if nobody waits.
  void asked_by(pid_t caller);
  // The thread stops leading: it runs where it likes again.
  void part();
  // It is bound now; looking for requests without sleeping would only keep the caller from running.
  bool is_close() const noexcept { return processor_ >= 0; }

 private:
  static constexpr unsigned kWindow = 64;      // requests between decisions
  static constexpr unsigned kMostly = 56;      // of these by one caller
  static constexpr unsigned kApartFirst = 16;  // windows to stay apart after it did not help
  static constexpr unsigned kApartLast = 1024;

  void decide();
  bool has_helped(int processor_of_caller, std::uint64_t waited_ns) const;
  void bind_to(int processor);

  const std::uint64_t wait_max_ns_;
  pid_t caller_ = 0;        // who asked first in this window
  unsigned by_caller_ = 0;  // how often
  unsigned asked_ = 0;
  pid_t close_to_ = 0;  // for whose sake it is bound
  unsigned apart_ = 0;  // windows to stay unbound
  unsigned next_apart_ = kApartFirst;
  int processor_ = -1;           // bound to; -1: to none
  cpu_set_t before_{};           // where the thread might run before it was bound
  std::uint64_t waited_ns_ = 0;  // so far, as of the last decision
};

}  // namespace coffer::mount
