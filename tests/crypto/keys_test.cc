#include "crypto/keys.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/crypto/support.h"

namespace coffer::crypto {
namespace {

std::string text_of(const SecretBuffer& buffer) { return std::string(base::as_text(buffer.view())); }

constexpr std::string_view kFormatted =
    "0001 0203 0405 0607 0809 0a0b 0c0d 0e0f 1011 1213 1415 1617 1819 1a1b 1c1d 1e1f";

TEST(Keys, AllDifferent) {
  const KeyRing& keys = test_keys();
  const FileKeys file(keys, Suite::kAes256Gcm, test_id<FileId>(1));
  const FileKeys other_file(keys, Suite::kAes256Gcm, test_id<FileId>(2));
  const FileKeys other_suite(keys, Suite::kXChaCha20Poly1305, test_id<FileId>(1));
  std::set<std::string> seen;
  for (const Key* key : {&keys.name_siv, &keys.name_stream, &keys.directory_ids, &keys.files, &keys.xattr_names,
                         &keys.xattr_values, &keys.config, &keys.ledger, &keys.local_state, &file.chunk,
                         &file.content_sum, &file.header, &other_file.chunk, &other_file.content_sum,
                         &other_file.header, &other_suite.chunk, &other_suite.content_sum, &other_suite.header}) {
    seen.insert(to_hex(key->view()));
  }
  EXPECT_EQ(seen.size(), 18u);
  const VaultKey vault_key = test_vault_key();
  EXPECT_FALSE(seen.contains(to_hex(vault_key.view())));
}

TEST(Keys, RandomVaultKeysDiffer) {
  const VaultKey first = random_vault_key(), second = random_vault_key();
  EXPECT_NE(to_hex(first.view()), to_hex(second.view()));
}

TEST(VaultKeyText, Format) { EXPECT_EQ(text_of(format_vault_key(test_vault_key())), kFormatted); }

TEST(VaultKeyText, RoundTrip) {
  for (int i = 0; i < 100; ++i) {
    const VaultKey key = random_vault_key();
    const auto parsed = parse_vault_key(format_vault_key(key).view());
    ASSERT_TRUE(parsed);
    EXPECT_EQ(to_hex(parsed->view()), to_hex(key.view()));
  }
}

TEST(VaultKeyText, WhatPeopleType) {
  const std::string digits = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
  std::string upper = digits;
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  for (const std::string& typed :
       {digits, upper, std::string(kFormatted), "  " + digits + "\r\n", "\t" + digits + "\n", "-" + digits + "-",
        digits.substr(0, 31) + ":" + digits.substr(31), digits.substr(0, 1) + " " + digits.substr(1)}) {
    const auto parsed = parse_vault_key(view_of(typed));
    ASSERT_TRUE(parsed) << typed;
    EXPECT_EQ(to_hex(parsed->view()), digits);
  }
}

TEST(VaultKeyText, Refused) {
  const std::string digits(64, 'a');
  for (const std::string& typed :
       {std::string(), digits.substr(1), digits + "a", digits + digits, digits.substr(1) + "g", digits.substr(1) + "/",
        digits.substr(1) + "@", digits.substr(1) + "`", digits.substr(1) + "_", "0x" + digits, digits.substr(1) + '\0',
        digits + '\0', digits + ".", digits.substr(1) + "\xff"}) {
    EXPECT_FALSE(parse_vault_key(view_of(typed))) << typed;
  }
}

TEST(VaultKeyText, EveryByteAsADigit) {
  for (int c = 0; c < 256; ++c) {
    const bool digit = std::isxdigit(c) != 0;
    const std::string typed = std::string(63, '0') + static_cast<char>(c);
    const auto parsed = parse_vault_key(view_of(typed));
    ASSERT_EQ(parsed.has_value(), digit) << c;
    if (digit) {
      EXPECT_EQ(parsed->data()[31], std::stoi(std::string(1, static_cast<char>(c)), nullptr, 16));
    }
  }
}

TEST(Hex, RoundTripAndStrictness) {
  const Bytes bytes = pattern(40);
  const std::string text = to_hex(bytes);
  Bytes back(40);
  ASSERT_TRUE(from_hex(text, back));
  EXPECT_EQ(back, bytes);
  EXPECT_TRUE(from_hex("", {}));
  ByteArray<2> two;
  for (std::string_view wrong : {"", "abc", "abcde", "ABCD", "abcg", " abc", "ab-d", "0xab"}) {
    EXPECT_FALSE(from_hex(wrong, two)) << wrong;
  }
}

}  // namespace
}  // namespace coffer::crypto
