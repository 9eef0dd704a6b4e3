// The life of a mounted vault from open Filesystem to empty memory: what runs in the background, or with --foreground.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "fs/vault_folder.h"
#include "mount/mounter.h"
#include "mount/session.h"

namespace coffer::mount {

struct DaemonPlan {
  std::string vault_path;   // absolute
  std::string mount_point;  // absolute
  std::string state_path;   // empty: there is no local state
  std::string log_path;     // empty: the log goes to standard error
  base::UniqueFd vault;
  base::UniqueFd lock;  // held as long as the daemon lives
  base::UniqueFd state;
  SessionOptions session;
  std::unique_ptr<Mounter> mounter;  // of that mount point and these options
  bool strict = false;
  std::optional<std::chrono::seconds> idle;
  std::vector<std::string> warnings;  // for `coffer status`
};

// Confines this process (sandbox.h), mounts, calls `serving` once the mount answers, and returns when it is gone and
// everything is written out. Errors: those of FuseSession::mount and run, kOther (the vault folder cannot be opened).
// REQUIRES: no other thread exists.
fs::Done serve(DaemonPlan plan, fs::Unlocked unlocked, const std::function<void()>& serving);

// Where the log of a background mount goes: `log` in local state; a long one of earlier mounts becomes `log.1` first.
std::string prepare_log(base::FdRef state, const std::string& state_path);

}  // namespace coffer::mount
