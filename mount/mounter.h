// Mounting and unmounting, which the daemon itself cannot do: it is confined (sandbox.h) once it has the keys, and then
// may neither change what is mounted where nor run fusermount3, which is set-uid root. So `coffer mount` forks a
// process before it asks for the password. That one knows no secret, does nothing but what is declared here, for one
// mount point, and ends when the daemon does.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fs/user_error.h"
#include "mount/session_options.h"

struct fuse_session;

namespace coffer::mount {

// Thread-safe. All calls are about the mount point and options it was made with.
class Mounter {
 public:
  virtual ~Mounter() = default;
  Mounter(const Mounter&) = delete;
  Mounter& operator=(const Mounter&) = delete;

  // Mounts; the connection to the kernel, as opened from /dev/fuse. Once. Errors: kMountPoint (missing, no directory,
  // no access, a dead mount), kNoFuse, kUsage (unknown option), kOther.
  virtual fs::Outcome<base::UniqueFd> mount() = 0;
  // lazy: detach now, end when the last user leaves. The mount stays if the daemon ends without this.
  // Errors: EBUSY; EINVAL (not mounted, or something else is mounted over it); EPERM; EPIPE (that process has ended).
  virtual base::Status unmount(bool lazy) = 0;
  // Has the kernel write back the dirty pages of the mount. Not the daemon's own work: one that is killed while it
  // waits for answers of its own threads keeps the connection open that they would have given them on, and all hang for
  // ever. Errors: those of syncfs(2), EPIPE. Does nothing where something else is mounted over it.
  virtual base::Status write_back() = 0;
  // Ends the connection for good, as abort_connection(). Errors: as unmount().
  virtual base::Status abort() = 0;

 protected:
  Mounter() = default;
};

// In this process.
class MounterHere : public Mounter {
 public:
  MounterHere(std::string mount_point, SessionOptions options)
      : mount_point_(std::move(mount_point)), options_(std::move(options)) {}

  fs::Outcome<base::UniqueFd> mount() override;
  base::Status unmount(bool lazy) override;
  base::Status write_back() override;
  base::Status abort() override;

 private:
  bool is_ours_on_top() const;

  const std::string mount_point_;
  const SessionOptions options_;
  std::atomic<dev_t> device_ = 0;  // st_dev of the mount
};

// In a process of its own, forked here. It ends soon after the last copy of this object (a fork has one, too) is gone;
// nobody waits for it, since whoever forked it ends then as well. REQUIRES: no other thread exists, no secret is in
// memory. Errors: EAGAIN, ENOMEM, EMFILE.
base::Result<std::unique_ptr<Mounter>> start_mounter(std::string mount_point, SessionOptions options);

// Absolute, links resolved, and a directory. Errors: kMountPoint.
fs::Outcome<std::string> resolve_mount_point(const std::string& mount_point);

// libfuse's session with these options, which `operations` answer; not mounted. Errors: kUsage.
struct SessionDeleter {
  void operator()(fuse_session* session) const noexcept;
};
using SessionPtr = std::unique_ptr<fuse_session, SessionDeleter>;
fs::Outcome<SessionPtr> new_fuse_session(const SessionOptions& options, void* context);

}  // namespace coffer::mount
