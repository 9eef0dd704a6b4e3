#include "crypto/name_cipher.h"

#include <gtest/gtest.h>

#include <set>

#include "crypto/base32.h"
#include "crypto/siv.h"
#include "tests/crypto/support.h"

namespace coffer::crypto {
namespace {

constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
constexpr Kind kKinds[] = {Kind::kFileOrDirectory, Kind::kSymlink, Kind::kSpecial};
const DirId kDirectory = test_id<DirId>(0x55);

class NameCipherTest : public testing::Test {
 protected:
  // Encrypts what encrypt() refuses to.
  std::string encrypt_raw(const DirId& directory, Kind kind, std::string_view name) const {
    return base32_encode(siv_seal(test_keys(), {SivPurpose::kName, kind, directory}, base::as_bytes(name)));
  }

  NameCipher cipher_{test_keys()};
};

TEST(PlainName, Rules) {
  for (std::string_view name : {"a", "...", ".a", "..a", "a b", "\xff", "\n", "report (1).odt"}) {
    EXPECT_TRUE(is_plain_name(name));
  }
  EXPECT_TRUE(is_plain_name(std::string(255, 'x')));
  for (std::string_view name : {"", ".", "..", "/", "a/b", "a/"}) EXPECT_FALSE(is_plain_name(name)) << name;
  EXPECT_FALSE(is_plain_name(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_plain_name(std::string(256, 'x')));
}

TEST_F(NameCipherTest, RoundTripOfEveryLength) {
  for (std::size_t size = 1; size <= 255; ++size) {
    std::string name(size, 'n');
    for (std::size_t i = 0; i < size; ++i) name[i] = static_cast<char>(1 + i % 46);  // control characters and more
    if (name.find('/') != std::string::npos || !is_plain_name(name)) continue;
    for (Kind kind : kKinds) {
      const std::string text = cipher_.encrypt(kDirectory, kind, name);
      EXPECT_EQ(text.size(), base32_length(16 + size) + (kind == Kind::kFileOrDirectory ? 0 : 1));
      EXPECT_EQ(cipher_.decrypt(kDirectory, text), name);
    }
  }
}

TEST_F(NameCipherTest, TheSizesThatTheDesignPromises) {
  // 109 bytes fit a name_max of 200, 143 fit 255; the kind suffix costs one.
  EXPECT_LE(cipher_.encrypt(kDirectory, Kind::kFileOrDirectory, std::string(109, 'x')).size(), 200u);
  EXPECT_GT(cipher_.encrypt(kDirectory, Kind::kFileOrDirectory, std::string(110, 'x')).size(), 200u);
  EXPECT_LE(cipher_.encrypt(kDirectory, Kind::kFileOrDirectory, std::string(143, 'x')).size(), 255u);
  EXPECT_GT(cipher_.encrypt(kDirectory, Kind::kFileOrDirectory, std::string(144, 'x')).size(), 255u);
}

TEST_F(NameCipherTest, DeterministicAndDifferentEverywhere) {
  std::set<std::string> seen;
  for (Kind kind : kKinds) {
    for (Byte directory = 0; directory < 10; ++directory) {
      for (std::string_view name : {"a", "A", "b", "aa"}) {
        const std::string text = cipher_.encrypt(test_id<DirId>(directory), kind, name);
        EXPECT_EQ(cipher_.encrypt(test_id<DirId>(directory), kind, name), text);
        // Not even the part in front of the suffix repeats.
        seen.insert(text.substr(0, 26));
      }
    }
  }
  EXPECT_EQ(seen.size(), 3u * 10 * 4);
}

TEST_F(NameCipherTest, BoundToDirectoryKindAndVault) {
  const std::string text = cipher_.encrypt(kDirectory, Kind::kFileOrDirectory, "secret");
  EXPECT_FALSE(cipher_.decrypt(test_id<DirId>(0x56), text));
  EXPECT_FALSE(NameCipher(other_keys()).decrypt(kDirectory, text));
  EXPECT_FALSE(cipher_.decrypt(kDirectory, text + "8"));
  EXPECT_FALSE(cipher_.decrypt(kDirectory, text + "9"));
  const std::string link = cipher_.encrypt(kDirectory, Kind::kSymlink, "secret");
  ASSERT_EQ(link.back(), '8');
  const std::string stem = link.substr(0, link.size() - 1);
  EXPECT_FALSE(cipher_.decrypt(kDirectory, stem));
  EXPECT_FALSE(cipher_.decrypt(kDirectory, stem + "9"));
  EXPECT_FALSE(cipher_.decrypt(kDirectory, link + "8"));
}

TEST_F(NameCipherTest, EveryCharacterCounts) {
  for (std::string_view name : {"a", "report.odt", "seventeen bytes !", "\xc3\xa4\xc3\xb6\xc3\xbc"}) {
    for (Kind kind : kKinds) {
      const std::string text = cipher_.encrypt(kDirectory, kind, name);
      for (std::size_t i = 0; i < text.size(); ++i) {
        for (char c : std::string(kAlphabet) + "0189A-. ") {
          std::string changed = text;
          if (changed[i] == c) continue;
          changed[i] = c;
          EXPECT_FALSE(cipher_.decrypt(kDirectory, changed)) << text << " " << changed;
        }
        std::string shorter = text, longer = text;
        shorter.erase(i, 1);
        longer.insert(i, 1, 'a');
        EXPECT_FALSE(cipher_.decrypt(kDirectory, shorter));
        EXPECT_FALSE(cipher_.decrypt(kDirectory, longer));
        EXPECT_FALSE(cipher_.decrypt(kDirectory, text.substr(0, i)));
      }
    }
  }
}

TEST_F(NameCipherTest, NamesThatLeadElsewhereAreRefusedThoughAuthentic) {
  for (std::string_view name : {"", ".", "..", "/", "a/b", "../../etc/passwd"}) {
    EXPECT_FALSE(cipher_.decrypt(kDirectory, encrypt_raw(kDirectory, Kind::kFileOrDirectory, name))) << name;
  }
  EXPECT_FALSE(
      cipher_.decrypt(kDirectory, encrypt_raw(kDirectory, Kind::kFileOrDirectory, std::string_view("a\0b", 3))));
  EXPECT_FALSE(cipher_.decrypt(kDirectory, encrypt_raw(kDirectory, Kind::kFileOrDirectory, std::string(256, 'x'))));
  EXPECT_TRUE(cipher_.decrypt(kDirectory, encrypt_raw(kDirectory, Kind::kFileOrDirectory, "ok")));
}

TEST_F(NameCipherTest, APinIsNoName) {
  const Pin pin{test_id<DirId>(1), test_id<DirId>(2), test_id<DirId>(3), 4};
  const std::string name = cipher_.pin_name(pin);
  const std::string body = name.substr(4, 116);
  EXPECT_FALSE(cipher_.decrypt(DirId{}, body));
  EXPECT_FALSE(cipher_.decrypt(pin.id, body));
}

TEST_F(NameCipherTest, DirectoryIds) {
  std::set<DirId> ids = {cipher_.root_id(), NameCipher(other_keys()).root_id()};
  for (Byte parent = 0; parent < 10; ++parent) {
    for (std::string_view name : {"aaaa", "aaab", "root", ""}) {
      const DirId id = cipher_.derived_id(test_id<DirId>(parent), name);
      EXPECT_EQ(cipher_.derived_id(test_id<DirId>(parent), name), id);
      ids.insert(id);
    }
  }
  EXPECT_EQ(ids.size(), 2u + 10 * 4);
}

TEST(NameCipherDeathTest, IllegalNamesAreOurBugs) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const NameCipher cipher(test_keys());
  EXPECT_DEATH(cipher.encrypt(kDirectory, Kind::kFileOrDirectory, ""), "internal error");
  EXPECT_DEATH(cipher.encrypt(kDirectory, Kind::kFileOrDirectory, "a/b"), "internal error");
}

}  // namespace
}  // namespace coffer::crypto
