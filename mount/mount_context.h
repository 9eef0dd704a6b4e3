// What the threads that answer the kernel share (MountContext) and what each has for itself (ServingThread).
//
// Invariant: a request is answered by the thread that read it, before that thread reads the next one. fs/ has no
// asynchronous verbs, so this holds by construction; ServingThread::notes and ::device depend on it.
#pragma once

#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/unique_fd.h"
#include "fs/filesystem.h"
#include "mount/caller_identity.h"
#include "mount/wire.h"

namespace coffer::mount {

// The userdata of the fuse_session.
class MountContext {
 public:
  explicit MountContext(fs::Filesystem& served);

  fs::Filesystem& filesystem;
  // What of it the kernel offered and thus gets. Written while INIT is handled, which is before any other request.
  KernelFeatures features;
  std::atomic<bool> initialised{false};  // INIT was answered; `features` may be read by any thread

  // Open handles through which programs may dirty the kernel's pages. While there are none, Upkeep sleeps without a
  // timeout; the first one wakes it.
  void writer_opened() noexcept;
  void writer_closed() noexcept;
  // Upkeep's side. False: there are writers, do not sleep.
  bool may_sleep() noexcept;
  void awake() noexcept;
  base::FdRef writer_event() const { return base::FdRef(writer_event_); }  // readable: the first writer came

 private:
  std::atomic<std::uint64_t> writers_{0};
  std::atomic<bool> upkeep_sleeps_{false};
  base::UniqueFd writer_event_;
};

// Bytes for READ and the listings: page-aligned, kept between requests, never smaller than asked for before.
class ReplyBuffer {
 public:
  // Throws std::bad_alloc.
  base::ByteSpan get(std::size_t size);

 private:
  struct Free {
    void operator()(base::Byte* memory) const noexcept { std::free(memory); }
  };
  std::unique_ptr<base::Byte[], Free> memory_;
  std::size_t size_ = 0;
};

class WorkerPool;

struct ServingThread {
  WorkerPool* pool = nullptr;              // whose worker this thread is
  int device = -1;                         // this thread's own clone of /dev/fuse; -1: the one libfuse names. Borrowed.
  RequestNotes notes;                      // of the request being served
  std::optional<CallerIdentity> identity;  // from this thread's first creation on
  ReplyBuffer buffer;
  std::vector<fs::InodeId> listed;  // lookup counts that the listing being made carries
  std::string name;                 // of the entry being listed, zero-terminated
};

// The calling thread's.
ServingThread& this_thread() noexcept;

}  // namespace coffer::mount
