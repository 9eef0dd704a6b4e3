// A mounted vault: the connection to the kernel's FUSE, from mount to unmount.
//
// How a command uses it (background.h says how to put this into the background):
//
//     StopSignals signals;                           // before any thread exists, after passwords were asked
//     KernelCache cache;
//     filesystem_options.hooks = cache.hooks();
//     auto filesystem = fs::Filesystem::open(std::move(filesystem_options));
//     auto session = FuseSession::mount(**filesystem, cache, *mounter, mount_point, options);
//     fs::Done done = (*session)->run(signals, [&] { reporter.ready(); });
//     session->reset(); filesystem->reset();         // in this order
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "fs/filesystem.h"
#include "fs/user_error.h"
#include "fs/vault_folder.h"
#include "mount/kernel_cache.h"
#include "mount/mounter.h"
#include "mount/session_options.h"
#include "mount/stop_signals.h"

struct fuse_session;

namespace coffer::mount {

// Numbers for `coffer status`, since the mount.
struct SessionStatus {
  std::uint64_t requests = 0;
  std::uint64_t kernel_caches_dropped = 0;
  bool handles_killpriv = false;  // the kernel leaves clearing suid and sgid to us: no request per write
  bool parallel_lookups = false;  // the kernel looks up names of one directory in parallel
};

class FuseSession {
 public:
  // Mounts, by means of `mounter`, which was made with this mount point and these options. Requests queue in the kernel
  // until run(); do not touch the mount point in between. `filesystem`, `cache` and `mounter` outlive the session. Sets
  // process-wide: SECBIT_NO_SETUID_FIXUP where root (caller_identity.h), the sink of libfuse's log. Errors: kMountPoint
  // (missing, no directory, no access, a dead mount), kNoFuse, kUsage (unknown option), kOther.
  static fs::Outcome<std::unique_ptr<FuseSession>> mount(fs::Filesystem& filesystem, KernelCache& cache,
                                                         Mounter& mounter, const std::string& mount_point,
                                                         const SessionOptions& options);
  // Unmounts if that has not happened.
  ~FuseSession();
  FuseSession(const FuseSession&) = delete;
  FuseSession& operator=(const FuseSession&) = delete;

  // Serves until somebody unmounts, a stop signal comes or stop() is called, then shuts the Filesystem down. Once.
  // `serving` is called from another thread as soon as the mount has answered a first request; it may be empty.
  //
  // A stop loses nothing: while requests are still answered the kernel's dirty pages are fetched (syncfs), then the
  // mount goes, lazily if it is busy, then the loop ends, then Filesystem::shutdown(). Further signals change nothing.
  // Errors: what shutdown() could not write (kOther), a connection that broke (kOther).
  fs::Done run(StopSignals& signals, const std::function<void()>& serving);

  // As a stop signal does. From any thread; returns at once.
  void stop() noexcept;

  const std::string& mount_point() const { return mount_point_; }  // absolute, symbolic links resolved
  SessionStatus status() const;

 private:
  class Impl;
  explicit FuseSession(std::unique_ptr<Impl> impl, std::string mount_point);

  std::unique_ptr<Impl> impl_;
  std::string mount_point_;
};

}  // namespace coffer::mount
