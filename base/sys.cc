#include "base/sys.h"

#include <linux/openat2.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

namespace coffer::base::sys {
namespace {

constexpr long kSysFchmodat2 = 452;  // newer than Debian 12's headers; the same everywhere but on alpha

// Repeats a call that a signal interrupted. Not for close() and not for calls that may have done part of their work.
template <class Call>
auto retry(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

template <class Call>
Status status_of(Call call) {
  if (retry(call) < 0) return Errno::last();
  return ok();
}

template <class Call>
Result<UniqueFd> fd_of(Call call) {
  int fd = static_cast<int>(retry(call));
  if (fd < 0) return Errno::last();
  return UniqueFd(fd);
}

// "/proc/self/fd/N" or "/proc/self/fd/N/name": the one way to reach xattrs of an entry without opening it.
class ProcPath {
 public:
  ProcPath(FdRef dir, const char* name) {
    if (name[0] == '.' && name[1] == '\0') {
      std::snprintf(text_.data(), text_.size(), "/proc/self/fd/%d", dir.get());
    } else {
      std::snprintf(text_.data(), text_.size(), "/proc/self/fd/%d/%s", dir.get(), name);
      is_entry_ = true;
    }
  }
  const char* c_str() const { return text_.data(); }
  bool is_entry() const { return is_entry_; }  // then the l-variants apply: no link in the last component

 private:
  std::array<char, 320> text_;  // a name has at most 255 bytes
  bool is_entry_ = false;
};

bool is_empty(const char* name) { return name[0] == '\0'; }
int empty_path(const char* name) { return is_empty(name) ? AT_EMPTY_PATH : 0; }

timespec to_timespec(const statx_timestamp& t) { return {t.tv_sec, t.tv_nsec}; }

Result<Stat> statx_with(int dir, const char* name, int flags) {
  struct ::statx x;
  constexpr unsigned kMask = STATX_BASIC_STATS | STATX_BTIME;
  if (retry([&] { return ::statx(dir, name, flags | AT_NO_AUTOMOUNT, kMask, &x); }) < 0) return Errno::last();
  Stat s;
  s.dev = makedev(x.stx_dev_major, x.stx_dev_minor);
  s.ino = x.stx_ino;
  s.mode = x.stx_mode;
  s.nlink = x.stx_nlink;
  s.uid = x.stx_uid;
  s.gid = x.stx_gid;
  s.rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor);
  s.size = x.stx_size;
  s.blocks = x.stx_blocks;
  s.atime = to_timespec(x.stx_atime);
  s.mtime = to_timespec(x.stx_mtime);
  s.ctime = to_timespec(x.stx_ctime);
  if (x.stx_mask & STATX_BTIME) s.btime = to_timespec(x.stx_btime);
  return s;
}

}  // namespace

Result<UniqueFd> openat(FdRef dir, const char* name, int flags, mode_t mode) {
  return fd_of([&] { return ::openat(dir.get(), name, flags | O_CLOEXEC | O_NOFOLLOW, mode); });
}

Result<UniqueFd> openat_beneath(FdRef dir, const char* name, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return fd_of([&] { return ::syscall(SYS_openat2, dir.get(), name, &how, sizeof how); });
}

Result<UniqueFd> reopen(FdRef fd, int flags) {
  ProcPath path(fd, ".");
  return fd_of([&] { return ::open(path.c_str(), flags | O_CLOEXEC); });
}

Result<UniqueFd> dup(FdRef fd) {
  return fd_of([&] { return ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3); });
}

Result<std::size_t> pread_full(FdRef fd, ByteSpan out, std::uint64_t offset) {
  std::size_t done = 0;
  while (done < out.size()) {
    ssize_t n = retry(
        [&] { return ::pread(fd.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done)); });
    if (n < 0) return Errno::last();
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

Status pwrite_full(FdRef fd, ByteView in, std::uint64_t offset) {
  std::size_t done = 0;
  while (done < in.size()) {
    ssize_t n = retry(
        [&] { return ::pwrite(fd.get(), in.data() + done, in.size() - done, static_cast<off_t>(offset + done)); });
    if (n < 0) return Errno::last();
    if (n == 0) return Errno(EIO);
    done += static_cast<std::size_t>(n);
  }
  return ok();
}

Status pwritev_full(FdRef fd, std::vector<iovec> parts, std::uint64_t offset) {
  std::size_t first = 0;
  while (first < parts.size()) {
    int count = static_cast<int>(std::min<std::size_t>(parts.size() - first, IOV_MAX));
    ssize_t n = retry([&] { return ::pwritev(fd.get(), &parts[first], count, static_cast<off_t>(offset)); });
    if (n < 0) return Errno::last();
    if (n == 0) return Errno(EIO);
    offset += static_cast<std::uint64_t>(n);
    auto left = static_cast<std::size_t>(n);
    while (first < parts.size() && left >= parts[first].iov_len) left -= parts[first++].iov_len;
    if (left > 0) {
      parts[first].iov_base = static_cast<char*>(parts[first].iov_base) + left;
      parts[first].iov_len -= left;
    }
  }
  return ok();
}

Result<Bytes> read_file(FdRef dir, const char* name, std::size_t limit) {
  COFFER_ASSIGN_OR_RETURN(UniqueFd fd, openat(dir, name, O_RDONLY | O_NONBLOCK));
  COFFER_ASSIGN_OR_RETURN(Stat attributes, statx(fd));
  if (!S_ISREG(attributes.mode)) return Errno(EINVAL);
  if (attributes.size > limit) return Errno(EFBIG);
  Bytes content(static_cast<std::size_t>(attributes.size) + 1);  // one more, to see it grow
  COFFER_ASSIGN_OR_RETURN(std::size_t size, pread_full(fd, content, 0));
  if (size > limit) return Errno(EFBIG);
  content.resize(size);
  return content;
}

Result<Stat> statx(FdRef dir, const char* name) {
  return statx_with(dir.get(), name, AT_SYMLINK_NOFOLLOW | empty_path(name));
}
Result<Stat> statx(FdRef fd) { return statx_with(fd.get(), "", AT_EMPTY_PATH); }

Status mkdirat(FdRef dir, const char* name, mode_t mode) {
  return status_of([&] { return ::mkdirat(dir.get(), name, mode); });
}
Status unlinkat(FdRef dir, const char* name, int flags) {
  return status_of([&] { return ::unlinkat(dir.get(), name, flags); });
}
Status linkat(FdRef from_dir, const char* from, FdRef to_dir, const char* to) {
  return status_of([&] { return ::linkat(from_dir.get(), from, to_dir.get(), to, 0); });
}
Status renameat2(FdRef from_dir, const char* from, FdRef to_dir, const char* to, unsigned flags) {
  return status_of([&] { return ::renameat2(from_dir.get(), from, to_dir.get(), to, flags); });
}
Status fchmod(FdRef fd, mode_t mode) {
  return status_of([&] { return ::fchmod(fd.get(), mode); });
}

Status fchmodat(FdRef dir, const char* name, mode_t mode) {
  if (is_empty(name)) return fchmod(dir, mode);
  // fchmodat() follows links and has no flag against it; fchmodat2() has, since Linux 6.6 (glibc since 2.39). Before,
  // and to tell what a link is, an O_PATH descriptor and /proc do not follow either.
  Status changed = status_of([&] { return ::syscall(kSysFchmodat2, dir.get(), name, mode, AT_SYMLINK_NOFOLLOW); });
  if (changed || (changed.error() != Errno(ENOSYS) && changed.error() != Errno(EOPNOTSUPP))) return changed;
  COFFER_ASSIGN_OR_RETURN(UniqueFd fd, openat(dir, name, O_PATH));
  COFFER_ASSIGN_OR_RETURN(Stat attributes, statx(fd));
  if (S_ISLNK(attributes.mode)) return Errno(ELOOP);
  ProcPath path(fd, ".");
  return status_of([&] { return ::chmod(path.c_str(), mode); });
}

Status fchownat(FdRef dir, const char* name, uid_t uid, gid_t gid) {
  return status_of([&] { return ::fchownat(dir.get(), name, uid, gid, AT_SYMLINK_NOFOLLOW | empty_path(name)); });
}
Status fchown(FdRef fd, uid_t uid, gid_t gid) {
  return status_of([&] { return ::fchown(fd.get(), uid, gid); });
}
Status utimensat(FdRef dir, const char* name, const timespec times[2]) {
  if (is_empty(name)) return futimens(dir, times);
  return status_of([&] { return ::utimensat(dir.get(), name, times, AT_SYMLINK_NOFOLLOW); });
}
Status futimens(FdRef fd, const timespec times[2]) {
  return status_of([&] { return ::futimens(fd.get(), times); });
}
Status ftruncate(FdRef fd, std::uint64_t size) {
  return status_of([&] { return ::ftruncate(fd.get(), static_cast<off_t>(size)); });
}
Status fallocate(FdRef fd, int mode, std::uint64_t offset, std::uint64_t length) {
  return status_of([&] { return ::fallocate(fd.get(), mode, static_cast<off_t>(offset), static_cast<off_t>(length)); });
}
Status fsync(FdRef fd) {
  return status_of([&] { return ::fsync(fd.get()); });
}
Status fdatasync(FdRef fd) {
  return status_of([&] { return ::fdatasync(fd.get()); });
}
void start_writing(FdRef fd, std::uint64_t offset, std::uint64_t length) {
  // A hint: where it fails, what follows takes longer.
  static_cast<void>(
      ::sync_file_range(fd.get(), static_cast<off64_t>(offset), static_cast<off64_t>(length), SYNC_FILE_RANGE_WRITE));
}

Status syncfs(FdRef fd) {
  return status_of([&] { return ::syncfs(fd.get()); });
}

Result<std::uint64_t> lseek(FdRef fd, std::uint64_t offset, int whence) {
  off_t at = ::lseek(fd.get(), static_cast<off_t>(offset), whence);
  if (at < 0) return Errno::last();
  return static_cast<std::uint64_t>(at);
}

Result<struct statvfs> fstatvfs(FdRef fd) {
  struct statvfs room;
  if (retry([&] { return ::fstatvfs(fd.get(), &room); }) < 0) return Errno::last();
  return room;
}

Result<Bytes> getxattr(FdRef dir, const char* name, const char* attribute) {
  const ProcPath path(dir, name);
  Bytes value(256);
  for (;;) {
    ssize_t n = retry([&] {
      if (is_empty(name)) return ::fgetxattr(dir.get(), attribute, value.data(), value.size());
      return path.is_entry() ? ::lgetxattr(path.c_str(), attribute, value.data(), value.size())
                             : ::getxattr(path.c_str(), attribute, value.data(), value.size());
    });
    if (n >= 0) {
      value.resize(static_cast<std::size_t>(n));
      return value;
    }
    // 64 KiB is the kernel's limit (XATTR_SIZE_MAX), so this ends.
    if (errno != ERANGE || value.size() >= 65536) return Errno::last();
    value.resize(65536);
  }
}

Status setxattr(FdRef dir, const char* name, const char* attribute, ByteView value, int flags) {
  const ProcPath path(dir, name);
  return status_of([&] {
    if (is_empty(name)) return ::fsetxattr(dir.get(), attribute, value.data(), value.size(), flags);
    return path.is_entry() ? ::lsetxattr(path.c_str(), attribute, value.data(), value.size(), flags)
                           : ::setxattr(path.c_str(), attribute, value.data(), value.size(), flags);
  });
}

Status removexattr(FdRef dir, const char* name, const char* attribute) {
  const ProcPath path(dir, name);
  return status_of([&] {
    if (is_empty(name)) return ::fremovexattr(dir.get(), attribute);
    return path.is_entry() ? ::lremovexattr(path.c_str(), attribute) : ::removexattr(path.c_str(), attribute);
  });
}

Result<std::vector<std::string>> listxattr(FdRef dir, const char* name) {
  const ProcPath path(dir, name);
  std::vector<char> names(1024);
  ssize_t n;
  for (;;) {
    n = retry([&] {
      if (is_empty(name)) return ::flistxattr(dir.get(), names.data(), names.size());
      return path.is_entry() ? ::llistxattr(path.c_str(), names.data(), names.size())
                             : ::listxattr(path.c_str(), names.data(), names.size());
    });
    if (n >= 0) break;
    if (errno != ERANGE || names.size() >= 65536) return Errno::last();
    names.resize(65536);  // XATTR_LIST_MAX
  }
  std::vector<std::string> result;
  for (const char *at = names.data(), *end = at + n; at < end; at += result.back().size() + 1) result.emplace_back(at);
  return result;
}

Result<std::vector<DirEntry>> read_directory(FdRef fd) {
  COFFER_ASSIGN_OR_RETURN(UniqueFd own,
                          fd_of([&] { return ::openat(fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  DIR* stream = ::fdopendir(own.get());
  if (stream == nullptr) return Errno::last();
  own.release();  // the stream owns it now
  std::unique_ptr<DIR, int (*)(DIR*)> closer(stream, &::closedir);
  std::vector<DirEntry> entries;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream);
    if (entry == nullptr) {
      if (errno != 0) return Errno::last();
      return entries;
    }
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    entries.push_back({std::move(name), entry->d_ino, entry->d_type});
  }
}

Result<UniqueFd> fanotify_group() {
  return fd_of([] {
    return ::fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC);
  });
}

// By "." and not by the descriptor itself: that may be an O_PATH one, which the call does not take.
Status fanotify_mark(FdRef group, FdRef directory, std::uint64_t mask) {
  return status_of(
      [&] { return ::fanotify_mark(group.get(), FAN_MARK_ADD | FAN_MARK_ONLYDIR, mask, directory.get(), "."); });
}
Status fanotify_unmark(FdRef group, FdRef directory, std::uint64_t mask) {
  return status_of(
      [&] { return ::fanotify_mark(group.get(), FAN_MARK_REMOVE | FAN_MARK_ONLYDIR, mask, directory.get(), "."); });
}

Result<std::string> file_handle(FdRef fd) {
  constexpr int kForEvents = 0x200;  // AT_HANDLE_FID, Linux 6.5: as events have it, also where it opens nothing
  alignas(::file_handle) std::array<char, sizeof(::file_handle) + MAX_HANDLE_SZ> memory{};
  auto* handle = reinterpret_cast<::file_handle*>(memory.data());
  auto ask = [&](int flags) {
    int mount_id = 0;
    handle->handle_bytes = MAX_HANDLE_SZ;
    return status_of([&] { return ::name_to_handle_at(fd.get(), "", handle, &mount_id, AT_EMPTY_PATH | flags); });
  };
  Status got = ask(kForEvents);
  if (!got && got.error() == Errno(EINVAL)) got = ask(0);
  if (!got) return got.error();
  std::string text(reinterpret_cast<const char*>(&handle->handle_type), sizeof handle->handle_type);
  return text.append(reinterpret_cast<const char*>(handle->f_handle), handle->handle_bytes);
}

Result<std::size_t> read_some(FdRef fd, ByteSpan out) {
  ssize_t n = retry([&] { return ::read(fd.get(), out.data(), out.size()); });
  if (n < 0) return Errno::last();
  return static_cast<std::size_t>(n);
}

Result<UniqueFd> eventfd() {
  return fd_of([] { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); });
}
void eventfd_signal(FdRef event) {
  static_cast<void>(retry([&] { return ::eventfd_write(event.get(), 1); }));
}
void eventfd_clear(FdRef event) {
  eventfd_t count = 0;
  static_cast<void>(retry([&] { return ::eventfd_read(event.get(), &count); }));
}

Readable wait_readable(FdRef first, FdRef second, std::optional<std::chrono::milliseconds> timeout) {
  pollfd both[2] = {{first.get(), POLLIN, 0}, {second.get(), POLLIN, 0}};
  if (::poll(both, 2, timeout ? static_cast<int>(timeout->count()) : -1) <= 0) return {};
  return {both[0].revents != 0, both[1].revents != 0};
}

Result<std::uint64_t> filesystem_type(FdRef fd) {
  struct statfs about;
  if (retry([&] { return ::fstatfs(fd.get(), &about); }) < 0) return Errno::last();
  return static_cast<std::uint64_t>(static_cast<unsigned long>(about.f_type));
}

timespec file_clock() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);  // cannot fail for a clock that exists
  return now;
}

}  // namespace coffer::base::sys
