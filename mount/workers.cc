#include "mount/workers.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <system_error>

#include "base/log.h"
#include "mount/companion.h"
#include "mount/fuse_api.h"
#include "mount/mount_context.h"
#include "mount/proc_file.h"

namespace coffer::mount {
namespace {

using base::Errno;
using base::MutexLock;
using base::Status;
using base::UniqueFd;
using Clock = std::chrono::steady_clock;

constexpr unsigned kWorkersAtStart = 2;
constexpr unsigned kWorkersMax = 16;
// From here on answering takes longer (copying and ciphers at 1 to 3 GB/s) than waking another thread (5 to 50 us).
constexpr std::size_t kLarge = 96 << 10;
// So many requests in a row that were there already when they were asked for mean more callers than one.
constexpr unsigned kBacklog = 4;
constexpr auto kSlow = std::chrono::milliseconds(1);
constexpr auto kMemoryPatience = std::chrono::milliseconds(20);
constexpr unsigned kSlowTicksMax = 5;  // then the leader loses its place even if it computes and does not wait

// One more connection to the same mount; with its own, a worker does not contend for the other workers' request lists
// (fs/fuse/dev.c, struct fuse_dev). Invalid where /dev/fuse may not be opened: fusermount3 opened it for us then.
UniqueFd clone_device(base::FdRef device) {
  UniqueFd clone(::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  auto source = static_cast<std::uint32_t>(device.get());
  if (!clone.valid() || ::ioctl(clone.get(), FUSE_DEV_IOC_CLONE, &source) != 0) return UniqueFd();
  return clone;
}

void pause_briefly() {
#if defined(__x86_64__)
  for (int i = 0; i < 8; i++) __builtin_ia32_pause();
#endif
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

}  // namespace

bool Patience::should_look() noexcept {
  if (score_ > 0) return true;
  if (--until_probe_ > 0) return false;
  probe_every_ = std::min(2 * probe_every_, kProbeLast);
  until_probe_ = probe_every_;
  return true;
}

void Patience::found(bool it) noexcept {
  score_ = std::clamp(score_ + (it ? 1 : -3), 0, kScoreMax);
  if (score_ > kScoreMax / 2) probe_every_ = until_probe_ = kProbeFirst;
}

struct WorkerPool::Worker {
  ~Worker() { std::free(buffer.mem); }  // libfuse's, from malloc (lib/fuse_lowlevel.c, fuse_session_receive_buf_int)

  std::thread thread;
  UniqueFd device;       // a clone; invalid: shares the session's
  fuse_buf buffer{};     // the request
  unsigned backlog = 0;  // requests in a row that were there when they were asked for
  Patience patience;
  Companion companion;
};

WorkerPool::WorkerPool(fuse_session* session, base::FdRef device, unsigned at_most)
    : session_(session),
      device_(device),
      cores_(std::max(1U, std::thread::hardware_concurrency())),
      workers_max_(at_most == 0 ? kWorkersMax : at_most),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)),
      stop_event_(::eventfd(0, EFD_CLOEXEC)) {
  ::fcntl(device.get(), F_SETFL, O_NONBLOCK);  // as clone_device()
}

WorkerPool::~WorkerPool() = default;

Status WorkerPool::run() {
  if (!timer_.valid() || !stop_event_.valid()) return Errno(EMFILE);
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
  while (alive_ > 0) changed_.wait(mutex_);
  for (auto& worker : workers_) worker->thread.join();
  workers_.clear();
  return failed_ ? Status(Errno(EIO)) : base::ok();
}

Status WorkerPool::start_worker() {
  try {
    auto worker = std::make_unique<Worker>();
    worker->device = clone_device(device_);
    workers_.reserve(workers_.size() + 1);  // from here on nothing fails but the thread
    worker->thread = std::thread([this, &started = *worker] { work(started); });
    workers_.push_back(std::move(worker));
    alive_++;
    return base::ok();
  } catch (const std::system_error&) {
    return Errno(EAGAIN);
  } catch (const std::bad_alloc&) {
    return Errno(ENOMEM);
  }
}

void WorkerPool::stop() noexcept {
  MutexLock lock(mutex_);
  stopping_ = true;
  ::eventfd_write(stop_event_.get(), 1);
  lead_free_.notify_all();
}

void WorkerPool::work(Worker& self) {
  this_thread().pool = this;
  this_thread().device = self.device.valid() ? self.device.get() : device_.get();
  Role role = Role::kParked;
  while (true) {
    if (role == Role::kParked) {
      if (!wait_for_lead(self)) break;
      role = Role::kLeader;
    }
    if (stopping_) break;
    const Received received = receive(self, role);
    if (received == Received::kEnd) break;
    if (received == Received::kRequest) {
      role = answer(self, role);
    } else if (role == Role::kDraining) {
      role = Role::kParked;
    }
  }
  end();
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
  self.backlog = 0;
  leader_thread_ = ::gettid();
  return true;
}

WorkerPool::Received WorkerPool::receive(Worker& self, Role role) const {
  int got = fuse_session_receive_buf(session_, &self.buffer);
  self.backlog = got > 0 ? self.backlog + 1 : 0;
  if (got == -EAGAIN && role == Role::kLeader) got = wait_for_request(self);
  if (got > 0) return Received::kRequest;
  if (got == -ENOMEM) {
    // No memory for its buffer: the request waits in the kernel until others have given some back.
    std::this_thread::sleep_for(kMemoryPatience);
    return Received::kNothing;
  }
  if (got == -EAGAIN || got == -EINTR) return Received::kNothing;
  // A request taken at the moment in which the mount went (fs/fuse/dev.c, fuse_dev_do_read: ECONNABORTED, not ENODEV).
  if (got == -ECONNABORTED) fuse_session_exit(session_);
  return Received::kEnd;  // 0: unmounted
}

int WorkerPool::wait_for_request(Worker& self) const {
  if (!self.companion.is_close() && self.patience.should_look()) {
    const auto until = Clock::now() + Patience::kLook;
    do {
      pause_briefly();
      const int got = fuse_session_receive_buf(session_, &self.buffer);
      if (got != -EAGAIN) {
        self.patience.found(true);
        return got;
      }
    } while (Clock::now() < until);
    self.patience.found(false);
  }
  const int device = self.device.valid() ? self.device.get() : device_.get();
  std::array<pollfd, 2> events{pollfd{.fd = device, .events = POLLIN, .revents = 0},
                               pollfd{.fd = stop_event_.get(), .events = POLLIN, .revents = 0}};
  if (::poll(events.data(), events.size(), -1) < 0) return -EINTR;
  return stopping_ ? -EAGAIN : fuse_session_receive_buf(session_, &self.buffer);
}

// A worker that stopped leading looks for more requests without waiting, so under load nobody has to be woken.
WorkerPool::Role WorkerPool::answer(Worker& self, Role role) {
  const std::uint64_t ticket = requests_.fetch_add(1, std::memory_order_relaxed) + 1;
  active_++;
  if (role == Role::kLeader) {
    if (should_give_lead(self, this_thread().notes)) {
      give_lead();
      self.companion.part();
      role = Role::kDraining;
    } else {
      ticket_ = ticket;
      if (!watchdog_armed_.load()) {
        watchdog_armed_ = true;
        arm_watchdog();
      }
    }
  }
  const pid_t caller = this_thread().notes.caller;
  fuse_session_process_buf(session_, &self.buffer);
  active_--;
  if (role == Role::kLeader) {
    std::uint64_t mine = ticket;
    if (!ticket_.compare_exchange_strong(mine, 0)) {  // deposed
      self.companion.part();
      role = Role::kDraining;
    } else if (cores_ > 1) {
      self.companion.asked_by(caller);
    }
  }
  return role;
}

bool WorkerPool::should_give_lead(const Worker& self, const RequestNotes& notes) const {
  if (workers_max_ == 1) return false;
  if (waits_for_disk(notes.opcode)) return true;
  const bool worth_it = notes.length >= kLarge || self.backlog >= kBacklog;
  return worth_it && active_.load(std::memory_order_relaxed) <= cores_;
}

void WorkerPool::give_lead() {
  {
    MutexLock lock(mutex_);
    has_leader_ = false;
    if (parked_ == 0 && workers_.size() < workers_max_) (void)start_worker();  // without one, a draining worker leads
  }
  lead_free_.notify_one();
}

void WorkerPool::end() {
  const bool unmounted = fuse_session_exited(session_) != 0;
  MutexLock lock(mutex_);
  if (!stopping_ && !unmounted) failed_ = true;
  stopping_ = true;
  alive_--;
  ::eventfd_write(stop_event_.get(), 1);
  lead_free_.notify_all();
  changed_.notify_all();
}

bool WorkerPool::begin_waiting() {
  MutexLock lock(mutex_);
  if (waiting_ + 1 >= alive_) return false;
  waiting_++;
  return true;
}

void WorkerPool::end_waiting() {
  MutexLock lock(mutex_);
  waiting_--;
}

void WorkerPool::arm_watchdog() noexcept {
  const auto nanoseconds = std::chrono::nanoseconds(kSlow).count();
  const itimerspec once{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = static_cast<long>(nanoseconds)}};
  ::timerfd_settime(timer_.get(), 0, &once, nullptr);
}

void WorkerPool::watch() {
  std::uint64_t seen = 0;
  unsigned slow_ticks = 0;
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
    } else if (ticket == seen && (is_blocked() || ++slow_ticks >= kSlowTicksMax)) {
      depose(ticket);
    }
    if (ticket != seen) slow_ticks = 0;
    seen = ticket;
    arm_watchdog();
  }
}

// The leader sleeps, as opposed to being short of processor time, which a second worker would only make shorter.
bool WorkerPool::is_blocked() const {
  const ProcFile stat("/proc/self/task/{}/stat", leader_thread_.load());
  // "4711 (coffer) R 1 ...": the name may hold anything, so from its closing bracket on.
  const std::size_t name_end = stat.text().rfind(')');
  return name_end == std::string_view::npos || stat.text().substr(name_end, 3) != ") R";
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
    pollfd queue{.fd = device_.get(), .events = POLLIN, .revents = 0};
    const bool queued = ::poll(&queue, 1, 0) > 0 && (queue.revents & POLLIN) != 0;
    const bool now_quiet = !queued && active_ == 0 && (quiet == 0 || requests() == before);
    before = requests();
    quiet = now_quiet ? quiet + 1 : 0;
    if (quiet == 2) break;
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }
  return true;
}

}  // namespace coffer::mount
