// BLAKE2b, the only hash and PRF of the format ("B2b" in FORMAT.md). Internal to crypto/.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "crypto/types.h"

namespace coffer::crypto {

// BLAKE2b over the parts one after the other; the digest has out.size() bytes. An empty key means no key.
// REQUIRES: 16 <= out.size() <= 64, key.size() 0 or 16 to 64.
void blake2b(ByteSpan out, ByteView key, std::initializer_list<ByteView> parts) noexcept;

inline ByteArray<8> le64(std::uint64_t value) noexcept {
  ByteArray<8> bytes;
  base::store_le(bytes.data(), value);
  return bytes;
}

}  // namespace coffer::crypto
