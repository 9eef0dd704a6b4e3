// The mounts of Coffer on this machine, and what their daemons say of themselves.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "mount/mount_table.h"

namespace coffer::mount {

struct RunningMount {
  MountEntry entry;
  std::string state_path;                // empty: its daemon cannot be asked
  std::optional<nlohmann::json> status;  // its answer
  bool stale = false;                    // its daemon is gone
};

// All that this process may see, in mount order. Asks each daemon; one that does not answer costs two seconds.
base::Result<std::vector<RunningMount>> running_mounts();

// The one that `path` means: its mount point, its vault, or something in it. nullptr: none.
const RunningMount* find_mount(const std::vector<RunningMount>& mounts, const std::string& path);

// `path` made absolute, links resolved as far as it exists. Unlike realpath it also works for a dead mount.
std::string absolute_path(const std::string& path);

// Its object in `coffer status --json`: the daemon's answer, or as much as can be seen from outside.
nlohmann::json describe_mount(const RunningMount& mount);

}  // namespace coffer::mount
