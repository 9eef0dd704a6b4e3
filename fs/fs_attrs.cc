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
    if (auto removed = inodes_.removed_attr(*inode); removed && !held_file(*inode)) return *removed;
    COFFER_ASSIGN_OR_RETURN(Located located, reach_now(inode));
    if (inode->is_directory && watch_itself(inode)) {
      COFFER_ASSIGN_OR_RETURN(located.stat, backing_->stat(located.at(), located.entry));
    }
    return attr_of(inode, located);
  });
}

Status Filesystem::Impl::kill_suidgid(const InodeRef& inode, const std::shared_ptr<FileState>& file) {
  COFFER_ASSIGN_OR_RETURN(sys::Stat stat, backing_->stat(file->fd()));
  mode_t mode = stat.mode & 07777;
  mode_t cleared = mode & ~static_cast<mode_t>(S_ISUID);
  if (mode & S_IXGRP) cleared &= ~static_cast<mode_t>(S_ISGID);
  if (cleared != mode) {
    COFFER_RETURN_IF_ERROR(backing_->chmod(file->fd(), cleared));
    // The kernel asked for it, and takes the mode for what it was until it asks for that, too.
    if (watch_) watch_->drop_soon(inode);
  }
  Status removed = backing_->removexattr(file->fd(), "", xattrs_.stored_name("security.capability"));
  if (!removed && removed.error() != Errno(ENODATA) && removed.error() != Errno(EOPNOTSUPP)) return removed;
  if (cleared == mode && !removed) return base::ok();  // as it was
  COFFER_ASSIGN_OR_RETURN(sys::Stat after, backing_->stat(file->fd()));
  own_change(inode, stat, after);
  return base::ok();
}

Attr Filesystem::Impl::change_removed(const InodeRef& inode, Attr last, const AttrChange& change) {
  if (change.mode) last.mode = (last.mode & S_IFMT) | (*change.mode & 07777);
  last.uid = change.uid.value_or(last.uid);
  last.gid = change.gid.value_or(last.gid);
  if (change.atime) last.atime = resolve_now(*change.atime);
  if (change.mtime) last.mtime = resolve_now(*change.mtime);
  inodes_.set_removed(*inode, last);
  return last;
}

Result<Attr> Filesystem::Impl::change_reached(const InodeRef& inode, const AttrChange& change) {
  COFFER_ASSIGN_OR_RETURN(Located located, reach_now(inode));
  const bool times_only = !change.uid && !change.gid && !change.mode;
  // What the kernel says of each file that it writes back, before it closes or syncs it.
  if (times_only && change.mtime && !change.atime && !inodes_.is_replaced(*inode)) {
    auto file = held_file(*inode);
    if (file && file->hold_mtime(resolve_now(*change.mtime))) return attr_of(inode, located);
  }
  const sys::Stat before = located.stat;
  if (change.uid || change.gid) {
    COFFER_RETURN_IF_ERROR(backing_->chown(located.at(), located.entry, change.uid.value_or(static_cast<uid_t>(-1)),
                                           change.gid.value_or(static_cast<gid_t>(-1))));
  }
  if (change.mode) COFFER_RETURN_IF_ERROR(set_mode(*inode, located.at(), located.entry, *change.mode));
  // The kernel may write back times of pages that it had of the file as it was; they are not those of what another
  // process made of it since.
  if ((change.atime || change.mtime) && !inodes_.is_replaced(*inode)) {
    const timespec times[2] = {change.atime.value_or(timespec{0, UTIME_OMIT}),
                               change.mtime ? resolve_now(*change.mtime) : timespec{0, UTIME_OMIT}};
    // An open file keeps its time in memory too; it is not being opened now, from an older look at the disk.
    base::MutexLock lock(opening(*inode));
    auto file = inodes_.file_of(*inode);
    COFFER_RETURN_IF_ERROR(file ? file->set_times(times) : backing_->utimens(located.at(), located.entry, times));
  }
  COFFER_ASSIGN_OR_RETURN(located.stat, backing_->stat(located.at(), located.entry));
  own_change(inode, before, located.stat, times_only);
  COFFER_ASSIGN_OR_RETURN(Attr attr, attr_of(inode, located));
  if (change.mode || change.uid || change.gid) {
    if (auto file = inodes_.file_of(*inode)) file->anticipate_facts(attr.mode, attr.uid, attr.gid);
  }
  return attr;
}

Result<Attr> Filesystem::Impl::setattr(InodeId id, const AttrChange& change) {
  COFFER_RETURN_IF_ERROR(check_writable());
  COFFER_ASSIGN_OR_RETURN(InodeRef inode, known(id));
  // The kernel writes back times of files that are gone, and fails a syncfs if that fails.
  const auto gone = [&] { return held_file(*inode) || change.size ? nullptr : inodes_.removed_attr(*inode); };
  if (auto removed = gone()) return change_removed(inode, *removed, change);
  std::shared_ptr<FileState> file = inodes_.file_of(*inode);
  if (change.size) {
    if (inodes_.is_replaced(*inode)) return Errno(ESTALE);
    if (inode->is_directory || inode->kind != crypto::Kind::kFileOrDirectory) return Errno(EINVAL);
    COFFER_ASSIGN_OR_RETURN(file, file_state(inode, true, *change.size == 0));
    const Status cut = file->truncate(*change.size);
    settler_->file_changed(inode, file);
    const Status written = write_out_unless_held(inode, file);
    COFFER_RETURN_IF_ERROR(cut);
    COFFER_RETURN_IF_ERROR(written);
  }
  if (change.kill_suidgid && file) COFFER_RETURN_IF_ERROR(kill_suidgid(inode, file));
  auto changed = while_moving([&] { return change_reached(inode, change); });
  if (changed || (changed.error() != Errno(ESTALE) && changed.error() != Errno(ENOENT))) return changed;
  if (auto removed = gone()) return change_removed(inode, *removed, change);  // it went just now
  return changed;
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
