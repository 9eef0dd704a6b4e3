// RFC 4648 base32 in lower case without padding, strict when decoding. FORMAT.md, head.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "crypto/types.h"

namespace coffer::crypto {

constexpr std::size_t base32_length(std::size_t bytes) { return (bytes * 8 + 4) / 5; }
// True for a-z and 2-7 (lower case only).
bool is_base32_character(char c) noexcept;
std::string base32_encode(ByteView bytes);
// Lower case only (callers fold). nullopt: foreign character, impossible length or non-zero padding bits.
std::optional<Bytes> base32_decode(std::string_view text);

}  // namespace coffer::crypto
