#include "mount/kernel_cache.h"

#include <atomic>
#include <string>

#include "base/log.h"
#include "base/mutex.h"
#include "mount/fuse_api.h"

namespace coffer::mount {

// Held shared while a hook talks to the kernel, so that detach() knows when none does any more.
class KernelCache::Target {
 public:
  void set(fuse_session* session) {
    base::WriterLock lock(mutex_);
    session_ = session;
  }

  void drop_inode(fs::InodeId inode) {
    base::ReaderLock lock(mutex_);
    if (session_ == nullptr) return;
    // Offset 0 and length 0: all pages (fs/fuse/inode.c, fuse_reverse_inval_inode).
    report(fuse_lowlevel_notify_inval_inode(session_, inode.value, 0, 0));
  }

  void drop_entry(fs::InodeId parent, std::string_view name) {
    const std::string terminated(name);  // libfuse sends the byte after the name, too
    base::ReaderLock lock(mutex_);
    if (session_ == nullptr) return;
    report(fuse_lowlevel_notify_inval_entry(session_, parent.value, terminated.c_str(), terminated.size()));
  }

  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  void report(int result) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    switch (-result) {
      case 0:
      case ENOENT:     // the kernel does not know it
      case ENOTDIR:    // what it knows is no directory any more
      case ENOTEMPTY:  // a directory that is a mount point or in use; its entries are still looked up anew
      case ENOTCONN:   // not yet, or no longer, mounted
      case ENODEV:
      case EBADF:
        return;
      default:
        base::log(base::LogLevel::kWarning, "the kernel did not drop what it had cached: errno {}", -result);
    }
  }

  base::SharedMutex mutex_;
  fuse_session* session_ GUARDED_BY(mutex_) = nullptr;
  std::atomic<std::uint64_t> dropped_{0};
};

KernelCache::KernelCache() : target_(std::make_shared<Target>()) {}
KernelCache::~KernelCache() { detach(); }

fs::KernelHooks KernelCache::hooks() const {
  return {.drop_inode = [target = target_](fs::InodeId inode) { target->drop_inode(inode); },
          .drop_entry = [target = target_](fs::InodeId parent,
                                           std::string_view name) { target->drop_entry(parent, name); }};
}

void KernelCache::attach(fuse_session* session) { target_->set(session); }
void KernelCache::detach() { target_->set(nullptr); }
std::uint64_t KernelCache::dropped() const { return target_->dropped(); }

}  // namespace coffer::mount
