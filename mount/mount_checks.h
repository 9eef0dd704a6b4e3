// What can be known to be wrong with a mount before anything is asked or changed. Each failure has a sentence of its
// own.
#pragma once

#include <chrono>
#include <string>

#include "base/unique_fd.h"
#include "fs/user_error.h"
#include "fs/vault_folder.h"

namespace coffer::mount {

// The mount point as an absolute path without links. A dead mount of Coffer found there is taken away first, which is
// the one change made; a note says so. Errors: kMountPoint (missing, no directory, not empty, is the vault, inside it,
// around it, a dead mount of another program), kBusy (a mount of Coffer is there).
fs::Outcome<std::string> check_mount_point(const fs::VaultFolder& vault, const std::string& mount_point);

// Errors: kNoFuse.
fs::Done check_fuse();

// Whether others may be let into a mount of this user's. Errors: kOther.
fs::Done check_others_allowed();

// Errors: kReadOnly.
fs::Done check_writable(const fs::VaultFolder& vault);

// The lock of the vault. If it is held by a daemon whose mount is gone already, waits for that one to finish writing.
// Errors: kBusy, with the mount point where there is one.
fs::Outcome<base::UniqueFd> take_vault(const fs::VaultFolder& vault, std::chrono::milliseconds patience);

}  // namespace coffer::mount
