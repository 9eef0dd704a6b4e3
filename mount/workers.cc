#include "mount/workers.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <system_error>

#include "base/log.h"
#include "mount/fuse_api.h"
#include "mount/mount_context.h"

namespace coffer::mount {
namespace {

using base::Errno;
using base::MutexLock;
using base::Status;
using base::UniqueFd;
using Clock = std::chrono::steady_clock;

// Ignored by default, so a late one does no harm.
constexpr int kWakeSignal = SIGURG;
constexpr unsigned kWorkersAtStart = 2;
constexpr unsigned kWorkersMax = 16;
// From here on answering takes longer (copying and ciphers at 1 to 3 GB/s) than waking another thread (5 to 50 us).
constexpr std::size_t kLarge = 96 << 10;
// A read(2) that finds a request waiting takes 1 us; one that has to sleep, 3 and more (two context switches). After so
// many short ones in a row the queue is looked at: if it is not empty then, there is more than one caller.
constexpr auto kShort = std::chrono::nanoseconds(2500);
constexpr unsigned kShortInARow = 4;
constexpr auto kSlow = std::chrono::milliseconds(1);

// One more connection to the same mount; with its own, a worker does not contend for the other workers' request lists
// (fs/fuse/dev.c, struct fuse_dev). Invalid where /dev/fuse may not be opened: fusermount3 opened it for us then.
UniqueFd clone_device(base::FdRef device) {
  UniqueFd clone(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  auto source = static_cast<std::uint32_t>(device.get());
  if (!clone.valid() || ::ioctl(clone.get(), FUSE_DEV_IOC_CLONE, &source) != 0) return UniqueFd();
  return clone;
}

bool waits_for_disk(std::uint32_t opcode) {
  switch (static_cast<Opcode>(opcode)) {
    case Opcode::kFsync:
    case Opcode::kFsyncdir:
    case Opcode::kFallocate:
    case Opcode::kCopyFileRange:
    case Opcode::kLseek:  // may have the kernel write pages back to us first
      return true;
    default:
      return false;
  }
}

// read(2) must return when such a signal arrives, so no SA_RESTART.
void make_wake_signal_interrupt() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ::sigaction(kWakeSignal, &action, nullptr);
}

}  // namespace

struct WorkerPool::Worker {
  ~Worker() { std::free(buffer.mem); }  // libfuse's, from malloc (lib/fuse_lowlevel.c, fuse_session_receive_buf_int)

  std::thread thread;
  UniqueFd device;           // a clone; invalid: shares the session's
  fuse_buf buffer{};         // the request
  unsigned short_waits = 0;  // requests in a row that came at once
  std::atomic<bool> reading{false};
  bool ended = false;  // guarded by WorkerPool::mutex_
};

WorkerPool::WorkerPool(fuse_session* session, base::FdRef device, unsigned at_most)
    : session_(session),
      device_(device),
      cores_(std::max(1U, std::thread::hardware_concurrency())),
      workers_max_(at_most == 0 ? kWorkersMax : at_most),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)) {}

WorkerPool::~WorkerPool() = default;

Status WorkerPool::run() {
  make_wake_signal_interrupt();
  if (!timer_.valid()) return Errno(EMFILE);
  std::thread watchdog;
  try {
    watchdog = std::thread([this] { watch(); });
  } catch (const std::system_error&) {
    return Errno(EAGAIN);
  }
  const Status served = serve();
  stopping_ = true;
  arm_watchdog();  // wakes it, to see the end
  watchdog.join();
  return served;
}

Status WorkerPool::serve() {
  MutexLock lock(mutex_);
  for (unsigned i = 0; i < std::min(kWorkersAtStart, workers_max_); i++) {
    const Status started = start_worker();
    if (!started && i == 0) return started.error();
  }
  while (alive_ > 0) {
    if (!stopping_) {
      changed_.wait(mutex_);
    } else {
      // One may be between looking at stopping_ and reading: they are asked until they have heard.
      interrupt_readers();
      changed_.wait_for(mutex_, std::chrono::milliseconds(2));
    }
  }
  for (auto& worker : workers_) worker->thread.join();
  workers_.clear();
  return failed_ ? Status(Errno(EIO)) : base::ok();
}

Status WorkerPool::start_worker() {
  try {
    auto worker = std::make_unique<Worker>();
    worker->device = clone_device(device_);
    Worker& started = *worker;
    workers_.push_back(std::move(worker));
    alive_++;
    started.thread = std::thread([this, &started] { work(started); });
    return base::ok();
  } catch (const std::system_error&) {
    workers_.pop_back();
    alive_--;
    return Errno(EAGAIN);
  } catch (const std::bad_alloc&) {
    return Errno(ENOMEM);
  }
}

void WorkerPool::stop() noexcept {
  MutexLock lock(mutex_);
  stopping_ = true;
  lead_free_.notify_all();
  changed_.notify_all();
}

void WorkerPool::interrupt_readers() {
  for (auto& worker : workers_) {
    if (!worker->ended && worker->reading) ::pthread_kill(worker->thread.native_handle(), kWakeSignal);
  }
}

void WorkerPool::work(Worker& self) {
  this_thread().device = self.device.valid() ? self.device.get() : device_.get();
  Role role = Role::kParked;
  while (true) {
    if (role == Role::kParked) {
      if (!wait_for_lead(self)) break;
      role = Role::kLeader;
    }
    if (stopping_) break;
    const Received received = receive(self);
    if (received == Received::kEnd) break;
    if (received == Received::kRequest) {
      role = answer(self, role);
    } else if (role == Role::kDraining) {
      role = Role::kParked;
    }
  }
  end(self);
}

bool WorkerPool::wait_for_lead(Worker& self) {
  {
    MutexLock lock(mutex_);
    parked_++;
    while (has_leader_ && !stopping_) lead_free_.wait(mutex_);
    parked_--;
    if (stopping_) return false;
    has_leader_ = true;
  }
  self.short_waits = 0;
  if (self.device.valid()) ::fcntl(self.device.get(), F_SETFL, 0);  // reads wait
  return true;
}

WorkerPool::Received WorkerPool::receive(Worker& self) const {
  const auto before = Clock::now();
  self.reading = true;
  const int got = fuse_session_receive_buf(session_, &self.buffer);
  self.reading = false;
  if (got > 0) {
    self.short_waits = Clock::now() - before < kShort ? self.short_waits + 1 : 0;
    return Received::kRequest;
  }
  if (got == -EINTR || got == -EAGAIN) return Received::kNothing;
  return Received::kEnd;  // 0: unmounted
}

// What a worker is after it stopped leading. One with a device of its own can look for more requests without waiting,
// so under load nobody has to be woken.
WorkerPool::Role WorkerPool::after_lead(Worker& self) {
  if (!self.device.valid()) return Role::kParked;
  ::fcntl(self.device.get(), F_SETFL, O_NONBLOCK);
  return Role::kDraining;
}

WorkerPool::Role WorkerPool::answer(Worker& self, Role role) {
  const std::uint64_t ticket = requests_.fetch_add(1, std::memory_order_relaxed) + 1;
  active_++;
  if (role == Role::kLeader) {
    if (should_give_lead(self, this_thread().notes)) {
      give_lead();
      role = after_lead(self);
    } else {
      ticket_ = ticket;
      if (!watchdog_armed_.load()) {
        watchdog_armed_ = true;
        arm_watchdog();
      }
    }
  }
  fuse_session_process_buf(session_, &self.buffer);
  active_--;
  if (role == Role::kLeader) {
    std::uint64_t mine = ticket;
    if (!ticket_.compare_exchange_strong(mine, 0)) role = after_lead(self);  // deposed
  }
  return role;
}

bool WorkerPool::should_give_lead(const Worker& self, const RequestNotes& notes) const {
  if (workers_max_ == 1) return false;
  if (waits_for_disk(notes.opcode)) return true;
  if (active_.load(std::memory_order_relaxed) > cores_) return false;
  return notes.length >= kLarge || (self.short_waits >= kShortInARow && has_queued());
}

bool WorkerPool::has_queued() const {
  pollfd queue{.fd = device_.get(), .events = POLLIN, .revents = 0};
  return ::poll(&queue, 1, 0) > 0 && (queue.revents & POLLIN) != 0;
}

void WorkerPool::give_lead() {
  {
    MutexLock lock(mutex_);
    has_leader_ = false;
    if (parked_ == 0 && workers_.size() < workers_max_) (void)start_worker();  // without one, a draining worker leads
  }
  lead_free_.notify_one();
}

void WorkerPool::end(Worker& self) {
  const bool unmounted = fuse_session_exited(session_) != 0;
  MutexLock lock(mutex_);
  if (!stopping_ && !unmounted) failed_ = true;
  stopping_ = true;
  self.ended = true;
  alive_--;
  lead_free_.notify_all();
  changed_.notify_all();
}

void WorkerPool::arm_watchdog() noexcept {
  const auto nanoseconds = std::chrono::nanoseconds(kSlow).count();
  const itimerspec once{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = static_cast<long>(nanoseconds)}};
  ::timerfd_settime(timer_.get(), 0, &once, nullptr);
}

void WorkerPool::watch() {
  std::uint64_t seen = 0;
  while (true) {
    std::uint64_t expirations = 0;
    if (::read(timer_.get(), &expirations, sizeof expirations) < 0 && errno != EINTR) return;
    if (stopping_) return;
    std::uint64_t ticket = ticket_;
    if (ticket == 0) {
      // Idle: let the timer rest. A leader that starts right now either sees the flag down and arms, or is seen here.
      watchdog_armed_ = false;
      ticket = ticket_;
      if (ticket == 0 || watchdog_armed_.exchange(true)) continue;
    } else if (ticket == seen) {
      depose(ticket);
    }
    seen = ticket;
    arm_watchdog();
  }
}

void WorkerPool::depose(std::uint64_t ticket) {
  {
    MutexLock lock(mutex_);
    if (!ticket_.compare_exchange_strong(ticket, 0)) return;  // answered in the meantime
    has_leader_ = false;
    if (parked_ == 0 && workers_.size() < workers_max_) (void)start_worker();
  }
  lead_free_.notify_one();
}

bool WorkerPool::wait_until_quiet(std::chrono::milliseconds patience) const {
  const auto deadline = Clock::now() + patience;
  // A request is neither queued nor active while a worker comes out of read(2): look twice, some time apart.
  std::uint64_t before = 0;
  for (int quiet = 0; quiet < 2;) {
    const bool now_quiet = !has_queued() && active_ == 0 && (quiet == 0 || requests() == before);
    before = requests();
    quiet = now_quiet ? quiet + 1 : 0;
    if (quiet == 2) break;
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }
  return true;
}

}  // namespace coffer::mount
