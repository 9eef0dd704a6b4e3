// What is mounted where (/proc/self/mountinfo), and taking a mount down again.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace coffer::mount {

struct MountEntry {
  std::uint64_t id = 0;
  dev_t device = 0;
  std::string mount_point;  // as any program would open it: escapes undone
  std::string type;         // "fuse.coffer"
  std::string source;       // the vault's path for ours
  std::string options;      // of the mount, comma separated
};

// Lines that are not of the documented form are skipped. proc(5), "/proc/pid/mountinfo".
std::vector<MountEntry> parse_mountinfo(std::string_view text);
base::Result<std::vector<MountEntry>> read_mount_table();

bool is_coffer(const MountEntry& entry);
// All mounts of Coffer that this process can see, in mount order.
base::Result<std::vector<MountEntry>> coffer_mounts();
// The topmost mount on exactly this path (made absolute, links resolved where possible; a dead mount is found too).
base::Result<std::optional<MountEntry>> mount_at(const std::string& path);

// The topmost mount on exactly this path is the one with this device number (st_dev).
bool is_mount_at(const std::string& path, dev_t device);

// The daemon behind the mount is gone: every access says ENOTCONN. Of one that does not answer within a second nothing
// is known: false.
bool is_stale(const std::string& mount_point);

// umount2(2) as root, fusermount3 otherwise. lazy: detach now, end when the last user leaves.
// Errors: EBUSY, EPERM, EINVAL (not a mount point), ENOENT (fusermount3 is not installed).
base::Status unmount(const std::string& mount_point, bool lazy);

// Ends the connection behind a mount for good: whoever waits for an answer from its daemon gets ECONNABORTED or
// ENOTCONN. Asks that daemon nothing. Errors: EPERM and the like, where neither the connection's owner nor root may.
base::Status abort_connection(const std::string& mount_point, dev_t device);

}  // namespace coffer::mount
