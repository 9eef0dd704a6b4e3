// Other processes, as far as /proc shows them to us.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace coffer::mount {

std::vector<pid_t> all_processes();
std::string process_name(pid_t pid);           // as in ps; empty: gone
std::optional<uid_t> process_user(pid_t pid);  // effective

// A process by something that is not used again: its number may be (pidfd_open(2)). Invalid: gone, or not to be
// watched.
base::UniqueFd watch_process(pid_t pid);
// Waits until it has ended, at most as long as given. True if it has.
bool has_ended(base::FdRef process, std::chrono::milliseconds patience);

// A process that keeps a mount from being unmounted.
struct Holder {
  pid_t pid = 0;
  std::string name;
  std::string why;   // "has it open", "is in it"...
  std::string path;  // where, as that process sees it
};

// The process that mounts and unmounts for a daemon (mounter.h) calls itself so.
constexpr const char* kMounterName = "coffer-mounter";

// One line a process, the first reason found; without mounters. Processes of other users only show to root.
std::vector<Holder> holders_of(const std::string& mount_point);

// "process 1234 (bash) is in /home/user/Coffer/sub; process 5 (vi) has ... open", at most a handful and "and 3 more".
std::string describe(const std::vector<Holder>& holders);

}  // namespace coffer::mount
