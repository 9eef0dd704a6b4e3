// Every system call that Coffer's lower layers make, once: EINTR, O_CLOEXEC and whole-length loops live here, and
// failures come back as the errno of the call. Thread-safe as the kernel is. Paths are relative to a descriptor
// wherever the kernel allows it; nothing here follows a symbolic link in the last component.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace coffer::base::sys {

// Adds O_CLOEXEC | O_NOFOLLOW.
Result<UniqueFd> openat(FdRef dir, const char* name, int flags, mode_t mode = 0);
// openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS: `name` cannot lead out of `dir`.
Result<UniqueFd> openat_beneath(FdRef dir, const char* name, int flags, mode_t mode = 0);
// Another descriptor for what `fd` is (also an O_PATH one), through /proc/self/fd.
Result<UniqueFd> reopen(FdRef fd, int flags);
Result<UniqueFd> dup(FdRef fd);

// Reads until `out` is full or the file ends; the count is short only at the end of the file.
Result<std::size_t> pread_full(FdRef fd, ByteSpan out, std::uint64_t offset);
// Writes all or fails. What was written before a failure stays written.
Status pwrite_full(FdRef fd, ByteView in, std::uint64_t offset);
Status pwritev_full(FdRef fd, std::vector<iovec> parts, std::uint64_t offset);
Result<Bytes> read_file(FdRef dir, const char* name, std::size_t limit);  // EFBIG above the limit

// In the calls on attributes and extended attributes of an entry, the name "" stands for what the descriptor itself is,
// which must be open for more than O_PATH then (except for statx).

// Attributes of an entry or descriptor, with birth time (zero where the file system has none).
struct Stat {
  dev_t dev = 0;
  ino_t ino = 0;
  mode_t mode = 0;
  nlink_t nlink = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  dev_t rdev = 0;
  std::uint64_t size = 0;
  std::uint64_t blocks = 0;
  timespec atime{}, mtime{}, ctime{}, btime{};
};
constexpr std::int64_t nanoseconds(const timespec& t) { return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; }
Result<Stat> statx(FdRef dir, const char* name);
Result<Stat> statx(FdRef fd);

Status mkdirat(FdRef dir, const char* name, mode_t mode);
Status unlinkat(FdRef dir, const char* name, int flags = 0);
Status linkat(FdRef from_dir, const char* from, FdRef to_dir, const char* to);
// flags: RENAME_NOREPLACE, RENAME_EXCHANGE or 0.
Status renameat2(FdRef from_dir, const char* from, FdRef to_dir, const char* to, unsigned flags = 0);
Status fchmod(FdRef fd, mode_t mode);
Status fchmodat(FdRef dir, const char* name, mode_t mode);
Status fchownat(FdRef dir, const char* name, uid_t uid, gid_t gid);  // -1: unchanged
Status fchown(FdRef fd, uid_t uid, gid_t gid);
Status utimensat(FdRef dir, const char* name, const timespec times[2]);
Status futimens(FdRef fd, const timespec times[2]);
Status ftruncate(FdRef fd, std::uint64_t size);
Status fallocate(FdRef fd, int mode, std::uint64_t offset, std::uint64_t length);
Status fsync(FdRef fd);
Status fdatasync(FdRef fd);
Status syncfs(FdRef fd);
// Begins to write a range to the disk without waiting: a later fdatasync has less to do. Nothing is promised.
void start_writing(FdRef fd, std::uint64_t offset, std::uint64_t length);
// whence: SEEK_DATA or SEEK_HOLE. ENXIO beyond the end.
Result<std::uint64_t> lseek(FdRef fd, std::uint64_t offset, int whence);
Result<struct statvfs> fstatvfs(FdRef fd);

// Extended attributes of an entry of `dir` (through /proc/self/fd, since the *at calls are newer than Debian 12), or of
// the directory itself where `name` is ".".
Result<Bytes> getxattr(FdRef dir, const char* name, const char* attribute);
Status setxattr(FdRef dir, const char* name, const char* attribute, ByteView value, int flags);
Status removexattr(FdRef dir, const char* name, const char* attribute);
Result<std::vector<std::string>> listxattr(FdRef dir, const char* name);

// The names in a directory, without "." and "..", with d_type. `fd` is read from its start through a descriptor of its
// own.
struct DirEntry {
  std::string name;
  ino_t ino;
  unsigned char type;  // DT_*
};
Result<std::vector<DirEntry>> read_directory(FdRef fd);

// --- being told of changes: fanotify(7)
// -------------------------------------------------------------------------------- A group that names directory and
// entry of each event (FAN_REPORT_DFID_NAME); not blocking. Errors: ENOSYS, EINVAL (kernel too old), EPERM, EMFILE (too
// many groups of this user).
Result<UniqueFd> fanotify_group();
// Has the group told of what happens to `directory` and its entries, or no more. Errors: ENOSPC (too many marks),
// ENODEV, EOPNOTSUPP (its file system has no handles), EACCES (it cannot be listed).
Status fanotify_mark(FdRef group, FdRef directory, std::uint64_t mask);
Status fanotify_unmark(FdRef group, FdRef directory, std::uint64_t mask);
// What names a file in such events, type and bytes: the same as long as the file exists. Errors: EOPNOTSUPP.
Result<std::string> file_handle(FdRef fd);
// One read(2). Errors: EAGAIN.
Result<std::size_t> read_some(FdRef fd, ByteSpan out);
Result<UniqueFd> eventfd();        // a counter to wake a poller with; not blocking
void eventfd_signal(FdRef event);  // never fails for lack of anything
void eventfd_clear(FdRef event);
// Which of the two is readable; neither once `timeout` is over, or when a signal came. No timeout: waits for ever.
struct Readable {
  bool first = false;
  bool second = false;
};
Readable wait_readable(FdRef first, FdRef second, std::optional<std::chrono::milliseconds> timeout);
// statfs(2)'s f_type: which kind of file system.
Result<std::uint64_t> filesystem_type(FdRef fd);
// The clock that the kernel takes file times from; it moves in steps of some milliseconds.
timespec file_clock() noexcept;

}  // namespace coffer::base::sys
