#include "mount/session.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "base/shortage.h"
#include "fs/user_text.h"
#include "mount/caller_identity.h"
#include "mount/device_io.h"
#include "mount/fuse_api.h"
#include "mount/fuse_ops.h"
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

// libfuse says why something failed to its log only.
class FuseLog {
 public:
  static void install() { fuse_set_log_func(&FuseLog::take); }
  static std::string last() {
    const base::MutexLock lock(mutex_);
    return last_;
  }

 private:
  // libfuse makes some of its lines out of several calls.
  __attribute__((format(printf, 2, 0))) static void take(fuse_log_level level, const char* format, va_list arguments) {
    std::array<char, 512> text{};
    std::vsnprintf(text.data(), text.size(), format, arguments);
    // C frames are above.
    base::try_with_memory("no memory for a line of libfuse's log", [&] {
      const base::MutexLock lock(mutex_);
      line_ += text.data();
      if (!line_.ends_with('\n') && line_.size() < kLineMax) return;
      while (line_.ends_with('\n')) line_.pop_back();
      base::log_line(level <= FUSE_LOG_ERR ? LogLevel::kWarning : LogLevel::kDebug, line_);
      last_ = std::exchange(line_, "");
    });
  }

  static constexpr std::size_t kLineMax = 4096;
  static inline base::Mutex mutex_;
  static inline std::string line_ GUARDED_BY(mutex_);  // so far
  static inline std::string last_ GUARDED_BY(mutex_);
};

UserError bad_mount_point(const std::string& mount_point, int error) {
  if (error == ENOTCONN || error == ECONNABORTED) {
    return {.code = ExitCode::kMountPoint,
            .message = fmt::format("{} is a mount whose daemon is gone", mount_point),
            .hint = fmt::format("free it with: coffer lock {}", mount_point)};
  }
  return {.code = ExitCode::kMountPoint,
          .message = fmt::format("cannot mount on {}: {}", mount_point, std::strerror(error)),
          .hint = error == ENOENT ? "make the folder first" : ""};
}

Outcome<std::string> resolve_mount_point(const std::string& mount_point) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(mount_point.c_str(), nullptr), &std::free);
  if (real == nullptr) return bad_mount_point(mount_point, errno);
  struct stat attr {};
  if (::stat(real.get(), &attr) != 0) return bad_mount_point(mount_point, errno);
  if (!S_ISDIR(attr.st_mode)) return bad_mount_point(mount_point, ENOTDIR);
  return std::string(real.get());
}

// libfuse takes commas for separators and backslashes for escapes (lib/fuse_opt.c, process_opt_sep_arg).
std::string escape_option(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == ',' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

std::vector<std::string> option_list(const SessionOptions& options) {
  // An empty fsname is EINVAL to mount(2).
  const std::string source = options.source.empty() ? "coffer" : escape_option(options.source);
  std::vector<std::string> list{"fsname=" + source, "subtype=coffer", "default_permissions"};
  if (options.read_only) list.emplace_back("ro");
  if (options.allow_other) list.emplace_back("allow_other");
  if (options.allow_root) list.emplace_back("allow_root");
  list.insert(list.end(), options.fuse_options.begin(), options.fuse_options.end());
  return list;
}

struct SessionDeleter {
  void operator()(fuse_session* session) const noexcept { fuse_session_destroy(session); }
};
using SessionPtr = std::unique_ptr<fuse_session, SessionDeleter>;

Outcome<SessionPtr> new_session(MountContext& context, const SessionOptions& options) {
  fuse_args arguments{};
  bool ok = fuse_opt_add_arg(&arguments, "coffer") == 0;
  for (const std::string& option : option_list(options)) {
    ok = ok && fuse_opt_add_arg(&arguments, ("-o" + option).c_str()) == 0;
  }
  SessionPtr session;
  if (ok) session.reset(fuse_session_new(&arguments, &operations(), sizeof(fuse_lowlevel_ops), &context));
  fuse_opt_free_args(&arguments);
  if (session == nullptr) {
    return UserError{.code = ExitCode::kUsage,
                     .message = fmt::format("the mount options are not accepted: {}", FuseLog::last()),
                     .hint = "coffer mount --help lists what -o takes"};
  }
  return session;
}

UserError cannot_mount(const std::string& mount_point) {
  if (::access("/dev/fuse", F_OK) != 0) {
    return {.code = ExitCode::kNoFuse,
            .message = "this system has no /dev/fuse",
            .hint = "load it with: modprobe fuse (a container must be given the device)"};
  }
  return {.code = ExitCode::kMountPoint,
          .message = fmt::format("cannot mount on {}: {}", mount_point, FuseLog::last()),
          .hint = ::geteuid() == 0 ? "" : "unless you are root, the package fuse3 must be installed (fusermount3)"};
}

}  // namespace

class FuseSession::Impl {
 public:
  Impl(fs::Filesystem& filesystem, KernelCache& cache)
      : context(filesystem), kernel_cache(cache), stop_event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  // Unmounts, lazily, and closes libfuse's descriptor of the device; the workers keep theirs and may go on. Not if
  // another mount is in its place, since that is the one that would go.
  void unmount() {
    kernel_cache.detach();
    if (!is_attached || (!is_dead() && !is_mount_at(mount_point, mount_device))) return;
    is_attached = false;
    fuse_session_unmount(session.get());
  }
  // As unmount(), and closes libfuse's descriptor in any case. REQUIRES: no worker is alive.
  void detach() {
    unmount();
    if (std::exchange(is_attached, false)) session.reset();
  }

  // No worker answers any more, but the kernel does not know that: who waits for an answer, an invalidation of ours
  // among them, would wait for ever. The mount goes too.
  void abort() {
    if (!is_attached || is_dead()) return;
    const base::Status aborted = abort_connection(mount_point, mount_device);
    if (!aborted) {
      return base::log(LogLevel::kWarning, "cannot end the connection to the kernel: {}",
                       std::strerror(aborted.error().code()));
    }
    if (is_mount_at(mount_point, mount_device)) (void)mount::unmount(mount_point, true);
  }

  // The kernel has ended the connection: there is nothing left to unmount, and libfuse sees that, too.
  bool is_dead() const {
    pollfd connection{.fd = fuse_session_fd(session.get()), .events = 0, .revents = 0};
    return ::poll(&connection, 1, 0) > 0 && (connection.revents & POLLERR) != 0;
  }

  MountContext context;
  KernelCache& kernel_cache;
  UniqueFd stop_event;
  SessionPtr session;
  UniqueFd device;  // /dev/fuse, beside libfuse's descriptor of it, which unmount() closes
  std::string mount_point;
  dev_t mount_device = 0;
  bool is_attached = true;
  std::unique_ptr<WorkerPool> workers;
};

FuseSession::FuseSession(std::unique_ptr<Impl> impl, std::string mount_point)
    : impl_(std::move(impl)), mount_point_(std::move(mount_point)) {}

Outcome<std::unique_ptr<FuseSession>> FuseSession::mount(fs::Filesystem& filesystem, KernelCache& cache,
                                                         const std::string& mount_point,
                                                         const SessionOptions& options) {
  FuseLog::install();
  (void)keep_capabilities_for_callers();
  auto resolved = resolve_mount_point(mount_point);
  if (!resolved) return resolved.error();
  auto impl = std::make_unique<Impl>(filesystem, cache);
  auto session = new_session(impl->context, options);
  if (!session) return session.error();
  impl->session = *std::move(session);
  fuse_session* const raw = impl->session.get();
  if (fuse_session_mount(raw, resolved->c_str()) != 0) return cannot_mount(*resolved);
  impl->mount_point = *resolved;
  if (const auto entry = mount_at(*resolved); entry && *entry) impl->mount_device = (*entry)->device;
  std::unique_ptr<FuseSession> mounted(new FuseSession(std::move(impl), *resolved));  // unmounts if the rest fails
  // libfuse reads and writes through the hooks from here on; the descriptor stays its own.
  const fuse_custom_io io = device_io();
  mounted->impl_->device = UniqueFd(::fcntl(fuse_session_fd(raw), F_DUPFD_CLOEXEC, 3));
  if (!mounted->impl_->device.valid() || fuse_session_custom_io(raw, &io, fuse_session_fd(raw)) != 0) {
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
                     .message = fmt::format("the kernel did not accept the mount: {}", FuseLog::last()),
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
