// Creating as the caller: the file system below then gives new entries their owner, mode, group of a setgid folder,
// default ACL and quota by itself, in the same system call.
//
// The kernel keeps uid, gid and umask for file systems per thread (setfsuid(2), setfsgid(2), and umask(2) once the
// thread has left its siblings by unshare(CLONE_FS)).
#pragma once

#include <sys/types.h>

#include "fs/types.h"

namespace coffer::mount {

// Called once before other threads exist. A root that takes another fsuid loses the capabilities that let it into any
// folder (capabilities(7), "Effect of user ID changes"); SECBIT_NO_SETUID_FIXUP keeps them. False: not root, or not
// allowed to; then creation is subject to the caller's own rights below, which is still correct for most folders.
bool keep_capabilities_for_callers() noexcept;

// One per thread, constructed and used by it only. Leaves the thread as it was found (but unshared).
class CallerIdentity {
 public:
  CallerIdentity() noexcept;
  ~CallerIdentity();
  CallerIdentity(const CallerIdentity&) = delete;
  CallerIdentity& operator=(const CallerIdentity&) = delete;

  // What this thread creates from now on belongs to the caller (root daemons) and obeys their umask (all). Costs
  // nothing if nothing changes. False: the kernel refused; nothing must be created then.
  [[nodiscard]] bool assume(const fs::Caller& caller) noexcept;
  // The mode to create with: `mode` itself where the thread's umask does the rest. Where the thread could not leave its
  // siblings (a sandbox that forbids unshare), the umask is taken off here, at the price that it also takes what a
  // default ACL would have given.
  mode_t mode_for(mode_t mode, const fs::Caller& caller) const noexcept;
  // Back to the daemon's own. Costs nothing if nothing changed.
  void resume_own() noexcept;

 private:
  [[nodiscard]] bool change(uid_t uid, gid_t gid, mode_t mask) noexcept;

  const bool is_root_;
  const bool own_umask_;  // the thread's umask is not its siblings'
  const uid_t base_uid_;
  const gid_t base_gid_;
  const mode_t base_umask_;
  uid_t uid_;
  gid_t gid_;
  mode_t umask_;
};

}  // namespace coffer::mount
