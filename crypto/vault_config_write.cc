#include <nlohmann/json.hpp>

#include "base/check.h"
#include "crypto/vault_config.h"
#include "crypto/vault_config_internal.h"

namespace coffer::crypto {
namespace {

using OrderedJson = nlohmann::ordered_json;  // keeps the order of FORMAT.md's table, and the mac last

OrderedJson to_json(const Slot& slot) {
  OrderedJson json;
  json["id"] = slot.id;
  json["type"] = slot_type_name(slot.type);
  json["label"] = slot.label;
  json["created"] = slot.created;
  if (slot.type == SlotType::kPassword) {
    json["passes"] = slot.cost.passes;
    json["memory_kib"] = slot.cost.memory_kib;
  }
  json["salt"] = to_hex(slot.salt);
  json["nonce"] = to_hex(slot.nonce);
  json["wrapped"] = to_hex(slot.wrapped);
  return json;
}

OrderedJson to_json(const VaultConfig& config) {
  OrderedJson json;
  json["format"] = kConfigFormat;
  json["vault_id"] = to_hex(config.vault.bytes);
  json["suite"] = suite_name(config.suite);
  json["chunk_size"] = config.chunk_size;
  json["name_max"] = config.name_max;
  json["key_epoch"] = config.key_epoch;
  json["generation"] = config.generation;
  json["created"] = config.created;
  json["features"] = OrderedJson::array();
  json["slots"] = OrderedJson::array();
  for (const Slot& slot : config.slots) json["slots"].push_back(to_json(slot));
  json["mac"] = std::string(kMacDigits, '0');
  return json;
}

}  // namespace

Bytes serialise_config(const VaultConfig& config, const KeyRing& keys) {
  // Text that is not UTF-8 would be replaced rather than throw, and is then caught by reading back.
  std::string text = to_json(config).dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
  const std::optional<std::size_t> digits = find_mac(text);
  COFFER_CHECK(digits.has_value());
  text.replace(*digits, kMacDigits, to_hex(compute_mac(base::as_bytes(text), *digits, keys)));
  Bytes bytes(text.begin(), text.end());
  const std::variant<VaultConfig, ConfigError> read = authenticate_config(bytes, keys);
  const VaultConfig* read_back = std::get_if<VaultConfig>(&read);
  COFFER_CHECK(read_back != nullptr && *read_back == config);
  return bytes;
}

}  // namespace coffer::crypto
