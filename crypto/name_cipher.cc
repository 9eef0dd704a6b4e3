#include "crypto/name_cipher.h"

#include "base/check.h"
#include "crypto/base32.h"
#include "crypto/blake2b.h"
#include "crypto/name_text.h"
#include "crypto/siv.h"

namespace coffer::crypto {

using base::as_bytes;
using base::as_text;

bool is_plain_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= kMaxPlainName && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

std::string NameCipher::encrypt(const DirId& directory, Kind kind, std::string_view name) const {
  COFFER_CHECK(is_plain_name(name));
  std::string text = base32_encode(siv_seal(keys_, {SivPurpose::kName, kind, directory}, as_bytes(name)));
  if (kind == Kind::kSymlink) text += kSymlinkSuffix;
  if (kind == Kind::kSpecial) text += kSpecialSuffix;
  return text;
}

std::optional<std::string> NameCipher::decrypt(const DirId& directory, std::string_view ciphertext_name) const {
  const KindSplit split = split_kind(ciphertext_name);
  const std::optional<Bytes> sealed = base32_decode(split.stem);
  if (!sealed) return std::nullopt;
  const std::optional<Bytes> plain = siv_open(keys_, {SivPurpose::kName, split.kind, directory}, *sealed);
  if (!plain || !is_plain_name(as_text(*plain))) return std::nullopt;
  return std::string(as_text(*plain));
}

DirId NameCipher::root_id() const {
  DirId id;
  blake2b(id.bytes, keys_.directory_ids.view(), {as_bytes("root")});
  return id;
}

DirId NameCipher::derived_id(const DirId& parent, std::string_view ciphertext_name) const {
  DirId id;
  blake2b(id.bytes, keys_.directory_ids.view(), {parent.view(), as_bytes(ciphertext_name)});
  return id;
}

}  // namespace coffer::crypto
