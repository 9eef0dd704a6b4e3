#include <sodium.h>

#include <algorithm>
#include <new>

#include "base/check.h"
#include "crypto/blake2b.h"
#include "crypto/random.h"
#include "crypto/vault_config.h"
#include "crypto/vault_config_internal.h"

namespace coffer::crypto {
namespace {

using base::as_bytes;

static_assert(kPasswordSaltSize == crypto_pwhash_argon2id_SALTBYTES);

Key password_key(ByteView password, ByteView salt, const PasswordCost& cost) {
  Key key;
  // libsodium wants a pointer also to an empty password.
  const char* text = password.empty() ? "" : reinterpret_cast<const char*>(password.data());
  // One lane, version 1.3. Within bounds it can only fail for want of memory.
  const int failed = crypto_pwhash(key.data(), Key::size(), text, password.size(), salt.data(), cost.passes,
                                   cost.memory_kib * 1024, crypto_pwhash_ALG_ARGON2ID13);
  if (failed != 0) throw std::bad_alloc();
  return key;
}

Key keyfile_key(ByteView keyfile, ByteView salt) {
  Key key;
  blake2b(key.span(), salt, {as_bytes("coffer keyfile"), keyfile});
  return key;
}

Key wrapping_key(const Slot& slot, ByteView secret) {
  return slot.type == SlotType::kPassword ? password_key(secret, slot.salt, slot.cost) : keyfile_key(secret, slot.salt);
}

// What anybody may have written into the Slot: is it one we compute at all?
bool is_usable(const Slot& slot, ByteView secret) {
  if (slot.salt.size() != salt_size(slot.type)) return false;
  return slot.type == SlotType::kPassword ? in_bounds(slot.cost) : is_keyfile_size(secret.size());
}

void append(Bytes& to, ByteView bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

Bytes associated_data(const Slot& slot, const VaultId& vault) {
  const PasswordCost cost = slot.type == SlotType::kPassword ? slot.cost : PasswordCost{0, 0};
  const Byte terminator = 0;
  Bytes ad;
  append(ad, as_bytes("coffer slot"));
  append(ad, vault.view());
  append(ad, as_bytes(slot_type_name(slot.type)));
  append(ad, {&terminator, 1});
  append(ad, le64(cost.passes));
  append(ad, le64(cost.memory_kib));
  append(ad, slot.salt);
  return ad;
}

Slot make_slot(const VaultKey& key, const VaultId& vault, Slot slot, ByteView secret) {
  slot.created = rfc3339_now();
  slot.salt.resize(salt_size(slot.type));
  random_bytes(slot.salt);
  random_bytes(slot.nonce);
  seal_slot(slot, key, vault, secret);
  return slot;
}

}  // namespace

bool in_bounds(const PasswordCost& cost) {
  return cost.passes >= kMinPasswordCost.passes && cost.passes <= kMaxPasswordCost.passes &&
         cost.memory_kib >= kMinPasswordCost.memory_kib && cost.memory_kib <= kMaxPasswordCost.memory_kib;
}

void seal_slot(Slot& slot, const VaultKey& key, const VaultId& vault, ByteView secret) {
  COFFER_CHECK(is_usable(slot, secret));
  const Key kek = wrapping_key(slot, secret);
  const Bytes ad = associated_data(slot, vault);
  static_assert(std::tuple_size_v<decltype(Slot::wrapped)> == VaultKey::size() + kTagSize);
  crypto_aead_xchacha20poly1305_ietf_encrypt(slot.wrapped.data(), nullptr, key.data(), VaultKey::size(), ad.data(),
                                             ad.size(), nullptr, slot.nonce.data(), kek.data());
}

Slot make_password_slot(const VaultKey& key, const VaultId& vault, std::uint32_t id, ByteView password,
                        const PasswordCost& cost, std::string label) {
  Slot slot;
  slot.id = id;
  slot.type = SlotType::kPassword;
  slot.label = std::move(label);
  slot.cost = cost;
  return make_slot(key, vault, std::move(slot), password);
}

Slot make_keyfile_slot(const VaultKey& key, const VaultId& vault, std::uint32_t id, ByteView keyfile,
                       std::string label) {
  Slot slot;
  slot.id = id;
  slot.type = SlotType::kKeyfile;
  slot.label = std::move(label);
  return make_slot(key, vault, std::move(slot), keyfile);
}

std::optional<VaultKey> open_slot(const Slot& slot, const VaultId& vault, ByteView secret) {
  if (!is_usable(slot, secret)) return std::nullopt;
  const Key kek = wrapping_key(slot, secret);
  const Bytes ad = associated_data(slot, vault);
  VaultKey key;
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(key.data(), nullptr, nullptr, slot.wrapped.data(), slot.wrapped.size(),
                                                 ad.data(), ad.size(), slot.nonce.data(), kek.data()) != 0) {
    return std::nullopt;
  }
  return key;
}

}  // namespace coffer::crypto
