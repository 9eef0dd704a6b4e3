#include "crypto/random.h"

#include <sodium.h>

#include "base/check.h"

namespace coffer::crypto {

void init() { COFFER_CHECK(sodium_init() >= 0); }

void random_bytes(ByteSpan out) noexcept {
  if (!out.empty()) randombytes_buf(out.data(), out.size());  // libsodium wants no null pointer
}

VaultKey random_vault_key() {
  VaultKey key;
  random_bytes(key.span());
  return key;
}

}  // namespace coffer::crypto
