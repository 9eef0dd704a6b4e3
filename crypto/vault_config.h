// coffer.json: parsing, authentication, key slots. FORMAT.md section 3. Bytes in, bytes out; files are fs/'s business.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "crypto/keys.h"
#include "crypto/secret.h"
#include "crypto/types.h"

namespace coffer::crypto {

// Cost of a password. Limits: FORMAT.md section 3.
struct PasswordCost {
  std::uint64_t passes = 3;
  std::uint64_t memory_kib = 256 * 1024;
  friend bool operator==(const PasswordCost&, const PasswordCost&) = default;
};
constexpr PasswordCost kMinPasswordCost{1, 8192};
constexpr PasswordCost kMaxPasswordCost{64, 4194304};
// The cost that takes about `milliseconds` here: 256 MiB (less where the machine has less than 2 GiB), at least
// 2 passes. Measures for a fraction of a second.
PasswordCost calibrate_password_cost(unsigned milliseconds = 1000);

enum class SlotType { kPassword, kKeyfile };

struct Slot {
  std::uint32_t id = 0;
  SlotType type = SlotType::kPassword;
  std::string label;
  std::string created;      // RFC 3339
  PasswordCost cost{0, 0};  // passwords only
  Bytes salt;               // 16 (password) or 32 (keyfile) bytes
  ByteArray<24> nonce{};
  ByteArray<48> wrapped{};
  friend bool operator==(const Slot&, const Slot&) = default;
};

// At most 64 bytes of UTF-8 without control characters.
bool is_slot_label(std::string_view label);
constexpr bool is_keyfile_size(std::size_t bytes) { return bytes >= 32 && bytes <= (1 << 20); }
// The time now as the `created` fields hold it: "2026-11-22T10:15:00Z".
std::string rfc3339_now();

struct VaultConfig {
  VaultId vault;
  Suite suite = Suite::kAes256Gcm;
  std::uint32_t chunk_size = kDefaultChunkSize;
  std::uint16_t name_max = kDefaultNameMax;
  std::uint32_t key_epoch = 0;
  std::uint64_t generation = 1;
  std::string created;
  std::vector<Slot> slots;
  friend bool operator==(const VaultConfig&, const VaultConfig&) = default;
};

enum class ConfigError {
  kNotConfig,       // not JSON, no such object, over the size limit, no mac where it must be
  kTruncated,       // begins like one and ends early
  kNewer,           // a format this program does not know
  kUnknownFeature,  // a feature, key or slot type it does not know
  kMalformed,       // duplicate key, wrong type, value out of bounds
  kForged           // the mac is wrong
};

constexpr std::size_t kMaxConfigSize = 1 << 20;

// What may be used before the vault key is known: id and slots. The rest is there but not to be trusted until
// authenticate() has said so.
struct UnverifiedConfig {
  VaultConfig config;
};
std::variant<UnverifiedConfig, ConfigError> parse_config(ByteView bytes);

// The config, if `bytes` (the very bytes given to parse_config) carry the mac of this key ring.
std::variant<VaultConfig, ConfigError> authenticate_config(ByteView bytes, const KeyRing& keys);

// The whole file, mac included. REQUIRES: parse_config would accept it.
Bytes serialise_config(const VaultConfig& config, const KeyRing& keys);

// A new slot around `key`. Takes the time that `cost` asks for. `id` is the caller's to choose.
// REQUIRES: is_slot_label(label), `cost` within the limits above, is_keyfile_size(keyfile.size()).
Slot make_password_slot(const VaultKey& key, const VaultId& vault, std::uint32_t id, ByteView password,
                        const PasswordCost& cost, std::string label);
Slot make_keyfile_slot(const VaultKey& key, const VaultId& vault, std::uint32_t id, ByteView keyfile,
                       std::string label);

// nullopt: not this slot's secret (or the slot was tampered with). Throws std::bad_alloc if the memory that the slot
// asks for cannot be had.
std::optional<VaultKey> open_slot(const Slot& slot, const VaultId& vault, ByteView secret);

}  // namespace coffer::crypto
