// What fs/ and its callers exchange: ids, attributes, requests. No FUSE, no ciphertext.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace coffer::fs {

using base::ByteSpan;
using base::ByteView;
using base::Errno;
using base::FdRef;
using base::Result;
using base::Status;
using base::UniqueFd;

// A known inode of this mount: a counter, never reused while the mount lives. 1 is the root, as in FUSE.
struct InodeId {
  std::uint64_t value = 0;
  friend auto operator<=>(const InodeId&, const InodeId&) = default;
};
inline constexpr InodeId kRootInode{1};

// An open file or directory.
struct HandleId {
  std::uint64_t value = 0;
  friend auto operator<=>(const HandleId&, const HandleId&) = default;
};

// Who asks. uid and gid own what is created (only where the daemon is root); umask applies where no default ACL does.
struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  mode_t umask = 0;
};

// For how long a kernel may believe what it was told without asking again: where others' changes are told to us, and it
// thus learns of them at once, and where they are not.
inline constexpr std::chrono::milliseconds kTrustWatched = std::chrono::hours(1);
inline constexpr std::chrono::milliseconds kTrustUnwatched = std::chrono::seconds(1);

// The plaintext view of an inode.
struct Attr {
  InodeId id;             // names it in requests
  std::uint64_t ino = 0;  // st_ino for people: the ciphertext file's, so it survives a remount
  mode_t mode = 0;        // with type bits
  nlink_t nlink = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  dev_t rdev = 0;
  std::uint64_t size = 0;
  std::uint64_t blocks = 0;  // of 512 bytes, as allocated for the ciphertext
  timespec atime{}, mtime{}, ctime{};
  std::chrono::milliseconds trust = kTrustUnwatched;       // in all of the above
  std::chrono::milliseconds name_trust = kTrustUnwatched;  // that the name it was found by is its; only by name
};

// What to change; an empty field stays as it is.
struct AttrChange {
  std::optional<mode_t> mode;  // permission bits
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<std::uint64_t> size;
  std::optional<timespec> atime;  // tv_nsec may be UTIME_NOW
  std::optional<timespec> mtime;  // tv_nsec may be UTIME_NOW
  bool kill_suidgid = false;      // drop suid, and sgid where the group may execute, and security.capability
};

struct Opened {
  HandleId handle;
  // The kernel's pages of this inode, if any, are still true. Of a directory: it may keep the listing.
  bool keep_cache = false;
};

struct Created {
  Attr attr;  // one lookup count taken
  Opened opened;
};

struct WriteFlags {
  bool from_page_cache = false;  // written back later by the kernel: must not fail while memory allows
  bool kill_suidgid = false;
};

struct StatFs {
  std::uint64_t block_size = 4096;
  std::uint64_t blocks = 0, blocks_free = 0, blocks_available = 0;
  std::uint64_t files = 0, files_free = 0;
  std::uint64_t name_max = 255;
};

}  // namespace coffer::fs
