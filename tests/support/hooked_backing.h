// A Backing that asks before it writes and flushes: to count, to fail, to end the process.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fs/backing.h"

namespace coffer::test {

// Each is asked first, with the path of the file; what it returns, if it is an error, comes instead. Unset: does as it
// is told. Not to be changed while a mount uses it from several threads.
struct BackingHooks {
  std::function<base::Status(const std::string& path, std::uint64_t offset)> write = {};
  std::function<base::Status(const std::string& path)> flush = {};  // fsync and fdatasync
  std::function<base::Status()> syncfs = {};
  std::function<base::Status(const std::string& name, int flags)> open = {};
  std::function<void(std::vector<base::sys::DirEntry>&)> listed = {};
};

class HookedBacking : public fs::Backing {
 public:
  using FdRef = base::FdRef;
  using Status = base::Status;
  explicit HookedBacking(std::shared_ptr<BackingHooks> hooks) : hooks_(std::move(hooks)) {}

  Status pwritev(FdRef fd, std::vector<iovec> parts, std::uint64_t offset) override {
    if (hooks_->write) COFFER_RETURN_IF_ERROR(hooks_->write(path_of(fd), offset));
    return Backing::pwritev(fd, std::move(parts), offset);
  }
  Status fsync(FdRef fd) override {
    if (hooks_->flush) COFFER_RETURN_IF_ERROR(hooks_->flush(path_of(fd)));
    return Backing::fsync(fd);
  }
  Status fdatasync(FdRef fd) override {
    if (hooks_->flush) COFFER_RETURN_IF_ERROR(hooks_->flush(path_of(fd)));
    return Backing::fdatasync(fd);
  }
  Status syncfs(FdRef fd) override {
    if (hooks_->syncfs) COFFER_RETURN_IF_ERROR(hooks_->syncfs());
    return Backing::syncfs(fd);
  }
  base::Result<base::UniqueFd> open(FdRef dir, const std::string& name, int flags, mode_t mode) override {
    if (hooks_->open) COFFER_RETURN_IF_ERROR(hooks_->open(name, flags));
    return Backing::open(dir, name, flags, mode);
  }
  base::Result<std::vector<base::sys::DirEntry>> list(FdRef dir) override {
    COFFER_ASSIGN_OR_RETURN(std::vector<base::sys::DirEntry> entries, Backing::list(dir));
    if (hooks_->listed) hooks_->listed(entries);
    return entries;
  }

 private:
  static std::string path_of(FdRef fd) {
    return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd.get()));
  }
  const std::shared_ptr<BackingHooks> hooks_;
};

inline bool is_journal(const std::string& path) { return path.find("/journal-") != std::string::npos; }

}  // namespace coffer::test
