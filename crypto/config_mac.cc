// The mac of coffer.json, and where it stands in it. FORMAT.md section 3.
#include "base/check.h"
#include "crypto/blake2b.h"
#include "crypto/vault_config_internal.h"

namespace coffer::crypto {

std::optional<std::size_t> find_mac(std::string_view text) {
  constexpr std::size_t kLength = kMacOpening.size() + kMacDigits + kMacClosing.size();
  if (text.size() < kLength) return std::nullopt;
  const std::string_view tail = text.substr(text.size() - kLength);
  if (!tail.starts_with(kMacOpening) || !tail.ends_with(kMacClosing)) return std::nullopt;
  const std::string_view digits = tail.substr(kMacOpening.size(), kMacDigits);
  if (digits.find_first_not_of("0123456789abcdef") != std::string_view::npos) return std::nullopt;
  return text.size() - kMacClosing.size() - kMacDigits;
}

ConfigMac compute_mac(ByteView bytes, std::size_t digits, const KeyRing& keys) {
  COFFER_CHECK(digits + kMacDigits <= bytes.size());
  static constexpr auto kZeros = [] {
    ByteArray<kMacDigits> zeros;
    zeros.fill('0');
    return zeros;
  }();
  ConfigMac mac;
  blake2b(mac, keys.config.view(), {bytes.first(digits), kZeros, bytes.subspan(digits + kMacDigits)});
  return mac;
}

}  // namespace coffer::crypto
