#include "crypto/xattr_cipher.h"

#include <sodium.h>

#include <algorithm>

#include "base/check.h"
#include "crypto/base32.h"
#include "crypto/blake2b.h"
#include "crypto/random.h"
#include "crypto/xattr_cipher_internal.h"

namespace coffer::crypto {
namespace {

using base::as_bytes;
using base::as_text;

constexpr std::size_t kOwnerSize = 16;
constexpr std::size_t kHashSize = 16;
using NameHash = ByteArray<kHashSize>;

NameHash hash_name(const KeyRing& keys, std::string_view name) {
  NameHash hash;
  blake2b(hash, keys.xattr_names.view(), {as_bytes(name)});
  return hash;
}

std::optional<NameHash> parse_stored_name(std::string_view stored_name) {
  if (!stored_name.starts_with(kXattrPrefix)) return std::nullopt;
  const std::optional<Bytes> bytes = base32_decode(stored_name.substr(kXattrPrefix.size()));
  if (!bytes || bytes->size() != kHashSize) return std::nullopt;
  NameHash hash;
  std::copy(bytes->begin(), bytes->end(), hash.begin());
  return hash;
}

using AssociatedData = ByteArray<kOwnerSize + kHashSize>;

AssociatedData associated_data(ByteView owner, const NameHash& hash) {
  COFFER_CHECK(owner.size() == kOwnerSize);
  AssociatedData ad;
  std::copy(hash.begin(), hash.end(), std::copy(owner.begin(), owner.end(), ad.begin()));
  return ad;
}

void check_name(std::string_view name) { COFFER_CHECK(!name.empty() && name.size() <= kXattrMaxName); }

// Length of name, name, value.
std::optional<Xattr> unpack(ByteView plain) {
  if (plain.empty()) return std::nullopt;
  const std::size_t name_size = plain[0];
  if (name_size == 0 || plain.size() < 1 + name_size) return std::nullopt;
  const ByteView value = plain.subspan(1 + name_size);
  return Xattr{std::string(as_text(plain.subspan(1, name_size))), Bytes(value.begin(), value.end())};
}

}  // namespace

std::string XattrCipher::stored_name(std::string_view name) const {
  check_name(name);
  return std::string(kXattrPrefix) + base32_encode(hash_name(keys_, name));
}

Bytes XattrCipher::seal(ByteView owner, std::string_view name, ByteView value) const {
  XattrNonce nonce;
  random_bytes(nonce);
  return seal_xattr(keys_, owner, {std::string(name), Bytes(value.begin(), value.end())}, nonce);
}

Bytes seal_xattr(const KeyRing& keys, ByteView owner, const Xattr& xattr, const XattrNonce& nonce) {
  check_name(xattr.name);
  const AssociatedData ad = associated_data(owner, hash_name(keys, xattr.name));
  Bytes plain = {static_cast<Byte>(xattr.name.size())};
  plain.insert(plain.end(), xattr.name.begin(), xattr.name.end());
  plain.insert(plain.end(), xattr.value.begin(), xattr.value.end());
  Bytes sealed(nonce.size() + plain.size() + kTagSize);
  Byte* cipher = std::copy(nonce.begin(), nonce.end(), sealed.data());
  crypto_aead_xchacha20poly1305_ietf_encrypt(cipher, nullptr, plain.data(), plain.size(), ad.data(), ad.size(), nullptr,
                                             nonce.data(), keys.xattr_values.data());
  return sealed;
}

std::optional<Xattr> XattrCipher::open(ByteView owner, std::string_view stored_name, ByteView sealed) const {
  const std::optional<NameHash> hash = parse_stored_name(stored_name);
  constexpr std::size_t kNonceSize = std::tuple_size_v<XattrNonce>;
  if (!hash || sealed.size() < kNonceSize + kTagSize) return std::nullopt;
  const AssociatedData ad = associated_data(owner, *hash);
  const ByteView cipher = sealed.subspan(kNonceSize);
  Bytes plain(cipher.size() - kTagSize);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain.data(), nullptr, nullptr, cipher.data(), cipher.size(),
                                                 ad.data(), ad.size(), sealed.data(), keys_.xattr_values.data()) != 0) {
    return std::nullopt;
  }
  std::optional<Xattr> xattr = unpack(plain);
  if (!xattr || hash_name(keys_, xattr->name) != *hash) return std::nullopt;
  return xattr;
}

}  // namespace coffer::crypto
