// The key tree: every key of a vault, from the vault key. FORMAT.md section 2 (frozen contexts, golden vectors in
// tests).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "crypto/secret.h"
#include "crypto/types.h"

namespace coffer::crypto {

using Key = SecretBytes<32>;

// Constant after construction; safe for concurrent use.
struct KeyRing {
  explicit KeyRing(const VaultKey& vault_key);

  Key name_siv;
  Key name_stream;
  Key directory_ids;
  Key files;
  Key xattr_names;
  Key xattr_values;
  Key config;
  Key ledger;
  Key local_state;
};

// The three keys of one file.
struct FileKeys {
  FileKeys(const KeyRing& keys, Suite suite, const FileId& file);

  Key chunk;
  Key content_sum;
  Key header;
};

// The vault key as people see it: 16 groups of 4 lower-case hexadecimal digits with single spaces (79 characters).
// The text is as secret as the key.
SecretBuffer format_vault_key(const VaultKey& key);
// Accepts any case; skips spaces, tabs, newlines, '-' and ':'. nullopt: not exactly 64 hexadecimal digits.
std::optional<VaultKey> parse_vault_key(ByteView text);

std::string to_hex(ByteView bytes);
// nullopt unless `text` is exactly 2 * out.size() hexadecimal digits, lower case.
[[nodiscard]] bool from_hex(std::string_view text, ByteSpan out);

}  // namespace coffer::crypto
