#include "mount/caller_identity.h"

#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace coffer::mount {
namespace {

// Both calls return the previous value and no error; an impossible id (-1) changes nothing, so it asks.
uid_t current_fsuid() { return static_cast<uid_t>(::setfsuid(static_cast<uid_t>(-1))); }
gid_t current_fsgid() { return static_cast<gid_t>(::setfsgid(static_cast<gid_t>(-1))); }

mode_t current_umask() {
  const mode_t mask = ::umask(077);
  ::umask(mask);
  return mask;
}

}  // namespace

bool keep_capabilities_for_callers() noexcept {
  if (::geteuid() != 0) return false;
  const int bits = ::prctl(PR_GET_SECUREBITS);
  if (bits < 0) return false;
  return ::prctl(PR_SET_SECUREBITS, static_cast<unsigned long>(bits) | SECBIT_NO_SETUID_FIXUP) == 0;
}

CallerIdentity::CallerIdentity() noexcept
    : is_root_(::geteuid() == 0),
      own_umask_(::unshare(CLONE_FS) == 0),
      base_uid_(current_fsuid()),
      base_gid_(current_fsgid()),
      base_umask_(current_umask()),
      uid_(base_uid_),
      gid_(base_gid_),
      umask_(base_umask_) {}

CallerIdentity::~CallerIdentity() { resume_own(); }

bool CallerIdentity::assume(const fs::Caller& caller) noexcept {
  return change(is_root_ ? caller.uid : uid_, is_root_ ? caller.gid : gid_, own_umask_ ? caller.umask & 0777 : umask_);
}

mode_t CallerIdentity::mode_for(mode_t mode, const fs::Caller& caller) const noexcept {
  return own_umask_ ? mode : mode & ~(caller.umask & 0777);
}

void CallerIdentity::resume_own() noexcept {
  // Cannot fail: the ids are those this thread had, and CAP_SETUID is not among what an fsuid takes away.
  (void)change(base_uid_, base_gid_, base_umask_);
}

bool CallerIdentity::change(uid_t uid, gid_t gid, mode_t mask) noexcept {
  if (umask_ != mask) {
    ::umask(mask);
    umask_ = mask;
  }
  if (gid_ != gid) {
    ::setfsgid(gid);
    gid_ = current_fsgid();
  }
  if (uid_ != uid) {
    ::setfsuid(uid);
    uid_ = current_fsuid();
  }
  return uid_ == uid && gid_ == gid;
}

}  // namespace coffer::mount
