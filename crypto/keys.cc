#include "crypto/keys.h"

#include "crypto/blake2b.h"

namespace coffer::crypto {
namespace {

using base::as_bytes;

Key subkey(const VaultKey& vault_key, std::string_view context) {
  Key key;
  blake2b(key.span(), vault_key.view(), {as_bytes(context)});
  return key;
}

Key file_key(const Key& files, std::string_view label, Suite suite, const FileId& file) {
  const auto suite_byte = static_cast<Byte>(suite);
  Key key;
  blake2b(key.span(), files.view(), {as_bytes(label), {&suite_byte, 1}, file.view()});
  return key;
}

constexpr std::string_view kHexDigits = "0123456789abcdef";

// 0 to 15, or -1 for anything else. Without a table or a branch on the digit, since it may be a key's.
int hex_value(unsigned char c) noexcept {
  const int digit = c - '0';
  const int letter = (c | 0x20) - 'a';
  const int is_digit = (~(digit >> 8) & ((digit - 10) >> 8)) & 1;
  const int is_letter = (~(letter >> 8) & ((letter - 6) >> 8)) & 1;
  return is_digit * digit + is_letter * (letter + 10) - (1 - is_digit - is_letter);
}

char hex_digit(unsigned value) noexcept {
  // '0' + value, and 39 more from ten on ('a' - '9' - 1).
  return static_cast<char>('0' + value + (((9 - value) >> 8) & 39));
}

bool is_separator(Byte c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '-' || c == ':'; }

}  // namespace

KeyRing::KeyRing(const VaultKey& vault_key)
    : name_siv(subkey(vault_key, "coffer names siv")),
      name_stream(subkey(vault_key, "coffer names stream")),
      directory_ids(subkey(vault_key, "coffer directory ids")),
      files(subkey(vault_key, "coffer files")),
      xattr_names(subkey(vault_key, "coffer xattr names")),
      xattr_values(subkey(vault_key, "coffer xattr values")),
      config(subkey(vault_key, "coffer config")),
      ledger(subkey(vault_key, "coffer ledger")),
      local_state(subkey(vault_key, "coffer local state")) {}

FileKeys::FileKeys(const KeyRing& keys, Suite suite, const FileId& file)
    : chunk(file_key(keys.files, "chunk", suite, file)),
      content_sum(file_key(keys.files, "csum.", suite, file)),
      header(file_key(keys.files, "head.", suite, file)) {}

SecretBuffer format_vault_key(const VaultKey& key) {
  constexpr std::size_t kBytesInGroup = 2;
  SecretBuffer text(VaultKey::size() * 2 + VaultKey::size() / kBytesInGroup - 1);
  Byte* out = text.span().data();
  for (std::size_t i = 0; i < VaultKey::size(); ++i) {
    if (i != 0 && i % kBytesInGroup == 0) *out++ = ' ';
    *out++ = static_cast<Byte>(hex_digit(key.data()[i] >> 4u));
    *out++ = static_cast<Byte>(hex_digit(key.data()[i] & 15u));
  }
  return text;
}

std::optional<VaultKey> parse_vault_key(ByteView text) {
  VaultKey key;
  std::size_t digits = 0;
  for (Byte c : text) {
    if (is_separator(c)) continue;
    const int value = hex_value(c);
    if (value < 0 || digits == 2 * VaultKey::size()) return std::nullopt;
    Byte& byte = key.data()[digits / 2];
    byte = static_cast<Byte>(byte << 4 | value);
    ++digits;
  }
  if (digits != 2 * VaultKey::size()) return std::nullopt;
  return key;
}

std::string to_hex(ByteView bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (Byte byte : bytes) {
    text += kHexDigits[byte >> 4];
    text += kHexDigits[byte & 15];
  }
  return text;
}

bool from_hex(std::string_view text, ByteSpan out) {
  if (text.size() != 2 * out.size()) return false;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t high = kHexDigits.find(text[2 * i]);
    const std::size_t low = kHexDigits.find(text[2 * i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return false;
    out[i] = static_cast<Byte>(high << 4 | low);
  }
  return true;
}

}  // namespace coffer::crypto
