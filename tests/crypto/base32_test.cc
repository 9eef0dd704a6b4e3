#include "crypto/base32.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/crypto/support.h"

namespace coffer::crypto {
namespace {

std::string encode_text(std::string_view text) { return base32_encode(base::as_bytes(text)); }

TEST(Base32, Rfc4648Vectors) {
  EXPECT_EQ(encode_text(""), "");
  EXPECT_EQ(encode_text("f"), "my");
  EXPECT_EQ(encode_text("fo"), "mzxq");
  EXPECT_EQ(encode_text("foo"), "mzxw6");
  EXPECT_EQ(encode_text("foob"), "mzxw6yq");
  EXPECT_EQ(encode_text("fooba"), "mzxw6ytb");
  EXPECT_EQ(encode_text("foobar"), "mzxw6ytboi");
}

TEST(Base32, RoundTripOfEveryLength) {
  for (std::size_t size = 0; size <= 300; ++size) {
    const Bytes bytes = pattern(size, static_cast<std::uint32_t>(size + 1));
    const std::string text = base32_encode(bytes);
    EXPECT_EQ(text.size(), base32_length(size));
    EXPECT_TRUE(std::all_of(text.begin(), text.end(), is_base32_character));
    EXPECT_EQ(base32_decode(text), bytes);
  }
}

TEST(Base32, ImpossibleLengthsAreRefused) {
  for (std::size_t length = 0; length <= 64; ++length) {
    const bool possible = length % 8 != 1 && length % 8 != 3 && length % 8 != 6;
    EXPECT_EQ(base32_decode(std::string(length, 'a')).has_value(), possible) << length;
  }
}

TEST(Base32, EveryTextIsRefusedOrCanonical) {
  // All texts of two characters from all bytes: what decodes encodes to the same.
  int accepted = 0;
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text = {static_cast<char>(first), static_cast<char>(second)};
      const auto bytes = base32_decode(text);
      if (!bytes) continue;
      ++accepted;
      EXPECT_EQ(base32_encode(*bytes), text);
    }
  }
  EXPECT_EQ(accepted, 256);
}

TEST(Base32, NonZeroPaddingBitsAreRefused) {
  for (std::size_t size : {1, 2, 3, 4, 16, 17, 20, 22, 72}) {
    const Bytes bytes = pattern(size);
    const std::string text = base32_encode(bytes);
    for (char last : std::string("abcdefghijklmnopqrstuvwxyz234567")) {
      std::string changed = text;
      changed.back() = last;
      const auto decoded = base32_decode(changed);
      if (decoded) {
        EXPECT_EQ(base32_encode(*decoded), changed);
      }
      if (size % 5 != 0 && decoded && last != text.back()) {
        EXPECT_NE(*decoded, bytes);
      }
    }
  }
}

TEST(Base32, ForeignCharactersAreRefused) {
  for (int c = 0; c < 256; ++c) {
    const std::string text = {'a', 'a', 'a', static_cast<char>(c), 'a', 'a', 'a', 'a'};
    EXPECT_EQ(base32_decode(text).has_value(), is_base32_character(static_cast<char>(c)));
  }
  for (char c : std::string("ABCXYZ0189=- .\0", 15)) EXPECT_FALSE(is_base32_character(c)) << c;
}

}  // namespace
}  // namespace coffer::crypto
