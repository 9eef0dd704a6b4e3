// What a daemon that has the keys may still do: read and write its vault and its local state, and answer the kernel. So
// that a mistake of ours which somebody exploits, by what he puts into the vault, does not become access to everything
// the user has; and so that a folder which is moved out of the vault while it is in use takes nothing new (see
// "Confinement" in docs/ARCHITECTURE.md).
#pragma once

#include <string>

#include "base/unique_fd.h"

namespace coffer::mount {

struct SandboxPlan {
  base::FdRef vault;
  base::FdRef state;  // local state; invalid: there is none
  bool read_only = false;
  std::string mount_point;
};

// Lasts as long as the process, for this thread and all that it starts: files elsewhere are not opened, made, renamed
// or removed (EACCES; landlock(7), Linux 5.19 and where it is switched on), no program is started, nothing is mounted,
// no network is reached, no other process looked into (EPERM; seccomp(2)). What is open already stays open. Where the
// kernel has only a part of it, that part; a line in the log says so. Under sanitizers a smaller part.
// REQUIRES: no other thread exists.
void confine_process(const SandboxPlan& plan);

// Its two halves. False: the kernel does not have it (the log says why).
bool confine_files(const SandboxPlan& plan);
bool confine_calls();

}  // namespace coffer::mount
