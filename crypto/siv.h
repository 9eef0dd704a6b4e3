// The deterministic encryption of names and pins. FORMAT.md 5.1. Internal to crypto/.
#pragma once

#include <optional>

#include "crypto/keys.h"
#include "crypto/types.h"

namespace coffer::crypto {

constexpr std::size_t kSivSize = 16;

// What a text is encrypted as and for; it opens only as the same. The purposes' values are part of the format.
enum class SivPurpose : std::uint8_t { kName = 1, kPin = 2 };
struct SivContext {
  SivPurpose purpose;
  Kind kind;
  DirId directory;
};

// Synthetic IV, then the ciphertext.
Bytes siv_seal(const KeyRing& keys, const SivContext& context, ByteView plain);
// nullopt: not sealed under these keys in this context.
std::optional<Bytes> siv_open(const KeyRing& keys, const SivContext& context, ByteView sealed);

}  // namespace coffer::crypto
