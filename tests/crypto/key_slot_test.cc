#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdlib>
#include <new>

#include "crypto/random.h"
#include "crypto/vault_config.h"
#include "tests/crypto/support.h"

namespace coffer::crypto {
namespace {

const VaultId kVault = test_id<VaultId>(0x11);
const std::string kPassword = "correct horse battery staple";

Slot password_slot(const std::string& password = kPassword) {
  return make_password_slot(test_vault_key(), kVault, 1, view_of(password), kMinPasswordCost, "Anna");
}
Slot keyfile_slot() { return make_keyfile_slot(test_vault_key(), kVault, 2, pattern(100), "stick"); }

void expect_test_key(const std::optional<VaultKey>& key) {
  ASSERT_TRUE(key);
  const VaultKey expected = test_vault_key();
  EXPECT_EQ(to_hex(key->view()), to_hex(expected.view()));
}

TEST(KeySlot, Password) {
  for (const std::string& password : {kPassword, std::string(), std::string("\0x", 2), std::string(1000, 'p')}) {
    const Slot slot = password_slot(password);
    EXPECT_EQ(slot.id, 1u);
    EXPECT_EQ(slot.type, SlotType::kPassword);
    EXPECT_EQ(slot.label, "Anna");
    EXPECT_EQ(slot.cost, kMinPasswordCost);
    EXPECT_EQ(slot.salt.size(), 16u);
    expect_test_key(open_slot(slot, kVault, view_of(password)));
  }
}

TEST(KeySlot, Keyfile) {
  for (std::size_t size : {32, 33, 1 << 20}) {
    const Slot slot = make_keyfile_slot(test_vault_key(), kVault, 7, pattern(size), "");
    EXPECT_EQ(slot.type, SlotType::kKeyfile);
    EXPECT_EQ(slot.cost, (PasswordCost{0, 0}));
    EXPECT_EQ(slot.salt.size(), 32u);
    expect_test_key(open_slot(slot, kVault, pattern(size)));
  }
}

TEST(KeySlot, WrongSecrets) {
  const Slot slot = password_slot();
  for (const std::string& wrong : {std::string(), kPassword + " ", kPassword.substr(1), std::string("Correct horse")}) {
    EXPECT_FALSE(open_slot(slot, kVault, view_of(wrong)));
  }
  const Slot keyfile = keyfile_slot();
  EXPECT_FALSE(open_slot(keyfile, kVault, pattern(99)));
  EXPECT_FALSE(open_slot(keyfile, kVault, pattern(101)));
  EXPECT_FALSE(open_slot(keyfile, kVault, pattern(31)));
  EXPECT_FALSE(open_slot(keyfile, kVault, {}));
  EXPECT_FALSE(open_slot(keyfile, kVault, Bytes((1 << 20) + 1)));
}

TEST(KeySlot, NothingRepeats) {
  const Slot first = password_slot(), second = password_slot();
  EXPECT_NE(first.salt, second.salt);
  EXPECT_NE(first.nonce, second.nonce);
  EXPECT_NE(first.wrapped, second.wrapped);
}

TEST(KeySlot, ChangedParameters) {
  const Slot slot = password_slot();
  const auto opens = [](const Slot& changed) { return open_slot(changed, kVault, view_of(kPassword)).has_value(); };
  ASSERT_TRUE(opens(slot));
  Slot changed = slot;
  changed.cost.passes += 1;
  EXPECT_FALSE(opens(changed));
  changed = slot;
  changed.cost.memory_kib += 8;
  EXPECT_FALSE(opens(changed));
  EXPECT_FALSE(open_slot(slot, test_id<VaultId>(0x12), view_of(kPassword)));
  changed = slot;
  changed.type = SlotType::kKeyfile;
  EXPECT_FALSE(opens(changed));
  changed = slot;
  changed.salt.pop_back();
  EXPECT_FALSE(opens(changed));
  for (std::size_t i = 0; i < slot.salt.size(); i += 5) {
    changed = slot;
    changed.salt[i] ^= 1;
    EXPECT_FALSE(opens(changed));
  }
}

TEST(KeySlot, EveryBitOfNonceAndWrappedKey) {
  const Slot slot = keyfile_slot();  // a password would take long
  for (std::size_t bit = 0; bit < slot.wrapped.size() * 8; ++bit) {
    Slot changed = slot;
    changed.wrapped[bit / 8] = static_cast<Byte>(changed.wrapped[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(open_slot(changed, kVault, pattern(100)));
  }
  for (std::size_t bit = 0; bit < slot.nonce.size() * 8; ++bit) {
    Slot changed = slot;
    changed.nonce[bit / 8] = static_cast<Byte>(changed.nonce[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(open_slot(changed, kVault, pattern(100)));
  }
  for (std::size_t bit = 0; bit < slot.salt.size() * 8; ++bit) {
    Slot changed = slot;
    changed.salt[bit / 8] = static_cast<Byte>(changed.salt[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(open_slot(changed, kVault, pattern(100)));
  }
  // What may change: nobody is bound to a label.
  Slot renamed = slot;
  renamed.label = "other";
  renamed.id = 9;
  expect_test_key(open_slot(renamed, kVault, pattern(100)));
}

TEST(KeySlot, CostsOutOfBoundsAreNotTried) {
  const Slot slot = password_slot();
  for (const PasswordCost& cost : {PasswordCost{0, 8192}, PasswordCost{65, 8192}, PasswordCost{1, 8191},
                                   PasswordCost{1, 4194305}, PasswordCost{~0ull, ~0ull}}) {
    Slot changed = slot;
    changed.cost = cost;
    EXPECT_FALSE(open_slot(changed, kVault, view_of(kPassword)));
  }
}

TEST(KeySlot, CalibratedCostIsUsable) {
  const PasswordCost cost = calibrate_password_cost(1);
  EXPECT_EQ(cost.passes, 2u);
  EXPECT_GE(cost.memory_kib, kMinPasswordCost.memory_kib);
  EXPECT_LE(cost.memory_kib, 256u * 1024);
  const PasswordCost longest = calibrate_password_cost(~0u);
  EXPECT_EQ(longest.passes, kMaxPasswordCost.passes);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

// In a process of its own, with less memory than a legal slot may ask for.
[[noreturn]] void open_with_little_memory() {
  Slot slot = password_slot();
  slot.cost.memory_kib = kMaxPasswordCost.memory_kib;
  const rlimit little{rlim_t{1} << 30, rlim_t{1} << 30};
  if (setrlimit(RLIMIT_AS, &little) != 0) exit(3);
  try {
    exit(open_slot(slot, kVault, view_of(kPassword)) ? 1 : 2);
  } catch (const std::bad_alloc&) {
    exit(0);
  }
}

TEST(KeySlotDeathTest, MemoryThatCannotBeHad) {
  if (kSanitized) GTEST_SKIP() << "sanitizers need the address space";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(open_with_little_memory(), testing::ExitedWithCode(0), "");
}

TEST(KeySlotDeathTest, WhatCallersMustNotAsk) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(make_password_slot(test_vault_key(), kVault, 1, {}, {0, 8192}, ""), "internal error");
  EXPECT_DEATH(make_password_slot(test_vault_key(), kVault, 1, {}, {1, 1024}, ""), "internal error");
  EXPECT_DEATH(make_keyfile_slot(test_vault_key(), kVault, 1, pattern(31), ""), "internal error");
}

}  // namespace
}  // namespace coffer::crypto
