// The seam between fs/ and the disk: every call by which the file system reads or changes the vault folder.
//
// The default implementation is base::sys. Tests put their own in its place: one that fails on demand, one that records
// every write and flush so that a power cut can be played at any point. Nothing in fs/ that touches the vault goes
// around it. Thread-safe. Errors are those of the system calls, and EINVAL for a name that is not one component: no
// name leads out of its directory, and links are never followed.
#pragma once

#include "base/sys.h"
#include "fs/types.h"

namespace coffer::fs {

namespace sys = base::sys;

class Backing {
 public:
  virtual ~Backing() = default;

  // --- content -------------------------------------------------------------------------------------------------------
  virtual Result<std::size_t> pread(FdRef fd, ByteSpan out, std::uint64_t offset);
  virtual Status pwritev(FdRef fd, std::vector<iovec> parts, std::uint64_t offset);
  virtual Status truncate(FdRef fd, std::uint64_t size);
  virtual Status fallocate(FdRef fd, int mode, std::uint64_t offset, std::uint64_t length);
  virtual Result<std::uint64_t> seek(FdRef fd, std::uint64_t offset, int whence);  // SEEK_DATA, SEEK_HOLE
  virtual Status fsync(FdRef fd);
  virtual Status fdatasync(FdRef fd);
  virtual Status syncfs(FdRef fd);
  virtual void start_writing(FdRef fd, std::uint64_t offset, std::uint64_t length);  // a hint

  // --- names ---------------------------------------------------------------------------------------------------------
  virtual Result<UniqueFd> open(FdRef dir, const std::string& name, int flags, mode_t mode = 0);
  virtual Status mkdir(FdRef dir, const std::string& name, mode_t mode);
  virtual Status unlink(FdRef dir, const std::string& name);
  virtual Status rmdir(FdRef dir, const std::string& name);
  virtual Status link(FdRef from_dir, const std::string& from, FdRef to_dir, const std::string& to);
  virtual Status rename(FdRef from_dir, const std::string& from, FdRef to_dir, const std::string& to, unsigned flags);
  virtual Result<std::vector<sys::DirEntry>> list(FdRef dir);

  // --- attributes ----------------------------------------------------------------------------------------------------
  virtual Result<sys::Stat> stat(FdRef dir, const std::string& name);
  virtual Result<sys::Stat> stat(FdRef fd);
  virtual Status chmod(FdRef dir, const std::string& name, mode_t mode);
  virtual Status chmod(FdRef fd, mode_t mode);
  virtual Status chown(FdRef dir, const std::string& name, uid_t uid, gid_t gid);
  virtual Status chown(FdRef fd, uid_t uid, gid_t gid);
  virtual Status utimens(FdRef dir, const std::string& name, const timespec times[2]);
  virtual Status utimens(FdRef fd, const timespec times[2]);
  virtual Result<base::Bytes> getxattr(FdRef dir, const std::string& name, const std::string& attribute);
  virtual Status setxattr(FdRef dir, const std::string& name, const std::string& attribute, ByteView value, int flags);
  virtual Status removexattr(FdRef dir, const std::string& name, const std::string& attribute);
  virtual Result<std::vector<std::string>> listxattr(FdRef dir, const std::string& name);
};

// Of bytes that a write only reads.
inline iovec as_iovec(ByteView bytes) { return {const_cast<base::Byte*>(bytes.data()), bytes.size()}; }
// Zeros from there to there. Errors: those of pwritev().
Status write_zeros(Backing& backing, FdRef fd, std::uint64_t from, std::uint64_t to);

}  // namespace coffer::fs
