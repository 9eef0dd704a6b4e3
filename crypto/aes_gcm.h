// AES-256-GCM through OpenSSL, which is twice as fast as libsodium's. Internal to crypto/.
//
// Each thread keeps one context and the key it was last used with; sealing or opening again under that key costs no key
// setup and allocates nothing. The context goes with its thread. OpenSSL keeps the expanded key in ordinary memory
// (wiped when given back), as it offers no other place.
#pragma once

#include <span>

#include "crypto/types.h"

namespace coffer::crypto {

constexpr std::size_t kGcmNonceSize = 12;
using GcmKey = std::span<const Byte, 32>;
using GcmNonce = std::span<const Byte, kGcmNonceSize>;

// REQUIRES: cipher.size() == plain.size() <= kMaxChunkSize. Throws std::bad_alloc (at the first use in a thread).
void aes_gcm_seal(GcmKey key, GcmNonce nonce, ByteView ad, ByteView plain, ByteSpan cipher,
                  std::span<Byte, kTagSize> tag);

// False: does not authenticate; `plain` then holds garbage that the caller must wipe. Else as above.
[[nodiscard]] bool aes_gcm_open(GcmKey key, GcmNonce nonce, ByteView ad, ByteView cipher,
                                std::span<const Byte, kTagSize> tag, ByteSpan plain);

}  // namespace coffer::crypto
