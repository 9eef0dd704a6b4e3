#include "fs/durable_file.h"

#include <stdio.h>

#include "base/sys.h"
#include "crypto/keys.h"
#include "crypto/random.h"

namespace coffer::fs {
namespace {

namespace sys = base::sys;
using base::Errno;
using base::FdRef;
using base::Status;
using base::UniqueFd;

Status write_whole(FdRef dir, const std::string& name, base::ByteView content, mode_t mode) {
  COFFER_ASSIGN_OR_RETURN(UniqueFd file, sys::openat(dir, name.c_str(), O_WRONLY | O_CREAT | O_EXCL, mode));
  COFFER_RETURN_IF_ERROR(sys::pwrite_full(file, content, 0));
  base::Status moded = sys::fchmod(file, mode);  // whatever the umask is
  // vfat and some network file systems have no modes to set: there the mount's options say who may read.
  if (!moded && moded.error().code() != EPERM && moded.error().code() != ENOTSUP) return moded;
  return sys::fsync(file);
}

// RENAME_NOREPLACE where the file system below knows it (NFS, FUSE and vfat of old do not), else link and unlink, else
// a look before the rename: the caller's lock on the folder keeps other Coffers away.
Status rename_new(FdRef dir, const std::string& from, const std::string& to) {
  Status renamed = sys::renameat2(dir, from.c_str(), dir, to.c_str(), RENAME_NOREPLACE);
  if (renamed || renamed.error().code() != EINVAL) return renamed;
  if (sys::statx(dir, to.c_str())) return Errno(EEXIST);
  return sys::renameat2(dir, from.c_str(), dir, to.c_str());
}

}  // namespace

Status sync_directory(FdRef dir) {
  Status synced = sys::fsync(dir);
  if (!synced && (synced.error().code() == EINVAL || synced.error().code() == ENOTSUP)) return base::ok();
  return synced;
}

std::string temporary_name() {
  base::ByteArray<8> random;
  crypto::random_bytes(random);
  return ".~coffer-" + crypto::to_hex(random) + ".tmp";
}

Status write_durably(FdRef dir, const std::string& name, base::ByteView content, mode_t mode, IfExists if_exists) {
  const std::string temporary = temporary_name();
  Status status = write_whole(dir, temporary, content, mode);
  if (status) {
    status = if_exists == IfExists::kFail ? rename_new(dir, temporary, name)
                                          : sys::renameat2(dir, temporary.c_str(), dir, name.c_str());
  }
  if (!status) {
    static_cast<void>(sys::unlinkat(dir, temporary.c_str()));  // the first error is the one to tell
    return status;
  }
  return sync_directory(dir);
}

}  // namespace coffer::fs
