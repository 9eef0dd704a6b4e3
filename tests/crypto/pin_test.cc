#include <gtest/gtest.h>

#include <limits>

#include "crypto/base32.h"
#include "crypto/name_cipher.h"
#include "crypto/siv.h"
#include "tests/crypto/support.h"

namespace coffer::crypto {
namespace {

const Pin kPin{test_id<DirId>(1), test_id<DirId>(2), test_id<DirId>(3), 1795343700123456789};

class PinTest : public testing::Test {
 protected:
  NameCipher cipher_{test_keys()};
  std::string name_ = cipher_.pin_name(kPin);
};

TEST_F(PinTest, RoundTrip) {
  EXPECT_EQ(name_.size(), 4u + 116 + 7);
  EXPECT_TRUE(name_.starts_with("dir."));
  EXPECT_TRUE(name_.ends_with(".coffer"));
  for (std::int64_t time : {std::int64_t{0}, std::int64_t{-1}, std::numeric_limits<std::int64_t>::min(),
                            std::numeric_limits<std::int64_t>::max(), kPin.time_ns}) {
    Pin pin = kPin;
    pin.time_ns = time;
    EXPECT_EQ(cipher_.parse_pin(cipher_.pin_name(pin)), pin);
  }
}

TEST_F(PinTest, CaseIsFolded) {
  std::string upper = name_;
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  EXPECT_EQ(cipher_.parse_pin(upper), kPin);
  EXPECT_TRUE(looks_like_pin(upper));
}

TEST_F(PinTest, DecorationIsNot) {
  for (const std::string& name : {name_ + " (1)", "Copy of " + name_, name_ + ".tmp", name_.substr(4),
                                  name_.substr(0, name_.size() - 7), "dir." + name_, name_ + ".coffer"}) {
    EXPECT_FALSE(cipher_.parse_pin(name)) << name;
    EXPECT_FALSE(looks_like_pin(name)) << name;
  }
}

TEST_F(PinTest, EveryCharacterCounts) {
  for (std::size_t i = 0; i < name_.size(); ++i) {
    for (int c = 0; c < 256; ++c) {
      std::string changed = name_;
      changed[i] = static_cast<char>(c);
      if (std::tolower(static_cast<unsigned char>(changed[i])) == name_[i]) continue;
      EXPECT_FALSE(cipher_.parse_pin(changed)) << changed;
    }
    EXPECT_FALSE(cipher_.parse_pin(name_.substr(0, i)));
  }
}

TEST_F(PinTest, OtherVaultsPins) {
  const NameCipher other(other_keys());
  EXPECT_FALSE(other.parse_pin(name_));
  EXPECT_TRUE(looks_like_pin(name_));
  EXPECT_TRUE(looks_like_pin(other.pin_name(kPin)));
}

TEST_F(PinTest, ANameIsNoPin) {
  // A name of 56 bytes whose ciphertext has a pin's length.
  const std::string text = cipher_.encrypt(DirId{}, Kind::kFileOrDirectory, std::string(56, 'x'));
  ASSERT_EQ(text.size(), 116u);
  EXPECT_FALSE(cipher_.parse_pin("dir." + text + ".coffer"));
}

TEST_F(PinTest, Junk) {
  for (const std::string& name :
       {std::string(), std::string("dir..coffer"), "dir." + std::string(116, '1') + ".coffer",
        "dir." + std::string(115, 'a') + ".coffer", "dir." + std::string(117, 'a') + ".coffer",
        "dix." + std::string(116, 'a') + ".coffer"}) {
    EXPECT_FALSE(looks_like_pin(name)) << name;
    EXPECT_FALSE(cipher_.parse_pin(name)) << name;
  }
}

}  // namespace
}  // namespace coffer::crypto
