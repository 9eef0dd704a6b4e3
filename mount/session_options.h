// How a vault is mounted: what the kernel is told, and how it is served.
#pragma once

#include <string>
#include <vector>

namespace coffer::mount {

struct SessionOptions {
  std::string source;  // what the mount table shows as the device: the vault's path. Any characters.
  bool read_only = false;
  // Other users may enter; the permissions of each file decide what they may do there. Daemons of root should set it,
  // as any local file system would; for others /etc/fuse.conf must say user_allow_other.
  bool allow_other = false;
  bool allow_root = false;  // only the mounting user and root; needs what allow_other needs
  // What else -o gave, one option a string ("nosuid", "context=..."). Unknown ones fail the mount.
  std::vector<std::string> fuse_options;
  unsigned workers = 0;  // threads that answer the kernel; 0: chosen for this machine
};

}  // namespace coffer::mount
