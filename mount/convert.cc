#include "mount/convert.h"

namespace coffer::mount {

struct stat to_stat(const fs::Attr& attr) {
  struct stat out {};
  out.st_ino = attr.ino;
  out.st_mode = attr.mode;
  out.st_nlink = attr.nlink;
  out.st_uid = attr.uid;
  out.st_gid = attr.gid;
  out.st_rdev = attr.rdev;
  out.st_size = static_cast<off_t>(attr.size);
  out.st_blksize = 4096;  // what the kernel would assume by itself; larger makes cp use larger buffers than it caches
  out.st_blocks = static_cast<blkcnt_t>(attr.blocks);
  out.st_atim = attr.atime;
  out.st_mtim = attr.mtime;
  out.st_ctim = attr.ctime;
  return out;
}

double to_seconds(std::chrono::milliseconds time) { return std::chrono::duration<double>(time).count(); }

fuse_entry_param to_entry(const fs::Attr& attr) {
  fuse_entry_param entry{};
  entry.ino = attr.id.value;
  entry.generation = 0;  // ids are never used twice while a mount lives
  entry.attr = to_stat(attr);
  entry.attr_timeout = to_seconds(attr.trust);
  entry.entry_timeout = to_seconds(attr.name_trust);
  return entry;
}

fuse_entry_param absent_entry(std::chrono::milliseconds trust) {
  fuse_entry_param entry{};
  entry.entry_timeout = to_seconds(trust);
  return entry;
}

fs::AttrChange to_change(const struct stat& attr, int to_set, bool kill_suidgid) {
  const auto wanted = [to_set](int bit) { return (to_set & bit) != 0; };
  constexpr timespec kNow{.tv_sec = 0, .tv_nsec = UTIME_NOW};
  fs::AttrChange change;
  if (wanted(FUSE_SET_ATTR_MODE)) change.mode = attr.st_mode & 07777;
  if (wanted(FUSE_SET_ATTR_UID)) change.uid = attr.st_uid;
  if (wanted(FUSE_SET_ATTR_GID)) change.gid = attr.st_gid;
  if (wanted(FUSE_SET_ATTR_SIZE)) change.size = static_cast<std::uint64_t>(attr.st_size);
  if (wanted(FUSE_SET_ATTR_ATIME)) change.atime = attr.st_atim;
  if (wanted(FUSE_SET_ATTR_ATIME_NOW)) change.atime = kNow;
  if (wanted(FUSE_SET_ATTR_MTIME)) change.mtime = attr.st_mtim;
  if (wanted(FUSE_SET_ATTR_MTIME_NOW)) change.mtime = kNow;
  change.kill_suidgid = kill_suidgid;
  return change;
}

struct statvfs to_statvfs(const fs::StatFs& room) {
  struct statvfs out {};
  out.f_bsize = out.f_frsize = room.block_size;
  out.f_blocks = room.blocks;
  out.f_bfree = room.blocks_free;
  out.f_bavail = room.blocks_available;
  out.f_files = room.files;
  out.f_ffree = out.f_favail = room.files_free;
  out.f_namemax = room.name_max;
  return out;
}

fs::Caller to_caller(const fuse_ctx& context) {
  return {.uid = context.uid, .gid = context.gid, .pid = context.pid, .umask = context.umask};
}

}  // namespace coffer::mount
