#include "crypto/xattr_cipher.h"

#include <gtest/gtest.h>

#include "tests/crypto/support.h"

namespace coffer::crypto {
namespace {

const FileId kOwner = test_id<FileId>(0x33);

class XattrCipherTest : public testing::Test {
 protected:
  XattrCipher cipher_{test_keys()};
};

TEST_F(XattrCipherTest, RoundTrip) {
  for (std::size_t name_size : {1, 2, 100, 255}) {
    for (std::size_t value_size : {0, 1, 64, 4096, 65536}) {
      const std::string name = "user." + std::string(name_size, 'n');
      const std::string cut = name.substr(0, name_size);
      const Bytes value = pattern(value_size);
      const std::string stored = cipher_.stored_name(cut);
      EXPECT_EQ(stored.size(), kXattrPrefix.size() + 26);
      EXPECT_TRUE(stored.starts_with(kXattrPrefix));
      const Bytes sealed = cipher_.seal(kOwner.view(), cut, value);
      EXPECT_EQ(sealed.size(), value_size + XattrCipher::overhead(cut));
      const auto opened = cipher_.open(kOwner.view(), stored, sealed);
      ASSERT_TRUE(opened);
      EXPECT_EQ(opened->name, cut);
      EXPECT_EQ(opened->value, value);
    }
  }
}

TEST_F(XattrCipherTest, EveryBitCounts) {
  const std::string stored = cipher_.stored_name("user.a");
  const Bytes sealed = cipher_.seal(kOwner.view(), "user.a", pattern(20));
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    Bytes changed = sealed;
    changed[bit / 8] = static_cast<Byte>(changed[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(cipher_.open(kOwner.view(), stored, changed));
  }
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_FALSE(cipher_.open(kOwner.view(), stored, ByteView(sealed).first(size)));
  }
}

TEST_F(XattrCipherTest, BoundToOwnerNameAndVault) {
  const std::string stored = cipher_.stored_name("user.a");
  const Bytes sealed = cipher_.seal(kOwner.view(), "user.a", pattern(20));
  EXPECT_FALSE(cipher_.open(test_id<FileId>(0x34).view(), stored, sealed));
  EXPECT_FALSE(cipher_.open(kOwner.view(), cipher_.stored_name("user.b"), sealed));
  EXPECT_FALSE(XattrCipher(other_keys()).open(kOwner.view(), stored, sealed));
  EXPECT_NE(XattrCipher(other_keys()).stored_name("user.a"), stored);
}

TEST_F(XattrCipherTest, StoredNamesAreTakenLiterally) {
  const std::string stored = cipher_.stored_name("user.a");
  const Bytes sealed = cipher_.seal(kOwner.view(), "user.a", {});
  ASSERT_TRUE(cipher_.open(kOwner.view(), stored, sealed));
  std::string upper = stored;
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  for (const std::string& name : {upper, stored + "a", stored.substr(0, stored.size() - 1), stored.substr(5),
                                  "trusted" + stored.substr(4), std::string(), std::string(kXattrPrefix)}) {
    EXPECT_FALSE(cipher_.open(kOwner.view(), name, sealed)) << name;
  }
  // 16 bytes leave two padding bits, which must be zero.
  int accepted = 0;
  for (char last : std::string("abcdefghijklmnopqrstuvwxyz234567")) {
    std::string name = stored;
    name.back() = last;
    accepted += cipher_.open(kOwner.view(), name, sealed).has_value();
  }
  EXPECT_EQ(accepted, 1);
}

TEST_F(XattrCipherTest, SameValueNeverLooksTheSame) {
  EXPECT_NE(cipher_.seal(kOwner.view(), "user.a", pattern(20)), cipher_.seal(kOwner.view(), "user.a", pattern(20)));
}

TEST(XattrCipherDeathTest, NamesNoFileSystemHas) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const XattrCipher cipher(test_keys());
  EXPECT_DEATH(cipher.stored_name(""), "internal error");
  EXPECT_DEATH(cipher.stored_name(std::string(256, 'x')), "internal error");
  EXPECT_DEATH(cipher.seal(ByteView(kOwner.bytes).first(15), "user.a", {}), "internal error");
}

}  // namespace
}  // namespace coffer::crypto
