// Randomness from libsodium, and its one-time start.
#pragma once

#include "crypto/secret.h"
#include "crypto/types.h"

namespace coffer::crypto {

// Call once before anything else of crypto/; aborts where the system gives no randomness. Idempotent, thread-safe.
void init();

void random_bytes(ByteSpan out) noexcept;

template <class IdType>
IdType random_id() noexcept {
  IdType id;
  random_bytes(id.bytes);
  return id;
}

VaultKey random_vault_key();

}  // namespace coffer::crypto
