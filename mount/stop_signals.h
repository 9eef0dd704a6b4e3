// SIGTERM, SIGINT and SIGHUP as something to read, instead of something that interrupts.
#pragma once

#include <csignal>

#include "base/unique_fd.h"

namespace coffer::mount {

// Blocks the three in the calling thread and in every thread it starts afterwards. So construct it before any other
// thread exists (before Filesystem::open) and after passwords were asked (Ctrl-C does not interrupt any more). The
// destructor restores the calling thread's mask; signals that came meanwhile and were not read are dropped.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  base::FdRef fd() const { return base::FdRef(fd_); }  // readable once a signal came
  int take() noexcept;                                 // the signal's number, or 0 if there is none

 private:
  sigset_t before_;
  base::UniqueFd fd_;
};

}  // namespace coffer::mount
