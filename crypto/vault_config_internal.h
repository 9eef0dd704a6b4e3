// What reading and writing coffer.json share. Internal to crypto/.
#pragma once

#include <optional>

#include "crypto/vault_config.h"

namespace coffer::crypto {

constexpr unsigned kConfigFormat = 0;
constexpr std::size_t kMaxSlots = 64;
constexpr std::size_t kPasswordSaltSize = 16;
constexpr std::size_t kKeyfileSaltSize = 32;

constexpr std::string_view suite_name(Suite suite) {
  return suite == Suite::kAes256Gcm ? "aes-256-gcm" : "xchacha20-poly1305";
}
constexpr std::string_view slot_type_name(SlotType type) {
  return type == SlotType::kPassword ? "password" : "keyfile";
}
constexpr std::size_t salt_size(SlotType type) {
  return type == SlotType::kPassword ? kPasswordSaltSize : kKeyfileSaltSize;
}

// The end of the file: "mac": "<64 digits>"\n}\n
constexpr std::string_view kMacOpening = "\"mac\": \"";
constexpr std::string_view kMacClosing = "\"\n}\n";
constexpr std::size_t kMacDigits = 64;

using ConfigMac = ByteArray<kMacDigits / 2>;

// Where the digits begin; nullopt where `text` does not end as it must.
std::optional<std::size_t> find_mac(std::string_view text);
// Of the file with the digits, which begin at `digits`, replaced by '0'.
ConfigMac compute_mac(ByteView bytes, std::size_t digits, const KeyRing& keys);

bool is_rfc3339_utc(std::string_view text);
bool in_bounds(const PasswordCost& cost);

// A slot with type, cost, salt and nonce given: wraps `key`.
void seal_slot(Slot& slot, const VaultKey& key, const VaultId& vault, ByteView secret);

}  // namespace coffer::crypto
