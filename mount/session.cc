#include "mount/session.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "fs/user_text.h"
#include "mount/caller_identity.h"
#include "mount/device_io.h"
#include "mount/fuse_api.h"
#include "mount/fuse_log.h"
#include "mount/mount_context.h"
#include "mount/mount_table.h"
#include "mount/upkeep.h"
#include "mount/workers.h"

namespace coffer::mount {
namespace {

using base::LogLevel;
using base::UniqueFd;
using fs::Done;
using fs::ExitCode;
using fs::Outcome;
using fs::UserError;

}  // namespace

class FuseSession::Impl {
 public:
  Impl(fs::Filesystem& filesystem, KernelCache& cache, Mounter& by)
      : context(filesystem), kernel_cache(cache), mounter(by), stop_event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  // Unmounts, lazily; the workers may go on. Not if another mount is in its place, since that is the one that would go.
  void unmount() {
    kernel_cache.detach();
    if (!is_attached || is_dead() || !is_mount_at(mount_point, mount_device)) return;
    is_attached = false;
    const base::Status gone = mounter.unmount(/*lazy=*/true);
    if (!gone) base::log(LogLevel::kWarning, "cannot unmount: {}", std::strerror(gone.error().code()));
  }
  // As unmount(), and closes libfuse's descriptor in any case. REQUIRES: no worker is alive.
  void detach() {
    unmount();
    is_attached = false;
    session.reset();
  }

  // No worker answers any more, but the kernel does not know that: who waits for an answer, an invalidation of ours
  // among them, would wait for ever. The mount goes too.
  void abort() {
    if (!is_attached || is_dead()) return;
    const base::Status aborted = mounter.abort();
    if (!aborted) {
      return base::log(LogLevel::kWarning, "cannot end the connection to the kernel: {}",
                       std::strerror(aborted.error().code()));
    }
    if (is_mount_at(mount_point, mount_device)) (void)mounter.unmount(/*lazy=*/true);
  }

  // The kernel has ended the connection: there is nothing left to unmount.
  bool is_dead() const {
    pollfd connection{.fd = device.get(), .events = 0, .revents = 0};
    return ::poll(&connection, 1, 0) > 0 && (connection.revents & POLLERR) != 0;
  }

  MountContext context;
  KernelCache& kernel_cache;
  Mounter& mounter;
  UniqueFd stop_event;
  SessionPtr session;
  UniqueFd device;  // /dev/fuse, beside libfuse's descriptor of it
  std::string mount_point;
  dev_t mount_device = 0;
  bool is_attached = true;
  std::unique_ptr<WorkerPool> workers;
};

FuseSession::FuseSession(std::unique_ptr<Impl> impl, std::string mount_point)
    : impl_(std::move(impl)), mount_point_(std::move(mount_point)) {}

Outcome<std::unique_ptr<FuseSession>> FuseSession::mount(fs::Filesystem& filesystem, KernelCache& cache,
                                                         Mounter& mounter, const std::string& mount_point,
                                                         const SessionOptions& options) {
  take_fuse_log();
  (void)keep_capabilities_for_callers();
  auto resolved = resolve_mount_point(mount_point);
  if (!resolved) return resolved.error();
  auto impl = std::make_unique<Impl>(filesystem, cache, mounter);
  auto session = new_fuse_session(options, &impl->context);
  if (!session) return session.error();
  auto device = mounter.mount();
  if (!device) return device.error();
  impl->session = *std::move(session);
  impl->device = *std::move(device);
  impl->mount_point = *resolved;
  if (const auto entry = mount_at(*resolved); entry && *entry) impl->mount_device = (*entry)->device;
  fuse_session* const raw = impl->session.get();
  std::unique_ptr<FuseSession> mounted(new FuseSession(std::move(impl), *resolved));  // unmounts if the rest fails
  // A descriptor of its own, as of a device that somebody else has mounted: libfuse neither mounts nor unmounts here.
  UniqueFd its_own(::fcntl(mounted->impl_->device.get(), F_DUPFD_CLOEXEC, 3));
  // It reads and writes through the hooks.
  const fuse_custom_io io = device_io();
  if (!its_own.valid() || fuse_session_mount(raw, fmt::format("/dev/fd/{}", its_own.get()).c_str()) != 0 ||
      fuse_session_custom_io(raw, &io, its_own.release()) != 0) {
    return UserError{.code = ExitCode::kOther, .message = "out of memory or descriptors", .hint = ""};
  }
  mounted->impl_->workers = std::make_unique<WorkerPool>(raw, base::FdRef(mounted->impl_->device), options.workers);
  cache.attach(raw);
  return mounted;
}

FuseSession::~FuseSession() {
  if (impl_ != nullptr) impl_->detach();
}

Done FuseSession::run(StopSignals& signals, const std::function<void()>& serving) {
  Impl& impl = *impl_;
  Upkeep upkeep{base::FdRef(impl.stop_event)};
  base::Status served = upkeep.start({.mount_point = mount_point_,
                                      .device = impl.mount_device,
                                      .context = &impl.context,
                                      .workers = impl.workers.get(),
                                      .signals = &signals,
                                      .serving = serving,
                                      .stopping = [&impl] { impl.kernel_cache.detach(); },
                                      .write_back = [&impl] { return impl.mounter.write_back(); },
                                      .unmount = [&impl] { return impl.mounter.unmount(/*lazy=*/false); },
                                      .detach_lazily = [&impl] { impl.unmount(); }});
  if (served) served = impl.workers->run();
  if (!served) impl.abort();
  impl.detach();
  impl.device.reset();  // the last descriptor: whoever still waits for an answer gets ENOTCONN
  upkeep.finish();
  const base::Status written = impl.context.filesystem.shutdown();
  if (!written) {
    return UserError{.code = fs::system_error(written.error(), "").code,
                     .message = fmt::format("not everything could be written to the vault: {}",
                                            std::strerror(written.error().code())),
                     .hint =
                         "the log names the files; what they hold in the vault may be incomplete (EIO when read), so "
                         "save them again"};
  }
  if (!impl.context.initialised) {
    return UserError{.code = ExitCode::kOther,
                     .message = fmt::format("the kernel did not accept the mount: {}", last_fuse_log()),
                     .hint = ""};
  }
  if (!served) {
    return UserError{.code = ExitCode::kOther,
                     .message = fmt::format("the mount broke: {}", std::strerror(served.error().code())),
                     .hint = ""};
  }
  return std::monostate();
}

void FuseSession::stop() noexcept { ::eventfd_write(impl_->stop_event.get(), 1); }

SessionStatus FuseSession::status() const {
  SessionStatus status;
  status.requests = impl_->workers->requests();
  status.kernel_caches_dropped = impl_->kernel_cache.dropped();
  if (impl_->context.initialised.load(std::memory_order_acquire)) {
    status.handles_killpriv = impl_->context.features.handle_killpriv_v2;
    status.parallel_lookups = impl_->context.features.parallel_dirops;
  }
  return status;
}

}  // namespace coffer::mount
