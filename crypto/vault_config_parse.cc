#include <sodium.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <set>
#include <span>

#include "crypto/strict_json.h"
#include "crypto/vault_config.h"
#include "crypto/vault_config_internal.h"

namespace coffer::crypto {
namespace {

using base::as_text;

constexpr auto kConfigKeys =
    std::to_array<std::string_view>({"format", "vault_id", "suite", "chunk_size", "name_max", "key_epoch", "generation",
                                     "created", "features", "slots", "mac"});
constexpr auto kSlotKeys = std::to_array<std::string_view>(
    {"id", "type", "label", "created", "salt", "nonce", "wrapped", "passes", "memory_kib"});

bool has_only(const Json& object, std::span<const std::string_view> keys) {
  for (const auto& member : object.items()) {
    if (std::find(keys.begin(), keys.end(), member.key()) == keys.end()) return false;
  }
  return true;
}

const Json* find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

// nullptr: not there, or no text.
const std::string* find_text(const Json& object, const char* key) {
  const Json* value = find(object, key);
  return value == nullptr ? nullptr : value->get_ptr<const std::string*>();
}

template <std::unsigned_integral T>
[[nodiscard]] bool read_number(const Json& object, const char* key, std::uint64_t least, std::uint64_t most, T& out) {
  const Json* value = find(object, key);
  if (value == nullptr || !value->is_number_unsigned()) return false;
  const auto number = value->get<std::uint64_t>();
  if (number < least || number > most || number > std::numeric_limits<T>::max()) return false;
  out = static_cast<T>(number);
  return true;
}

[[nodiscard]] bool read_hex(const Json& object, const char* key, ByteSpan out) {
  const std::string* text = find_text(object, key);
  return text != nullptr && from_hex(*text, out);
}

[[nodiscard]] bool read_created(const Json& object, std::string& out) {
  const std::string* text = find_text(object, "created");
  if (text == nullptr || !is_rfc3339_utc(*text)) return false;
  out = *text;
  return true;
}

[[nodiscard]] bool read_suite(const Json& object, Suite& out) {
  const std::string* text = find_text(object, "suite");
  if (text == nullptr) return false;
  for (Suite suite : {Suite::kAes256Gcm, Suite::kXChaCha20Poly1305}) {
    if (*text != suite_name(suite)) continue;
    out = suite;
    return true;
  }
  return false;
}

[[nodiscard]] bool read_label(const Json& object, std::string& out) {
  const std::string* text = find_text(object, "label");
  if (text == nullptr || !is_slot_label(*text)) return false;
  out = *text;
  return true;
}

[[nodiscard]] bool read_cost(const Json& object, SlotType type, PasswordCost& out) {
  if (type == SlotType::kKeyfile) return !object.contains("passes") && !object.contains("memory_kib");
  return read_number(object, "passes", kMinPasswordCost.passes, kMaxPasswordCost.passes, out.passes) &&
         read_number(object, "memory_kib", kMinPasswordCost.memory_kib, kMaxPasswordCost.memory_kib, out.memory_kib);
}

// nullopt: read.
std::optional<ConfigError> read_slot(const Json& object, Slot& slot) {
  if (!object.is_object()) return ConfigError::kMalformed;
  const std::string* type = find_text(object, "type");
  if (type == nullptr) return ConfigError::kMalformed;
  if (*type == slot_type_name(SlotType::kPassword)) {
    slot.type = SlotType::kPassword;
  } else if (*type == slot_type_name(SlotType::kKeyfile)) {
    slot.type = SlotType::kKeyfile;
  } else {
    return ConfigError::kUnknownFeature;
  }
  if (!has_only(object, kSlotKeys)) return ConfigError::kUnknownFeature;
  slot.salt.resize(salt_size(slot.type));
  const bool read = read_number(object, "id", 0, std::numeric_limits<std::uint32_t>::max(), slot.id) &&
                    read_label(object, slot.label) && read_created(object, slot.created) &&
                    read_cost(object, slot.type, slot.cost) && read_hex(object, "salt", slot.salt) &&
                    read_hex(object, "nonce", slot.nonce) && read_hex(object, "wrapped", slot.wrapped);
  if (!read) return ConfigError::kMalformed;
  return std::nullopt;
}

std::optional<ConfigError> read_slots(const Json& object, std::vector<Slot>& slots) {
  const Json* array = find(object, "slots");
  if (array == nullptr || !array->is_array() || array->size() > kMaxSlots) return ConfigError::kMalformed;
  std::set<std::uint32_t> ids;
  for (const Json& element : *array) {
    Slot slot;
    if (const auto error = read_slot(element, slot)) return error;
    if (!ids.insert(slot.id).second) return ConfigError::kMalformed;
    slots.push_back(std::move(slot));
  }
  return std::nullopt;
}

std::optional<ConfigError> read_features(const Json& object) {
  const Json* array = find(object, "features");
  if (array == nullptr || !array->is_array()) return ConfigError::kMalformed;
  const bool all_text = std::all_of(array->begin(), array->end(), [](const Json& name) { return name.is_string(); });
  if (!all_text) return ConfigError::kMalformed;
  if (!array->empty()) return ConfigError::kUnknownFeature;
  return std::nullopt;
}

bool read_settings(const Json& object, VaultConfig& config) {
  return read_hex(object, "vault_id", config.vault.bytes) && read_suite(object, config.suite) &&
         read_number(object, "chunk_size", kMinChunkSize, kMaxChunkSize, config.chunk_size) &&
         std::has_single_bit(config.chunk_size) &&
         read_number(object, "name_max", kMinNameMax, kMaxNameMax, config.name_max) &&
         read_number(object, "key_epoch", 0, std::numeric_limits<std::uint32_t>::max(), config.key_epoch) &&
         read_number(object, "generation", 0, std::numeric_limits<std::uint64_t>::max(), config.generation) &&
         read_created(object, config.created);
}

std::variant<UnverifiedConfig, ConfigError> read_config(const Json& object) {
  if (!has_only(object, kConfigKeys)) return ConfigError::kUnknownFeature;
  if (const auto error = read_features(object)) return *error;
  UnverifiedConfig result;
  if (!read_settings(object, result.config)) return ConfigError::kMalformed;
  if (const auto error = read_slots(object, result.config.slots)) return *error;
  return result;
}

ConfigError config_error(JsonError error) {
  switch (error) {
    case JsonError::kEndsEarly:
      return ConfigError::kTruncated;
    case JsonError::kDuplicateKey:
    case JsonError::kTooDeep:
      return ConfigError::kMalformed;
    case JsonError::kSyntax:
      break;
  }
  return ConfigError::kNotConfig;
}

// Of a JSON object that is whole: is it of a format we know, and does it end as format 0 must?
std::optional<ConfigError> check_format(const Json& object, std::string_view text) {
  const Json* format = find(object, "format");
  if (format == nullptr) return ConfigError::kNotConfig;
  if (!format->is_number_unsigned()) return ConfigError::kMalformed;
  if (format->get<std::uint64_t>() != kConfigFormat) return ConfigError::kNewer;
  if (find_mac(text)) return std::nullopt;
  const bool lacks_last_byte = find_mac(std::string(text) + '\n').has_value();
  return lacks_last_byte ? ConfigError::kTruncated : ConfigError::kNotConfig;
}

}  // namespace

std::variant<UnverifiedConfig, ConfigError> parse_config(ByteView bytes) {
  if (bytes.size() > kMaxConfigSize) return ConfigError::kNotConfig;
  const std::string_view text = as_text(bytes);
  const std::variant<Json, JsonError> parsed = parse_strict_json(text);
  if (const JsonError* error = std::get_if<JsonError>(&parsed)) return config_error(*error);
  const Json& object = *std::get_if<Json>(&parsed);
  if (!object.is_object()) return ConfigError::kNotConfig;
  if (const auto error = check_format(object, text)) return *error;
  return read_config(object);
}

std::variant<VaultConfig, ConfigError> authenticate_config(ByteView bytes, const KeyRing& keys) {
  std::variant<UnverifiedConfig, ConfigError> parsed = parse_config(bytes);
  if (const ConfigError* error = std::get_if<ConfigError>(&parsed)) return *error;
  const std::string_view text = as_text(bytes);
  const std::optional<std::size_t> digits = find_mac(text);
  ConfigMac stored;
  if (!digits || !from_hex(text.substr(*digits, kMacDigits), stored)) return ConfigError::kForged;
  const ConfigMac computed = compute_mac(bytes, *digits, keys);
  if (sodium_memcmp(stored.data(), computed.data(), stored.size()) != 0) return ConfigError::kForged;
  return std::move(std::get_if<UnverifiedConfig>(&parsed)->config);
}

}  // namespace coffer::crypto
