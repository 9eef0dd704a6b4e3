// Descriptors of directories of the vault: a bounded number, opened again when needed. A million known directories do
// not need a million descriptors.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <unordered_map>

#include "base/mutex.h"
#include "fs/inode_table.h"

namespace coffer::fs {

using SharedFd = std::shared_ptr<const UniqueFd>;

// Thread-safe; a leaf in the lock order. A descriptor that was given out stays open while anybody holds it.
class DirectoryFds {
 public:
  explicit DirectoryFds(std::size_t count_max) : count_max_(count_max) {}

  SharedFd find(const Inode& inode) EXCLUDES(mutex_);
  SharedFd insert(const InodeRef& inode, UniqueFd fd) EXCLUDES(mutex_);
  void erase(const Inode& inode) EXCLUDES(mutex_);
  void clear() EXCLUDES(mutex_);

 private:
  struct Entry {
    InodeRef inode;  // so that its address is not another's
    SharedFd fd;
  };
  const std::size_t count_max_;
  base::Mutex mutex_;
  std::list<Entry> recent_ GUARDED_BY(mutex_);  // the latest first
  std::unordered_map<const Inode*, std::list<Entry>::iterator> by_inode_ GUARDED_BY(mutex_);
};

}  // namespace coffer::fs
