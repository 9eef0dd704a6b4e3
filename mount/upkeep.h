// What a mount needs besides answers: a thread that greets it, writes its dirty pages back in time, and takes it down.
//
// The kernel keeps what programs wrote through a writeback cache for up to 30 s (vm.dirty_expire_centisecs) and passes
// no sync(2) on to FUSE daemons, so while any file is open for writing this thread has the mount's pages written back
// every two seconds.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "mount/mount_context.h"
#include "mount/stop_signals.h"
#include "mount/workers.h"

namespace coffer::mount {

struct UpkeepTask {
  std::string mount_point;
  dev_t device = 0;  // st_dev of the mount
  MountContext* context = nullptr;
  WorkerPool* workers = nullptr;
  StopSignals* signals = nullptr;
  std::function<void()> serving;  // called once the mount has answered; may be empty
  // Called first when the mount is to stop, requests still being answered: no more invalidations, since one that waits
  // for dirty pages to be written back must not outlive the workers.
  std::function<void()> stopping;
  std::function<base::Status()> write_back;  // as Mounter::write_back()
  std::function<base::Status()> unmount;     // plainly: as Mounter::unmount()
  std::function<void()> detach_lazily;       // unmounts lazily, keeping the workers' devices
};

class Upkeep {
 public:
  explicit Upkeep(base::FdRef stop_event);  // readable: stop as by a signal. Outlives this.
  ~Upkeep();
  Upkeep(const Upkeep&) = delete;
  Upkeep& operator=(const Upkeep&) = delete;

  // Starts the thread. Call just before WorkerPool::run(). Errors: EAGAIN.
  base::Status start(UpkeepTask task);
  // The workers have ended: so does the thread. REQUIRES: the connection is dead (else a system call of ours on the
  // mount could wait for ever for an answer).
  void finish();

 private:
  void run();
  bool greet();
  int wait_for_event() const;
  void sync_mount() const;
  void take_down();

  UpkeepTask task_;
  base::FdRef stop_event_;
  base::UniqueFd finish_event_;
  std::thread thread_;
};

}  // namespace coffer::mount
