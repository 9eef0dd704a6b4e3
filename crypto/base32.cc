#include "crypto/base32.h"

namespace coffer::crypto {
namespace {

constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";

// 0 to 31, or -1.
int value_of(char c) noexcept {
  if (c >= 'a' && c <= 'z') return c - 'a';
  if (c >= '2' && c <= '7') return c - '2' + 26;
  return -1;
}

}  // namespace

bool is_base32_character(char c) noexcept { return value_of(c) >= 0; }

std::string base32_encode(ByteView bytes) {
  std::string text;
  text.reserve(base32_length(bytes.size()));
  std::uint32_t pending = 0;
  unsigned pending_bits = 0;
  for (Byte byte : bytes) {
    pending = pending << 8 | byte;
    for (pending_bits += 8; pending_bits >= 5; pending_bits -= 5) {
      text += kAlphabet[pending >> (pending_bits - 5) & 31];
    }
  }
  if (pending_bits != 0) text += kAlphabet[pending << (5 - pending_bits) & 31];
  return text;
}

std::optional<Bytes> base32_decode(std::string_view text) {
  const std::size_t size = text.size() * 5 / 8;
  if (base32_length(size) != text.size()) return std::nullopt;
  Bytes bytes;
  bytes.reserve(size);
  std::uint32_t pending = 0;
  unsigned pending_bits = 0;
  for (char c : text) {
    const int value = value_of(c);
    if (value < 0) return std::nullopt;
    pending = pending << 5 | static_cast<std::uint32_t>(value);
    pending_bits += 5;
    if (pending_bits >= 8) {
      pending_bits -= 8;
      bytes.push_back(static_cast<Byte>(pending >> pending_bits));
    }
  }
  const std::uint32_t padding = pending & ((1u << pending_bits) - 1);
  if (padding != 0) return std::nullopt;
  return bytes;
}

}  // namespace coffer::crypto
