// Where this machine remembers what it knows of a vault folder: $XDG_STATE_HOME/coffer/<vault id>-<folder identity>.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "crypto/types.h"

namespace coffer::fs {

// $XDG_STATE_HOME/coffer, else ~/.local/state/coffer; the home is $HOME's or, failing that, the user database's.
// Empty: there is no home.
std::string state_root();

// 16 hexadecimal digits that tell this folder from any other copy of the same vault, across reboots and, where the file
// system allows it, across renames.
std::string folder_identity(base::FdRef folder, const std::string& absolute_path);

std::string state_folder_name(const crypto::VaultId& vault, const std::string& identity);

// The folder, made with its parents if missing, mode 0700. Errors: those of the calls below; EPERM if it is another
// user's; ENOENT if there is no home.
base::Result<base::UniqueFd> open_state_folder(const std::string& path);

// Paths of the state folders that carry this identity, whatever the vault id: how to find the copy of a lost
// coffer.json.
std::vector<std::string> state_folders_of(const std::string& identity);

}  // namespace coffer::fs
