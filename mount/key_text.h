// The vault key on paper: 16 groups of four digits in four rows.
#pragma once

#include "crypto/secret.h"
#include "fs/user_error.h"
#include "fs/vault_folder.h"

namespace coffer::mount {

// Four lines of four groups to standard output. The text is wiped afterwards.
fs::Done print_vault_key(const crypto::VaultKey& key);

}  // namespace coffer::mount
