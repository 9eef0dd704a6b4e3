#include "mount/upkeep.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/log.h"
#include "base/shortage.h"
#include "mount/mount_table.h"

namespace coffer::mount {
namespace {

using base::Errno;
using base::LogLevel;
using base::Status;
using base::UniqueFd;

enum Event { kNothing, kTimeToSync, kFinish, kStop };

// With fs/'s own delay this keeps "durable within 5 s" (docs/ARCHITECTURE.md) for files that stay open.
constexpr int kWriteBackEvery_ms = 2000;
// After this somebody keeps writing to a mount that is going away.
constexpr auto kQuietPatience = std::chrono::seconds(10);
// What the kernel grants FUSE mounts is made for servers it does not trust (mm.h, VM_READAHEAD_PAGES; fs/fuse/inode.c,
// fuse_bdi_init). 128 KiB of read-ahead cost a round trip each; READs of up to 1 MiB are possible. With one percent of
// the dirty pages of all file systems a program that writes a large file is made to wait most of the time. Measured in
// docs/PERFORMANCE.md.
struct Grant {
  const char* name;
  std::string_view value;
};
constexpr Grant kGrants[] = {{"read_ahead_kb", "1024"}, {"max_ratio", "20"}};

UniqueFd open_folder(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

// Only root may; without them the mount is slower, not wrong. Documentation/ABI/testing/sysfs-class-bdi.
void raise_limits(dev_t device) {
  for (const Grant& grant : kGrants) {
    const std::string path = fmt::format("/sys/class/bdi/{}:{}/{}", major(device), minor(device), grant.name);
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file.valid()) return;
    if (::write(file.get(), grant.value.data(), grant.value.size()) < 0) {
      base::log(LogLevel::kDebug, "cannot raise {}: {}", grant.name, std::strerror(errno));
    }
  }
}

}  // namespace

Upkeep::Upkeep(base::FdRef stop_event) : stop_event_(stop_event), finish_event_(::eventfd(0, EFD_CLOEXEC)) {}

Upkeep::~Upkeep() { finish(); }

Status Upkeep::start(UpkeepTask task) {
  task_ = std::move(task);
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {
    return Errno(EAGAIN);
  }
  return base::ok();
}

void Upkeep::finish() {
  if (!thread_.joinable()) return;
  ::eventfd_write(finish_event_.get(), 1);
  thread_.join();
}

void Upkeep::run() {
  if (greet() && task_.serving) task_.serving();
  bool stopped = false;
  while (true) {
    const int event = wait_for_event();
    if (event == kFinish) return;
    if (event == kStop && !stopped) {
      stopped = true;
      take_down();
    } else if (event == kTimeToSync && !stopped) {
      sync_mount();
    }
  }
}

// The first request of all; it waits until INIT is done.
bool Upkeep::greet() {
  struct statfs room {};
  if (::statfs(task_.mount_point.c_str(), &room) != 0) {
    base::log(LogLevel::kError, "the mount does not answer: {}", std::strerror(errno));
    return false;
  }
  raise_limits(task_.device);
  return true;
}

int Upkeep::wait_for_event() const {
  const bool asleep = task_.context->may_sleep();
  std::array<pollfd, 4> events{pollfd{.fd = finish_event_.get(), .events = POLLIN, .revents = 0},
                               pollfd{.fd = stop_event_.get(), .events = POLLIN, .revents = 0},
                               pollfd{.fd = task_.signals->fd().get(), .events = POLLIN, .revents = 0},
                               pollfd{.fd = task_.context->writer_event().get(), .events = POLLIN, .revents = 0}};
  while (::poll(events.data(), events.size(), asleep ? -1 : kWriteBackEvery_ms) < 0 && errno == EINTR) {
  }
  if (asleep) task_.context->awake();
  if (events[0].revents != 0) return kFinish;
  if (const int signal = task_.signals->take(); signal != 0) {
    base::log(LogLevel::kInfo, "stopping: {}", ::strsignal(signal));
    return kStop;
  }
  if (events[1].revents != 0) {
    eventfd_t count = 0;
    ::eventfd_read(stop_event_.get(), &count);
    return kStop;
  }
  return asleep ? kNothing : kTimeToSync;
}

// The kernel sends its dirty pages as WRITEs before syncfs(2) returns, but need not wait for the answers
// (fs/fuse/inode.c, fuse_sync_fs waits for servers of FUSE_SYNCFS only).
void Upkeep::sync_mount() const {
  base::try_with_memory("no memory to have the mount's pages written back; trying again", [this] {
    if (const Status written = task_.write_back(); !written) {
      base::log(LogLevel::kWarning, "writing back the mount's pages: {}", std::strerror(written.error().code()));
    }
  });
}

void Upkeep::take_down() {
  const auto settle = [this] {
    if (!task_.workers->wait_until_quiet(kQuietPatience)) {
      base::log_line(LogLevel::kWarning, "requests are still coming in; stopping all the same");
    }
  };
  task_.stopping();
  sync_mount();
  settle();
  if (!is_mount_at(task_.mount_point, task_.device)) {
    base::log_line(LogLevel::kWarning, "something else is mounted over the vault; leaving the mount point as it is");
    return task_.workers->stop();
  }
  // If it works, the workers see the connection end.
  const Status plain = task_.unmount();
  if (plain) return;
  base::log(LogLevel::kWarning, "cannot unmount at once, detaching instead: {}", std::strerror(plain.error().code()));
  {
    // Through this the mount can be reached once it has no name any more.
    const UniqueFd folder = open_folder(task_.mount_point);
    task_.detach_lazily();
    if (folder.valid()) ::syncfs(folder.get());
  }
  settle();
  task_.workers->stop();
}

}  // namespace coffer::mount
