// Attributes: stat and its changes, symbolic link targets, room.
#include <sys/stat.h>

#include <algorithm>
#include <climits>
#include <ctime>

#include "crypto/geometry.h"
#include "fs/filesystem_impl.h"

namespace coffer::fs {
namespace {

// The time as it will be on disk: the file system below fills in "now" itself, but its header does not.
timespec resolve_now(const timespec& time) {
  if (time.tv_nsec != UTIME_NOW) return time;
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

}  // namespace

Result<Attr> Filesystem::Impl::getattr(InodeId id) {
  COFFER_ASSIGN_OR_RETURN(InodeRef inode, known(id));
  return while_moving([&]() -> Result<Attr> {
    if (auto removed = inodes_.removed_attr(*inode)) return attr_of_removed(inode, *removed);
    COFFER_ASSIGN_OR_RETURN(Located located, locate_now(inode));
    return attr_of(inode, located);
  });
}

Result<Attr> Filesystem::Impl::attr_of_removed(const InodeRef& inode, Attr last) {
  auto file = inodes_.file_of(*inode);
  if (!file) return last;
  COFFER_ASSIGN_OR_RETURN(sys::Stat stat, backing_->stat(file->fd()));
  last.size = file->size();
  last.mode = (last.mode & S_IFMT) | (stat.mode & 07777);
  last.uid = stat.uid;
  last.gid = stat.gid;
  last.blocks = stat.blocks;
  last.atime = stat.atime;
  last.mtime = stat.mtime;
  last.ctime = stat.ctime;
  return last;
}

Status Filesystem::Impl::kill_suidgid(const InodeRef& inode, const std::shared_ptr<FileState>& file) {
  COFFER_ASSIGN_OR_RETURN(sys::Stat stat, backing_->stat(file->fd()));
  mode_t mode = stat.mode & 07777;
  mode_t cleared = mode & ~static_cast<mode_t>(S_ISUID);
  if (mode & S_IXGRP) cleared &= ~static_cast<mode_t>(S_ISGID);
  if (cleared != mode) COFFER_RETURN_IF_ERROR(backing_->chmod(file->fd(), cleared));
  auto located = locate(inode);
  if (!located) return base::ok();  // no name any more: nothing will ever execute it
  Status removed = backing_->removexattr(located->at(), located->entry, xattrs_.stored_name("security.capability"));
  if (!removed && removed.error() != Errno(ENODATA) && removed.error() != Errno(EOPNOTSUPP)) return removed;
  COFFER_ASSIGN_OR_RETURN(sys::Stat after, backing_->stat(file->fd()));
  own_change(inode, stat, after);
  return base::ok();
}

namespace {

// Mode and owner through the descriptor of a file that has no name any more.
Status change_unnamed(Backing& backing, FdRef fd, const AttrChange& change) {
  if (change.mode) COFFER_RETURN_IF_ERROR(backing.chmod(fd, *change.mode & 07777));
  if (change.uid || change.gid) {
    COFFER_RETURN_IF_ERROR(
        backing.chown(fd, change.uid.value_or(static_cast<uid_t>(-1)), change.gid.value_or(static_cast<gid_t>(-1))));
  }
  return base::ok();
}

}  // namespace

Attr Filesystem::Impl::change_removed(const InodeRef& inode, Attr last, const AttrChange& change) {
  if (change.mode) last.mode = (last.mode & S_IFMT) | (*change.mode & 07777);
  last.uid = change.uid.value_or(last.uid);
  last.gid = change.gid.value_or(last.gid);
  if (change.atime) last.atime = resolve_now(*change.atime);
  if (change.mtime) last.mtime = resolve_now(*change.mtime);
  inodes_.set_removed(*inode, last);
  return last;
}

Result<Attr> Filesystem::Impl::setattr(InodeId id, const AttrChange& change) {
  COFFER_RETURN_IF_ERROR(check_writable());
  COFFER_ASSIGN_OR_RETURN(InodeRef inode, known(id));
  std::shared_ptr<FileState> file = inodes_.file_of(*inode);
  // The kernel writes back times of files that are gone, and fails a syncfs if that fails.
  if (auto removed = inodes_.removed_attr(*inode); removed && !file && !change.size) {
    return change_removed(inode, *removed, change);
  }
  if (change.size) {
    if (inode->is_directory || inode->kind != crypto::Kind::kFileOrDirectory) return Errno(EINVAL);
    const bool was_open = file != nullptr;
    COFFER_ASSIGN_OR_RETURN(file, file_state(inode, true, *change.size == 0));
    const Status cut = file->truncate(*change.size);
    settler_->file_changed(inode, file);
    COFFER_RETURN_IF_ERROR(cut);
    if (!was_open) COFFER_RETURN_IF_ERROR(write_out(inode, file));
  }
  if (change.kill_suidgid && file) COFFER_RETURN_IF_ERROR(kill_suidgid(inode, file));
  const timespec times[2] = {change.atime.value_or(timespec{0, UTIME_OMIT}),
                             change.mtime ? resolve_now(*change.mtime) : timespec{0, UTIME_OMIT}};
  auto changed = while_moving([&] { return change_located(inode, change, times); });
  if (changed || (changed.error() != Errno(ESTALE) && changed.error() != Errno(ENOENT))) return changed;
  file = inodes_.file_of(*inode);
  if (!file) {
    auto removed = inodes_.removed_attr(*inode);
    return removed ? change_removed(inode, *removed, change) : changed;
  }
  COFFER_RETURN_IF_ERROR(change_unnamed(*backing_, file->fd(), change));
  if (change.atime || change.mtime) COFFER_RETURN_IF_ERROR(file->set_times(times));
  return getattr(id);
}

// All but the size. Errors: ESTALE or ENOENT, also where the entry went in the middle of it.
Result<Attr> Filesystem::Impl::change_located(const InodeRef& inode, const AttrChange& change,
                                              const timespec (&times)[2]) {
  COFFER_ASSIGN_OR_RETURN(Located located, locate_now(inode));
  const sys::Stat before = located.stat;
  if (change.uid || change.gid) {
    COFFER_RETURN_IF_ERROR(backing_->chown(located.at(), located.entry, change.uid.value_or(static_cast<uid_t>(-1)),
                                           change.gid.value_or(static_cast<gid_t>(-1))));
  }
  if (change.mode) COFFER_RETURN_IF_ERROR(set_mode(*inode, located.at(), located.entry, *change.mode));
  if (change.atime || change.mtime) {
    // An open file keeps its time in memory too; it is not being opened now, from an older look at the disk.
    base::MutexLock lock(opening(*inode));
    auto file = inodes_.file_of(*inode);
    COFFER_RETURN_IF_ERROR(file ? file->set_times(times) : backing_->utimens(located.at(), located.entry, times));
  }
  COFFER_ASSIGN_OR_RETURN(located.stat, backing_->stat(located.at(), located.entry));
  own_change(inode, before, located.stat);
  return attr_of(inode, located);
}

Result<std::string> Filesystem::Impl::readlink(InodeId id) {
  COFFER_ASSIGN_OR_RETURN(InodeRef inode, known(id));
  if (inode->kind != crypto::Kind::kSymlink) return Errno(EINVAL);
  COFFER_ASSIGN_OR_RETURN(auto file, file_state(inode, false, false));
  std::string target(static_cast<std::size_t>(std::min<std::uint64_t>(file->size(), PATH_MAX)), '\0');
  COFFER_ASSIGN_OR_RETURN(std::size_t size,
                          file->read(0, ByteSpan(reinterpret_cast<base::Byte*>(target.data()), target.size())));
  if (size == 0 || size >= PATH_MAX || target.find('\0') != std::string::npos) return Errno(EIO);
  target.resize(size);
  return target;
}

Result<StatFs> Filesystem::Impl::statfs() {
  COFFER_ASSIGN_OR_RETURN(struct statvfs below, sys::fstatvfs(options_.vault));
  crypto::Geometry geometry(options_.config.suite, options_.config.chunk_size);
  StatFs result;
  result.block_size = below.f_frsize;
  // Room in plaintext bytes: what full records hold.
  auto plain = [&](std::uint64_t blocks) {
    return static_cast<std::uint64_t>(static_cast<long double>(blocks) * geometry.chunk_size() /
                                      geometry.record_size());
  };
  result.blocks = plain(below.f_blocks);
  result.blocks_free = plain(below.f_bfree);
  result.blocks_available = plain(below.f_bavail);
  result.files = below.f_files;
  result.files_free = below.f_ffree;
  return result;
}

}  // namespace coffer::fs
