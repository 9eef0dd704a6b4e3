#include "fs/directory_fds.h"

namespace coffer::fs {

SharedFd DirectoryFds::find(const Inode& inode) {
  base::MutexLock lock(mutex_);
  auto found = by_inode_.find(&inode);
  if (found == by_inode_.end()) return nullptr;
  recent_.splice(recent_.begin(), recent_, found->second);
  return found->second->fd;
}

SharedFd DirectoryFds::insert(const InodeRef& inode, UniqueFd fd) {
  Entry evicted;  // destroyed after the mutex is free: the last reference to an inode may go with it
  base::MutexLock lock(mutex_);
  auto found = by_inode_.find(inode.get());
  if (found != by_inode_.end()) return found->second->fd;
  recent_.push_front({inode, std::make_shared<const UniqueFd>(std::move(fd))});
  by_inode_[inode.get()] = recent_.begin();
  SharedFd result = recent_.front().fd;
  if (recent_.size() > count_max_) {
    evicted = std::move(recent_.back());
    by_inode_.erase(evicted.inode.get());
    recent_.pop_back();
  }
  return result;
}

void DirectoryFds::erase(const Inode& inode) {
  Entry erased;
  base::MutexLock lock(mutex_);
  auto found = by_inode_.find(&inode);
  if (found == by_inode_.end()) return;
  erased = std::move(*found->second);
  recent_.erase(found->second);
  by_inode_.erase(found);
}

void DirectoryFds::clear() {
  std::list<Entry> all;
  base::MutexLock lock(mutex_);
  by_inode_.clear();
  all.swap(recent_);
}

}  // namespace coffer::fs
