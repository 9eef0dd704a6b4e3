// coffer.json. What parses is accepted once the true mac stands in it, means the same then, and writes and reads back
// as the same; slots that cost too much are never tried.
#include "base/check.h"
#include "crypto/vault_config.h"
#include "crypto/vault_config_internal.h"
#include "tests/crypto/support.h"
#include "tests/fuzz/input.h"

namespace coffer::crypto {
namespace {

void put_mac_right(Bytes& bytes) {
  const auto digits = find_mac(base::as_text(bytes));
  if (!digits) return;
  const std::string mac = to_hex(compute_mac(bytes, *digits, test_keys()));
  std::copy(mac.begin(), mac.end(), bytes.begin() + static_cast<std::ptrdiff_t>(*digits));
}

void check_slot(const Slot& slot, const VaultId& vault) {
  if (slot.type == SlotType::kPassword) {
    COFFER_CHECK(in_bounds(slot.cost));
  } else {
    const Bytes keyfile = pattern(32, 12345);  // no seed's
    COFFER_CHECK(!open_slot(slot, vault, keyfile));
  }
  COFFER_CHECK(is_slot_label(slot.label));
}

}  // namespace
}  // namespace coffer::crypto

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coffer::crypto;
  Bytes bytes(data, data + size);
  const bool parsed = std::holds_alternative<UnverifiedConfig>(parse_config(bytes));
  put_mac_right(bytes);
  const auto opened = authenticate_config(bytes, test_keys());
  const auto* config = std::get_if<VaultConfig>(&opened);
  COFFER_CHECK(parsed == (config != nullptr));
  if (config == nullptr) return 0;
  for (const Slot& slot : config->slots) check_slot(slot, config->vault);
  const auto again = parse_config(serialise_config(*config, test_keys()));
  COFFER_CHECK(std::get_if<UnverifiedConfig>(&again) != nullptr);
  COFFER_CHECK(std::get_if<UnverifiedConfig>(&again)->config == *config);
  return 0;
}
