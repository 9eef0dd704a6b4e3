// The mounted vault as plain C++: one verb per operation a kernel can ask for.
//
// Thread-safe throughout. No verb holds a lock when it returns, so a caller may reply to the kernel right away. Verbs
// return what the kernel must be told: a value or the errno of the cause. Besides those named, every verb that reaches
// the vault folder passes on the errno of the system call that failed there (ENOSPC, EDQUOT, EROFS, EIO, EMFILE...).
// EIO stands for ciphertext that is incomplete or does not authenticate; the log has a line naming file and chunk.
// ESTALE: the inode's file is gone from the vault or was replaced there. Permission checks are the kernel's
// (default_permissions); callers here are trusted.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/keys.h"
#include "crypto/vault_config.h"
#include "fs/types.h"

namespace coffer::fs {

class Backing;

// What the daemon does to the kernel's caches. Called with no lock held, from a thread of the file system's own, or
// from within lseek() if that may wait. The kernel writes dirty pages back from within drop_inode and waits for the
// WRITEs. May be empty (tests).
struct KernelHooks {
  std::function<void(InodeId)> drop_inode;                                // attributes and pages
  std::function<void(InodeId parent, std::string_view name)> drop_entry;  // a name, present or absent
};

struct FilesystemOptions {
  UniqueFd vault;  // the vault folder, O_RDONLY | O_DIRECTORY; the caller holds the mount lock (flock) on it
  UniqueFd state;  // local state folder; may be invalid, then nothing is remembered
  crypto::VaultConfig config;
  const crypto::KeyRing* keys = nullptr;  // outlives the Filesystem
  bool read_only = false;
  bool strict = false;  // a file that its header places elsewhere is EIO, not just reported
  KernelHooks hooks;
  std::uint64_t dirty_bytes_max = std::uint64_t{64} << 20;  // plaintext kept back at most, over all files
  std::size_t directory_fds_max = 256;
  // For how long changes by others are collected before `hooks` are told, and how many directories may be watched.
  std::chrono::milliseconds watch_delay{50};
  std::size_t watched_directories_max = 1 << 17;
  // For tests: no background threads; what they would do happens in settle_by_hand() only.
  bool settles_by_hand = false;
};

// Numbers for `coffer status`; all since the mount.
struct FilesystemStatus {
  std::uint64_t inodes_known = 0;
  std::uint64_t files_open = 0;
  std::uint64_t dirty_files = 0;  // content or header not yet in its final state on disk
  std::uint64_t dirty_bytes = 0;
  std::optional<Errno> write_error;        // why what waits could not be written out just now
  std::uint64_t integrity_events = 0;      // EIO for authenticity or incompleteness
  std::uint64_t files_moved = 0;           // found elsewhere than their header says, unexplained
  std::uint64_t names_unreadable = 0;      // look like ours, do not authenticate where they are
  std::uint64_t changes_set_aside = 0;     // by a mount that died, and the files are others now (journal_replay.h)
  std::vector<std::string> recent_events;  // last few log lines of these, naming ciphertext files
  // How changes in the vault by others are noticed.
  bool watched = false;                   // by fanotify; else names and attributes are asked for anew each second
  std::string not_watched_because;        // in words, if not
  std::uint64_t directories_watched = 0;  // of those known
  std::uint64_t directories_refused = 0;  // could not be: asked for anew each second
};

// One entry of a listing. `attr` is set for readdirplus; then one lookup count was taken, given back if the sink
// refuses.
struct ListedEntry {
  std::string_view name;
  std::uint64_t ino = 0;
  unsigned char type = 0;  // DT_*
  const Attr* attr = nullptr;
  std::uint64_t next = 0;  // offset to go on from after this entry
};
// Returns false when the entry does not fit any more: the listing ends before it.
using DirSink = std::function<bool(const ListedEntry&)>;

class Filesystem {
 public:
  static Result<std::unique_ptr<Filesystem>> open(FilesystemOptions options);
  // With another way to the disk than the system calls: for tests that lie about I/O (fs/backing.h).
  static Result<std::unique_ptr<Filesystem>> open(FilesystemOptions options, std::unique_ptr<Backing> backing);
  // Writes out everything as shutdown() does, but has nobody to tell of failures except the log.
  ~Filesystem();
  Filesystem(const Filesystem&) = delete;
  Filesystem& operator=(const Filesystem&) = delete;

  // The kernel keeps the modification times of regular files itself (it has a writeback cache) and tells each by
  // setattr() before it forgets the inode: from here on they are never guessed. To be called before the first verb, if
  // at all.
  void kernel_keeps_times();
  // After lookup() said ENOENT: how long the kernel may trust that. (For the rest, Attr says.)
  std::chrono::milliseconds absence_trust(InodeId parent) const;

  // --- names ---------------------------------------------------------------------------------------------------------
  // Takes one lookup count on success. Errors: ENOENT, ENOTDIR, ENAMETOOLONG (over 255 bytes), ESTALE.
  Result<Attr> lookup(InodeId parent, std::string_view name);
  // Gives `count` lookup counts back.
  void forget(InodeId inode, std::uint64_t count);
  // Each takes one lookup count. Errors: EEXIST (an entry of that name, of whatever kind), ENAMETOOLONG, EROFS.
  Result<Attr> mkdir(InodeId parent, std::string_view name, mode_t mode, const Caller& caller);
  Result<Attr> mknod(InodeId parent, std::string_view name, mode_t mode, dev_t rdev,
                     const Caller& caller);  // also S_IFREG
  Result<Attr> symlink(InodeId parent, std::string_view name, std::string_view target, const Caller& caller);
  Result<Attr> link(InodeId inode, InodeId parent, std::string_view name);
  // flags: as in open(2); O_EXCL and O_TRUNC count. An existing file is opened unless O_EXCL.
  Result<Created> create(InodeId parent, std::string_view name, mode_t mode, int flags, const Caller& caller);
  Status unlink(InodeId parent, std::string_view name);
  Status rmdir(InodeId parent, std::string_view name);
  // flags: RENAME_NOREPLACE, RENAME_EXCHANGE or 0. Errors: EINVAL for others.
  Status rename(InodeId parent, std::string_view name, InodeId new_parent, std::string_view new_name, unsigned flags);

  // --- attributes ----------------------------------------------------------------------------------------------------
  Result<Attr> getattr(InodeId inode);
  // All changes or, as far as the kernel below allows, none. Errors: EFBIG, EINVAL.
  Result<Attr> setattr(InodeId inode, const AttrChange& change);
  Result<std::string> readlink(InodeId inode);
  // Errors: ENODATA; EOPNOTSUPP for names in no known namespace; setxattr: EEXIST, ENODATA by flags, ENOSPC, E2BIG.
  Result<base::Bytes> getxattr(InodeId inode, std::string_view name);
  Result<std::vector<std::string>> listxattr(InodeId inode);
  Status setxattr(InodeId inode, std::string_view name, ByteView value, int flags);
  Status removexattr(InodeId inode, std::string_view name);
  Result<StatFs> statfs();

  // --- files ---------------------------------------------------------------------------------------------------------
  // flags: access mode, O_TRUNC. kill_suidgid goes with O_TRUNC. Errors: EIO for a damaged header or length.
  Result<Opened> open_file(InodeId inode, int flags, bool kill_suidgid);
  // The number of bytes read: short only at the end of the file. Any handle may read, also a write-only one (the kernel
  // fills pages through it). Errors: EBADF, EIO.
  Result<std::size_t> read(HandleId handle, std::uint64_t offset, ByteSpan out);
  // All bytes or an error. Offsets are the kernel's, also for O_APPEND. Errors: EBADF, EFBIG, EIO.
  Result<std::size_t> write(HandleId handle, std::uint64_t offset, ByteView data, WriteFlags flags);
  // At each close(2): what was held back goes to the ciphertext file; its errors are this call's.
  Status flush(HandleId handle);
  // Ends the handle; the last word to a file that was unlinked.
  void release(HandleId handle);
  // Content, header and (unless data_only) attributes are on disk afterwards.
  Status fsync(HandleId handle, bool data_only);
  // mode: 0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE [| KEEP_SIZE]. Errors: EOPNOTSUPP for others, EFBIG, EINVAL.
  Status fallocate(HandleId handle, int mode, std::uint64_t offset, std::uint64_t length);
  // whence: SEEK_DATA or SEEK_HOLE. While a handle may write, the kernel is first made to write its pages back, if this
  // call `may_wait` for WRITEs to be answered by somebody else. If not: ENOSYS, which has the kernel take all of every
  // file for data from then on; it alone knows how far this one goes. Errors: ENXIO, EINVAL.
  Result<std::uint64_t> lseek(HandleId handle, std::uint64_t offset, int whence, bool may_wait);
  Result<std::size_t> copy_file_range(HandleId from, std::uint64_t from_offset, HandleId to, std::uint64_t to_offset,
                                      std::size_t length);

  // --- directories ---------------------------------------------------------------------------------------------------
  Result<Opened> open_directory(InodeId inode);
  // From `offset` (0, or a ListedEntry::next of this handle) until the end or the sink says no. Offset 0 reads afresh.
  // "." and ".." are listed too (never with `attr`).
  Status list(HandleId handle, std::uint64_t offset, bool plus, const DirSink& sink);
  void release_directory(HandleId handle);
  Status fsync_directory(HandleId handle);

  // --- the whole -----------------------------------------------------------------------------------------------------
  // Everything written so far is on disk in its final state. Errors of single files: the first, after trying all.
  Status sync();
  // For tests: what the background does each second (fs/settler.h), at once, as if it were `later` than it is.
  void settle_by_hand(std::chrono::seconds later);
  // As sync(), then stops the background threads. Verbs must not be called any more. Idempotent.
  Status shutdown();
  FilesystemStatus status() const;

 private:
  class Impl;
  explicit Filesystem(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace coffer::fs
