// Changing the key slots of a vault: what passwd and key have in common.
#pragma once

#include <cstdint>
#include <string>

#include "crypto/vault_config.h"
#include "fs/user_error.h"

namespace coffer::mount {

// An id that no slot of this vault has or ever had: the number of the change that adds it.
std::uint32_t next_slot_id(const crypto::VaultConfig& config);

const crypto::Slot* find_slot(const crypto::VaultConfig& config, std::uint32_t id);
std::size_t count_slots(const crypto::VaultConfig& config, crypto::SlotType type);

constexpr const char* slot_type_name(crypto::SlotType type) {
  return type == crypto::SlotType::kPassword ? "password" : "keyfile";
}

// What holds after a password was changed or a slot removed, and what to do if that is not enough.
std::string about_old_copies(const std::string& vault_path);

}  // namespace coffer::mount
