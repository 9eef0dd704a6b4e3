// The threads that answer the kernel.
//
// One of them, the leader, waits for requests; it answers what it reads itself and waits again. The others are parked.
// That one thread waits, and not several, makes a request cheap: the kernel wakes the same thread every time, and
// nobody in vain. A leader with a single caller shares that one's processor (Companion). Otherwise, while requests come
// quickly, it looks for the next one for some microseconds before it sleeps, which is cheaper than being woken, as long
// as that pays (Patience). docs/PERFORMANCE.md has the measurements.
//
// The leader gives its place to a parked worker before it answers when
//   - the request is known to wait for a disk (FSYNC...),
//   - the request is large, or requests arrive faster than one thread answers them, and a core is free;
// and it loses the place when one request blocks it for a millisecond or two (a cold disk, a network folder): the
// watchdog sees to that. So nobody waits behind somebody else's slow request, and a mount that is idle uses no
// processor time: the leader sleeps in the kernel, the watchdog's timer runs only while requests are being answered.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mount/wire.h"

struct fuse_session;

namespace coffer::mount {

// Whether looking for the next request, instead of sleeping, is likely to pay. It does not when the gaps are long, and
// when the caller needs the very core that looks. Used by one thread.
class Patience {
 public:
  static constexpr auto kLook = std::chrono::microseconds(40);  // about what being woken costs on virtual machines

  // Asked once a request.
  bool should_look() noexcept;
  void found(bool it) noexcept;  // after looking

 private:
  static constexpr int kScoreMax = 16;
  static constexpr unsigned kProbeFirst = 64, kProbeLast = 4096;
  int score_ = kScoreMax / 2;  // found: +1, not found: -3; nothing is tried at 0 except now and then
  unsigned probe_every_ = kProbeFirst;
  unsigned until_probe_ = kProbeFirst;
};

class WorkerPool {
 public:
  // `session` uses device_io(); `device` is its descriptor of /dev/fuse. Both outlive the pool's run().
  // at_most: 0 for a choice of ours.
  WorkerPool(fuse_session* session, base::FdRef device, unsigned at_most);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Answers requests until the file system is unmounted or stop() is called, and every request that was read has been
  // answered. Once. Errors: EAGAIN or ENOMEM (no thread could be started), EIO (the device failed).
  base::Status run();
  // From any thread. What the kernel still has queued is not answered.
  void stop() noexcept;

  // For a worker that wants to wait, with a request in hand, for something that takes another worker's answer. False:
  // it must not, since nobody would be left to give it. True: end_waiting() is to follow.
  bool begin_waiting() EXCLUDES(mutex_);
  void end_waiting() EXCLUDES(mutex_);

  // No request is queued in the kernel or being answered. Waits for that at most as long as given; false: it is not so.
  bool wait_until_quiet(std::chrono::milliseconds patience) const;
  std::uint64_t requests() const noexcept { return requests_.load(std::memory_order_relaxed); }

 private:
  struct Worker;
  enum class Role { kParked, kLeader, kDraining };  // draining: reads what is there, but does not wait for more
  enum class Received { kRequest, kNothing, kEnd };

  base::Status serve() EXCLUDES(mutex_);
  base::Status start_worker() REQUIRES(mutex_);
  void work(Worker& self);
  bool wait_for_lead(Worker& self) EXCLUDES(mutex_);
  Received receive(Worker& self, Role role) const;
  int wait_for_request(Worker& self) const;
  Role answer(Worker& self, Role role);
  bool should_give_lead(const Worker& self, const RequestNotes& notes) const;
  void give_lead() EXCLUDES(mutex_);
  void end() EXCLUDES(mutex_);

  void watch();
  bool is_blocked() const;
  void arm_watchdog() noexcept;
  void depose(std::uint64_t ticket) EXCLUDES(mutex_);

  fuse_session* const session_;
  const base::FdRef device_;
  const unsigned cores_;
  const unsigned workers_max_;

  mutable base::Mutex mutex_;
  base::CondVar lead_free_;  // also: the pool is stopping
  base::CondVar changed_;    // a worker ended, or the pool is stopping
  std::vector<std::unique_ptr<Worker>> workers_ GUARDED_BY(mutex_);
  unsigned parked_ GUARDED_BY(mutex_) = 0;
  unsigned alive_ GUARDED_BY(mutex_) = 0;
  unsigned waiting_ GUARDED_BY(mutex_) = 0;  // between begin_waiting() and end_waiting()
  bool has_leader_ GUARDED_BY(mutex_) = false;

  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::atomic<unsigned> active_{0};         // workers with a request in hand
  std::atomic<std::uint64_t> requests_{0};  // read so far
  // The request that the leader is answering: its number in requests_ plus one; 0 while it waits. Taken back by the
  // leader when it is done, or by the watchdog, who thereby takes the lead away.
  std::atomic<std::uint64_t> ticket_{0};
  std::atomic<bool> watchdog_armed_{false};
  std::atomic<int> leader_thread_{0};  // its thread id, gettid(2)
  base::UniqueFd timer_;
  base::UniqueFd stop_event_;  // readable once stopping_
};

// The calling thread waits, if it may, while this lives.
class WaitPermit {
 public:
  // nullptr: the thread is no worker's, so it may not.
  explicit WaitPermit(WorkerPool* pool) : pool_(pool != nullptr && pool->begin_waiting() ? pool : nullptr) {}
  ~WaitPermit() {
    if (pool_ != nullptr) pool_->end_waiting();
  }
  WaitPermit(const WaitPermit&) = delete;
  WaitPermit& operator=(const WaitPermit&) = delete;
  explicit operator bool() const { return pool_ != nullptr; }

 private:
  WorkerPool* const pool_;
};

}  // namespace coffer::mount
