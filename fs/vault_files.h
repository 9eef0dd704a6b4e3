// Names of the vault's own files and of those in local state, and the memory of coffer.json. Internal to
// vault_folder*.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "crypto/keys.h"

namespace coffer::fs {

inline constexpr const char* kConfigFile = "coffer.json";  // also the name of the copy in local state
inline constexpr const char* kConfigCopyFile = "coffer-copy.json";
inline constexpr const char* kLockFile = "lock";               // in local state, where the vault knows no flock
inline constexpr const char* kConfigLockFile = "config.lock";  // in local state: one change of coffer.json at a time

// Local state holds the newest coffer.json that this machine has seen, byte for byte: the memory that a rolled back one
// is held against, and a third copy should both in the vault be lost. A copy that these keys do not authenticate
// (another key epoch, damage) counts as none.
std::optional<std::uint64_t> remembered_generation(const std::string& state_path, const crypto::KeyRing& keys);

// Best effort: without local state nothing is remembered, and mounting says so.
void remember_config(const std::string& state_path, base::ByteView bytes);

}  // namespace coffer::fs
