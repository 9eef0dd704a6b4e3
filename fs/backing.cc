#include "fs/backing.h"

#include <algorithm>
#include <cerrno>

namespace coffer::fs {
namespace {

// One component of a path, or "" or "." for the directory itself. No call below follows a link in its last component,
// so none leads out of the directory that it names: what openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS would
// see to, for the calls that have no such form, too.
Status check_component(const std::string& name) {
  const bool leads_away = name == ".." || name.find('/') != std::string::npos || name.find('\0') != std::string::npos;
  if (leads_away) return Errno(EINVAL);
  return base::ok();
}

}  // namespace

Result<std::size_t> Backing::pread(FdRef fd, ByteSpan out, std::uint64_t offset) {
  return sys::pread_full(fd, out, offset);
}
Status Backing::pwritev(FdRef fd, std::vector<iovec> parts, std::uint64_t offset) {
  return sys::pwritev_full(fd, std::move(parts), offset);
}
Status Backing::truncate(FdRef fd, std::uint64_t size) { return sys::ftruncate(fd, size); }
Status Backing::fallocate(FdRef fd, int mode, std::uint64_t offset, std::uint64_t length) {
  return sys::fallocate(fd, mode, offset, length);
}
Result<std::uint64_t> Backing::seek(FdRef fd, std::uint64_t offset, int whence) {
  return sys::lseek(fd, offset, whence);
}
Status Backing::fsync(FdRef fd) { return sys::fsync(fd); }
Status Backing::fdatasync(FdRef fd) { return sys::fdatasync(fd); }
Status Backing::syncfs(FdRef fd) { return sys::syncfs(fd); }
void Backing::start_writing(FdRef fd, std::uint64_t offset, std::uint64_t length) {
  sys::start_writing(fd, offset, length);
}

Result<UniqueFd> Backing::open(FdRef dir, const std::string& name, int flags, mode_t mode) {
  COFFER_RETURN_IF_ERROR(check_component(name));
  return sys::openat(dir, name.c_str(), flags, mode);
}
Status Backing::mkdir(FdRef dir, const std::string& name, mode_t mode) {
  COFFER_RETURN_IF_ERROR(check_component(name));
  return sys::mkdirat(dir, name.c_str(), mode);
}
Status Backing::unlink(FdRef dir, const std::string& name) {
  COFFER_RETURN_IF_ERROR(check_component(name));
  return sys::unlinkat(dir, name.c_str());
}
Status Backing::rmdir(FdRef dir, const std::string& name) {
  COFFER_RETURN_IF_ERROR(check_component(name));
  return sys::unlinkat(dir, name.c_str(), AT_REMOVEDIR);
}
Status Backing::link(FdRef from_dir, const std::string& from, FdRef to_dir, const std::string& to) {
  COFFER_RETURN_IF_ERROR(check_component(from));
  COFFER_RETURN_IF_ERROR(check_component(to));
  return sys::linkat(from_dir, from.c_str(), to_dir, to.c_str());
}
Status Backing::rename(FdRef from_dir, const std::string& from, FdRef to_dir, const std::string& to, unsigned flags) {
  COFFER_RETURN_IF_ERROR(check_component(from));
  COFFER_RETURN_IF_ERROR(check_component(to));
  return sys::renameat2(from_dir, from.c_str(), to_dir, to.c_str(), flags);
}
Result<std::vector<sys::DirEntry>> Backing::list(FdRef dir) { return sys::read_directory(dir); }

Result<sys::Stat> Backing::stat(FdRef dir, const std::string& name) {
  COFFER_RETURN_IF_ERROR(check_component(name));
  return sys::statx(dir, name.c_str());
}
Result<sys::Stat> Backing::stat(FdRef fd) { return sys::statx(fd); }
Status Backing::chmod(FdRef dir, const std::string& name, mode_t mode) {
  COFFER_RETURN_IF_ERROR(check_component(name));
  return sys::fchmodat(dir, name.c_str(), mode);
}
Status Backing::chmod(FdRef fd, mode_t mode) { return sys::fchmod(fd, mode); }
Status Backing::chown(FdRef dir, const std::string& name, uid_t uid, gid_t gid) {
  COFFER_RETURN_IF_ERROR(check_component(name));
  return sys::fchownat(dir, name.c_str(), uid, gid);
}
Status Backing::chown(FdRef fd, uid_t uid, gid_t gid) { return sys::fchown(fd, uid, gid); }
Status Backing::utimens(FdRef dir, const std::string& name, const timespec times[2]) {
  COFFER_RETURN_IF_ERROR(check_component(name));
  return sys::utimensat(dir, name.c_str(), times);
}
Status Backing::utimens(FdRef fd, const timespec times[2]) { return sys::futimens(fd, times); }

Result<base::Bytes> Backing::getxattr(FdRef dir, const std::string& name, const std::string& attribute) {
  COFFER_RETURN_IF_ERROR(check_component(name));
  return sys::getxattr(dir, name.c_str(), attribute.c_str());
}
Status Backing::setxattr(FdRef dir, const std::string& name, const std::string& attribute, ByteView value, int flags) {
  COFFER_RETURN_IF_ERROR(check_component(name));
  return sys::setxattr(dir, name.c_str(), attribute.c_str(), value, flags);
}
Status Backing::removexattr(FdRef dir, const std::string& name, const std::string& attribute) {
  COFFER_RETURN_IF_ERROR(check_component(name));
  return sys::removexattr(dir, name.c_str(), attribute.c_str());
}
Result<std::vector<std::string>> Backing::listxattr(FdRef dir, const std::string& name) {
  COFFER_RETURN_IF_ERROR(check_component(name));
  return sys::listxattr(dir, name.c_str());
}

Status write_zeros(Backing& backing, FdRef fd, std::uint64_t from, std::uint64_t to) {
  const base::Bytes zeros(1 << 20);
  while (from < to) {
    const std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(zeros.size(), to - from));
    COFFER_RETURN_IF_ERROR(backing.pwritev(fd, {as_iovec(ByteView(zeros).first(part))}, from));
    from += part;
  }
  return base::ok();
}

}  // namespace coffer::fs
