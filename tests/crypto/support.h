// What the tests of crypto/ share: fixed keys, patterned bytes, ids.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <numeric>
#include <string>

#include "crypto/keys.h"
#include "crypto/random.h"
#include "crypto/types.h"

namespace coffer::crypto {

inline constexpr std::initializer_list<Suite> kSuites = {Suite::kAes256Gcm, Suite::kXChaCha20Poly1305};
inline constexpr std::initializer_list<std::uint32_t> kChunkSizes = {4096, 16384, 1 << 20};

// 00 01 02 ... 1f, each plus `first`.
inline VaultKey test_vault_key(Byte first = 0) {
  VaultKey key;
  std::iota(key.data(), key.data() + VaultKey::size(), first);
  return key;
}

inline const KeyRing& test_keys() {
  static const KeyRing& keys = *new KeyRing(test_vault_key());
  return keys;
}
inline const KeyRing& other_keys() {
  static const KeyRing& keys = *new KeyRing(test_vault_key(1));
  return keys;
}

// An id of sixteen times the same byte.
template <class IdType>
IdType test_id(Byte fill) {
  IdType id;
  id.bytes.fill(fill);
  return id;
}

// Bytes without a period of 256, so that shifted or swapped parts show.
inline Bytes pattern(std::size_t size, std::uint32_t seed = 1) {
  Bytes bytes(size);
  std::uint32_t state = seed;
  for (Byte& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<Byte>(state >> 24);
  }
  return bytes;
}

inline ByteView view_of(const std::string& text) { return base::as_bytes(text); }

}  // namespace coffer::crypto
