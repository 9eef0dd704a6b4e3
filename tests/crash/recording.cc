#include "tests/crash/recording.h"

#include <fmt/format.h>
#include <linux/falloc.h>
#include <sys/stat.h>

#include <array>

namespace coffer::crash {

std::string to_string(const Operation& operation) {
  static constexpr std::array kNames{"write",   "truncate", "punch",  "allocate",  "create", "mkdir",
                                     "unlink",  "link",     "rename", "exchange",  "chmod",  "setxattr",
                                     "rmxattr", "touch",    "fsync",  "fdatasync", "syncfs"};
  std::string text = fmt::format("{}{} #{}", operation.disk == Disk::kState ? "state: " : "",
                                 kNames.at(static_cast<std::size_t>(operation.kind)), operation.node);
  if (operation.dir != 0) text += fmt::format(" {}/{:.24}", operation.dir, operation.name);
  if (operation.to_dir != 0) text += fmt::format(" -> {}/{:.24}", operation.to_dir, operation.to_name);
  if (operation.other != 0) text += fmt::format(" over #{}", operation.other);
  if (operation.length != 0 || operation.offset != 0) {
    text += fmt::format(" {}+{}", operation.offset, operation.length);
  }
  return text;
}

void Recording::add(Operation operation) {
  const bool flush = operation.kind == Operation::Kind::kFsync || operation.kind == Operation::Kind::kFdatasync;
  if (flush && (operation.disk == Disk::kVault ? broken_.vault_flush : broken_.journal_flush)) return;
  base::MutexLock lock(mutex_);
  operations_.push_back(std::move(operation));
}

std::size_t Recording::size() const {
  base::MutexLock lock(mutex_);
  return operations_.size();
}

std::vector<Operation> Recording::operations() const {
  base::MutexLock lock(mutex_);
  return operations_;
}

Folders::Here Recording::here(const sys::Stat& stat) {
  base::MutexLock lock(mutex_);
  auto known = inodes_.find(stat.ino);
  return known != inodes_.end() ? known->second : Folders::Here{0, Disk::kVault};
}

NodeId Recording::made(const sys::Stat& stat, Disk disk) {
  base::MutexLock lock(mutex_);
  const NodeId node = identities_->add(stat);
  inodes_[stat.ino] = {node, disk};
  return node;
}

sys::Stat Recording::disguised(sys::Stat stat) {
  base::MutexLock lock(mutex_);
  auto known = inodes_.find(stat.ino);
  if (known == inodes_.end()) return stat;
  const Identity identity = identities_->of(known->second.node, stat);
  stat.dev = identity.dev;
  stat.ino = identity.ino;
  stat.btime = identity.birth;
  return stat;
}

ino_t Recording::disguised_ino(ino_t ino) {
  sys::Stat stat;
  stat.ino = ino;
  return disguised(stat).ino;
}

Operation RecordingBacking::about(Kind kind, FdRef fd) {
  Operation operation{kind};
  auto stat = sys::statx(fd);
  if (!stat) return operation;
  const Folders::Here here = recording_->here(*stat);
  operation.node = here.node;
  operation.disk = here.disk;
  return operation;
}

Operation RecordingBacking::about(Kind kind, FdRef dir, const std::string& name) {
  if (name.empty() || name == ".") return about(kind, dir);
  Operation operation = entry(kind, dir, name);
  operation.dir = 0;
  return operation;
}

Operation RecordingBacking::entry(Kind kind, FdRef dir, const std::string& name) {
  Operation operation = about(kind, dir);
  operation.dir = operation.node;
  operation.name = name;
  auto stat = sys::statx(dir, name.c_str());
  operation.node = stat ? recording_->here(*stat).node : 0;
  return operation;
}

void RecordingBacking::record_new(Kind kind, FdRef dir, const std::string& name) {
  Operation operation = about(kind, dir);
  operation.dir = operation.node;
  operation.name = name;
  const auto stat = sys::statx(dir, name.c_str());
  operation.node = recording_->made(*stat, operation.disk);
  operation.mode = stat->mode & 07777;
  recording_->add(std::move(operation));
}

base::Status RecordingBacking::record_if(const Status& done, Operation operation) {
  if (done) recording_->add(std::move(operation));
  return done;
}

base::Status RecordingBacking::pwritev(FdRef fd, std::vector<iovec> parts, std::uint64_t offset) {
  Operation operation = about(Kind::kWrite, fd);
  operation.offset = offset;
  for (const iovec& part : parts) operation.bytes.append(static_cast<const char*>(part.iov_base), part.iov_len);
  operation.length = operation.bytes.size();
  return record_if(Backing::pwritev(fd, std::move(parts), offset), std::move(operation));
}

base::Status RecordingBacking::truncate(FdRef fd, std::uint64_t size) {
  Operation operation = about(Kind::kTruncate, fd);
  operation.length = size;
  return record_if(Backing::truncate(fd, size), std::move(operation));
}

base::Status RecordingBacking::fallocate(FdRef fd, int mode, std::uint64_t offset, std::uint64_t length) {
  const bool zeroes = (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
  Operation operation = about(zeroes ? Kind::kPunch : Kind::kAllocate, fd);
  operation.offset = offset;
  operation.length = length;
  const Status done = Backing::fallocate(fd, mode, offset, length);
  if (!zeroes && (mode & FALLOC_FL_KEEP_SIZE) != 0) operation.kind = Kind::kTouch;
  return record_if(done, std::move(operation));
}

base::Status RecordingBacking::fsync(FdRef fd) { return record_if(Backing::fsync(fd), about(Kind::kFsync, fd)); }
base::Status RecordingBacking::fdatasync(FdRef fd) {
  return record_if(Backing::fdatasync(fd), about(Kind::kFdatasync, fd));
}
base::Status RecordingBacking::syncfs(FdRef fd) { return record_if(Backing::syncfs(fd), about(Kind::kSyncfs, fd)); }

base::Result<base::UniqueFd> RecordingBacking::open(FdRef dir, const std::string& name, int flags, mode_t mode) {
  const bool was_there = (flags & O_CREAT) == 0 || sys::statx(dir, name.c_str()).has_value();
  COFFER_ASSIGN_OR_RETURN(base::UniqueFd fd, Backing::open(dir, name, flags, mode));
  if (!was_there) {
    record_new(Kind::kCreate, dir, name);
  } else if ((flags & O_TRUNC) != 0) {
    recording_->add(about(Kind::kTruncate, fd));
  }
  return fd;
}

base::Status RecordingBacking::mkdir(FdRef dir, const std::string& name, mode_t mode) {
  COFFER_RETURN_IF_ERROR(Backing::mkdir(dir, name, mode));
  record_new(Kind::kMkdir, dir, name);
  return base::ok();
}

base::Status RecordingBacking::unlink(FdRef dir, const std::string& name) {
  Operation operation = entry(Kind::kUnlink, dir, name);
  return record_if(Backing::unlink(dir, name), std::move(operation));
}
base::Status RecordingBacking::rmdir(FdRef dir, const std::string& name) {
  Operation operation = entry(Kind::kUnlink, dir, name);
  return record_if(Backing::rmdir(dir, name), std::move(operation));
}

base::Status RecordingBacking::link(FdRef from_dir, const std::string& from, FdRef to_dir, const std::string& to) {
  Operation operation = about(Kind::kLink, from_dir, from);
  operation.to_dir = about(Kind::kLink, to_dir).node;
  operation.to_name = to;
  return record_if(Backing::link(from_dir, from, to_dir, to), std::move(operation));
}

base::Status RecordingBacking::rename(FdRef from_dir, const std::string& from, FdRef to_dir, const std::string& to,
                                      unsigned flags) {
  Operation operation = entry((flags & RENAME_EXCHANGE) != 0 ? Kind::kExchange : Kind::kRename, from_dir, from);
  const Operation target = entry(operation.kind, to_dir, to);
  operation.to_dir = target.dir;
  operation.to_name = to;
  operation.other = target.node;
  return record_if(Backing::rename(from_dir, from, to_dir, to, flags), std::move(operation));
}

base::Result<std::vector<sys::DirEntry>> RecordingBacking::list(FdRef dir) {
  auto entries = Backing::list(dir);
  if (!entries) return entries;
  for (sys::DirEntry& entry : *entries) entry.ino = recording_->disguised_ino(entry.ino);
  return entries;
}

base::Result<sys::Stat> RecordingBacking::stat(FdRef dir, const std::string& name) {
  COFFER_ASSIGN_OR_RETURN(sys::Stat stat, Backing::stat(dir, name));
  return recording_->disguised(stat);
}
base::Result<sys::Stat> RecordingBacking::stat(FdRef fd) {
  COFFER_ASSIGN_OR_RETURN(sys::Stat stat, Backing::stat(fd));
  return recording_->disguised(stat);
}

base::Status RecordingBacking::chmod(FdRef dir, const std::string& name, mode_t mode) {
  Operation operation = about(Kind::kChmod, dir, name);
  operation.mode = mode;
  return record_if(Backing::chmod(dir, name, mode), std::move(operation));
}
base::Status RecordingBacking::chmod(FdRef fd, mode_t mode) {
  Operation operation = about(Kind::kChmod, fd);
  operation.mode = mode;
  return record_if(Backing::chmod(fd, mode), std::move(operation));
}
base::Status RecordingBacking::chown(FdRef dir, const std::string& name, uid_t uid, gid_t gid) {
  return record_if(Backing::chown(dir, name, uid, gid), about(Kind::kTouch, dir, name));
}
base::Status RecordingBacking::chown(FdRef fd, uid_t uid, gid_t gid) {
  return record_if(Backing::chown(fd, uid, gid), about(Kind::kTouch, fd));
}
base::Status RecordingBacking::utimens(FdRef dir, const std::string& name, const timespec times[2]) {
  return record_if(Backing::utimens(dir, name, times), about(Kind::kTouch, dir, name));
}
base::Status RecordingBacking::utimens(FdRef fd, const timespec times[2]) {
  return record_if(Backing::utimens(fd, times), about(Kind::kTouch, fd));
}

base::Status RecordingBacking::setxattr(FdRef dir, const std::string& name, const std::string& attribute,
                                        base::ByteView value, int flags) {
  Operation operation = about(Kind::kSetXattr, dir, name);
  operation.to_name = attribute;
  operation.bytes = std::string(base::as_text(value));
  return record_if(Backing::setxattr(dir, name, attribute, value, flags), std::move(operation));
}
base::Status RecordingBacking::removexattr(FdRef dir, const std::string& name, const std::string& attribute) {
  Operation operation = about(Kind::kRemoveXattr, dir, name);
  operation.to_name = attribute;
  return record_if(Backing::removexattr(dir, name, attribute), std::move(operation));
}

}  // namespace coffer::crash
