// What fs/ may do to the kernel's caches: the fs::KernelHooks of a mount.
//
// Made before the Filesystem opens (which wants its hooks) and outlives it; a FuseSession attaches itself while it is
// mounted. Before and after that the hooks do nothing. Thread-safe.
#pragma once

#include <memory>

#include "fs/filesystem.h"

struct fuse_session;

namespace coffer::mount {

class KernelCache {
 public:
  KernelCache();
  ~KernelCache();
  KernelCache(const KernelCache&) = delete;
  KernelCache& operator=(const KernelCache&) = delete;

  // The functions may outlive this object. They must be called with no lock held that a verb of Filesystem takes: the
  // kernel writes dirty pages back from within an invalidation, and waits for the answers.
  fs::KernelHooks hooks() const;

 private:
  friend class FuseSession;
  class Target;
  void attach(fuse_session* session);
  void detach();  // afterwards no hook is running and none does anything
  std::uint64_t dropped() const;

  std::shared_ptr<Target> target_;
};

}  // namespace coffer::mount
