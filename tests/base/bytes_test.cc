#include "base/bytes.h"

#include <gtest/gtest.h>

namespace coffer::base {
namespace {

TEST(Bytes, IntegersAreLittleEndian) {
  ByteArray<8> bytes{};
  store_le<std::uint32_t>(bytes.data(), 0x01020304);
  EXPECT_EQ(bytes, (ByteArray<8>{4, 3, 2, 1, 0, 0, 0, 0}));
  store_le<std::uint64_t>(bytes.data(), 0x0102030405060708);
  EXPECT_EQ(bytes, (ByteArray<8>{8, 7, 6, 5, 4, 3, 2, 1}));
  EXPECT_EQ(load_le<std::uint64_t>(bytes.data()), 0x0102030405060708U);
  EXPECT_EQ(load_le<std::uint16_t>(bytes.data() + 1), 0x0607U);
}

TEST(Bytes, IntegersNeedNoAlignment) {
  ByteArray<16> bytes{};
  for (std::size_t offset = 0; offset <= 8; ++offset) {
    store_le<std::uint64_t>(bytes.data() + offset, 0xfeedfacecafebeef);
    EXPECT_EQ(load_le<std::uint64_t>(bytes.data() + offset), 0xfeedfacecafebeefU);
  }
}

TEST(Bytes, TextIsViewedNotCopied) {
  std::string text("a\0b", 3);
  ByteView view = as_bytes(text);
  EXPECT_EQ(view.size(), 3U);
  EXPECT_EQ(view[1], 0);
  EXPECT_EQ(as_text(view).data(), text.data());
}

TEST(Bytes, AllZero) {
  EXPECT_TRUE(all_zero({}));
  for (std::size_t size : {1U, 2U, 7U, 8U, 9U, 4096U, 16420U}) {
    Bytes bytes(size);
    EXPECT_TRUE(all_zero(bytes)) << size;
    for (std::size_t at : {std::size_t{0}, size / 2, size - 1}) {
      bytes[at] = 1;
      EXPECT_FALSE(all_zero(bytes)) << size << " " << at;
      bytes[at] = 0;
    }
  }
}

}  // namespace
}  // namespace coffer::base
