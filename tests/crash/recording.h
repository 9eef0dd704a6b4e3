// A Backing that does what it is told and writes down every change and every flush, of the vault and of local state.
#pragma once

#include <memory>

#include "fs/backing.h"
#include "tests/crash/disk_image.h"

namespace coffer::crash {

struct Operation {
  enum class Kind {
    kWrite,
    kTruncate,
    kPunch,
    kAllocate,  // to `offset + length`, if the size grows
    kCreate,
    kMkdir,
    kUnlink,  // also rmdir
    kLink,
    kRename,
    kExchange,
    kChmod,
    kSetXattr,
    kRemoveXattr,
    kTouch,  // owner, times: nothing that is looked at, but a change of the inode
    kFsync,
    kFdatasync,
    kSyncfs,
  };
  Kind kind = Kind::kTouch;
  Disk disk = Disk::kVault;
  NodeId node = 0;   // what it is done to; what is made, moved, removed
  NodeId other = 0;  // kRename: what was replaced, if any; kExchange: what went the other way
  NodeId dir = 0;
  NodeId to_dir = 0;
  std::string name = {};
  std::string to_name = {};
  std::uint64_t offset = 0;
  std::uint64_t length = 0;  // kTruncate: the size
  mode_t mode = 0;
  std::string bytes = {};
};
std::string to_string(const Operation& operation);

// Flushes that do not happen, to see that the harness notices.
struct Broken {
  bool vault_flush = false;    // fsync and fdatasync of files in the vault
  bool journal_flush = false;  // the same in local state
};

// One mount of one pair of folders. Thread-safe.
class Recording {
 public:
  Recording(std::shared_ptr<Identities> identities, const Folders& folders, Broken broken = {})
      : identities_(std::move(identities)), inodes_(folders.inodes()), broken_(broken) {}

  void add(Operation operation);
  std::size_t size() const;
  std::vector<Operation> operations() const;
  Folders::Here here(const sys::Stat& stat);
  // What was just made, on that disk.
  NodeId made(const sys::Stat& stat, Disk disk);
  // With the identity that the node had when it was first seen.
  sys::Stat disguised(sys::Stat stat);
  ino_t disguised_ino(ino_t ino);

 private:
  const std::shared_ptr<Identities> identities_;
  mutable base::Mutex mutex_;
  std::unordered_map<ino_t, Folders::Here> inodes_ GUARDED_BY(mutex_);
  std::vector<Operation> operations_ GUARDED_BY(mutex_);
  const Broken broken_;
};

class RecordingBacking : public fs::Backing {
 public:
  using FdRef = base::FdRef;
  using Status = base::Status;
  explicit RecordingBacking(std::shared_ptr<Recording> recording) : recording_(std::move(recording)) {}

  Status pwritev(FdRef fd, std::vector<iovec> parts, std::uint64_t offset) override;
  Status truncate(FdRef fd, std::uint64_t size) override;
  Status fallocate(FdRef fd, int mode, std::uint64_t offset, std::uint64_t length) override;
  Status fsync(FdRef fd) override;
  Status fdatasync(FdRef fd) override;
  Status syncfs(FdRef fd) override;

  base::Result<base::UniqueFd> open(FdRef dir, const std::string& name, int flags, mode_t mode = 0) override;
  Status mkdir(FdRef dir, const std::string& name, mode_t mode) override;
  Status unlink(FdRef dir, const std::string& name) override;
  Status rmdir(FdRef dir, const std::string& name) override;
  Status link(FdRef from_dir, const std::string& from, FdRef to_dir, const std::string& to) override;
  Status rename(FdRef from_dir, const std::string& from, FdRef to_dir, const std::string& to, unsigned flags) override;
  base::Result<std::vector<sys::DirEntry>> list(FdRef dir) override;

  base::Result<sys::Stat> stat(FdRef dir, const std::string& name) override;
  base::Result<sys::Stat> stat(FdRef fd) override;
  Status chmod(FdRef dir, const std::string& name, mode_t mode) override;
  Status chmod(FdRef fd, mode_t mode) override;
  Status chown(FdRef dir, const std::string& name, uid_t uid, gid_t gid) override;
  Status chown(FdRef fd, uid_t uid, gid_t gid) override;
  Status utimens(FdRef dir, const std::string& name, const timespec times[2]) override;
  Status utimens(FdRef fd, const timespec times[2]) override;
  Status setxattr(FdRef dir, const std::string& name, const std::string& attribute, base::ByteView value,
                  int flags) override;
  Status removexattr(FdRef dir, const std::string& name, const std::string& attribute) override;

 private:
  using Kind = Operation::Kind;
  Operation about(Kind kind, FdRef fd);
  Operation about(Kind kind, FdRef dir, const std::string& name);
  // An entry of `dir`; no node if there is none.
  Operation entry(Kind kind, FdRef dir, const std::string& name);
  void record_new(Kind kind, FdRef dir, const std::string& name);
  Status record_if(const Status& done, Operation operation);

  const std::shared_ptr<Recording> recording_;
};

}  // namespace coffer::crash
