#include "crypto/blake2b.h"

#include <sodium.h>

#include "base/check.h"

namespace coffer::crypto {

void blake2b(ByteSpan out, ByteView key, std::initializer_list<ByteView> parts) noexcept {
  // Its last step wipes the state, which holds the key.
  crypto_generichash_state state;
  COFFER_CHECK(out.size() >= crypto_generichash_BYTES_MIN && out.size() <= crypto_generichash_BYTES_MAX);
  COFFER_CHECK(crypto_generichash_init(&state, key.data(), key.size(), out.size()) == 0);
  for (ByteView part : parts) crypto_generichash_update(&state, part.data(), part.size());
  crypto_generichash_final(&state, out.data(), out.size());
}

}  // namespace coffer::crypto
