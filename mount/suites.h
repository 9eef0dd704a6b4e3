// Cipher suites by name, and which one a new vault gets on this machine.
#pragma once

#include <optional>
#include <string_view>

#include "crypto/types.h"

namespace coffer::mount {

constexpr std::string_view suite_name(crypto::Suite suite) {
  return suite == crypto::Suite::kAes256Gcm ? "aes-256-gcm" : "xchacha20-poly1305";
}
std::optional<crypto::Suite> suite_by_name(std::string_view name);

// The processor computes AES and its authentication in hardware; without, XChaCha20-Poly1305 is faster, and safer
// against somebody who measures time.
bool has_fast_aes() noexcept;
inline crypto::Suite suite_for_this_machine() noexcept {
  return has_fast_aes() ? crypto::Suite::kAes256Gcm : crypto::Suite::kXChaCha20Poly1305;
}

}  // namespace coffer::mount
