#include "crypto/xxh3.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include "tests/crypto/support.h"

namespace coffer::crypto {
namespace {

// Whichever variant this processor gets, it is the library's plain one that others have.
TEST(Xxh3, EveryLengthIsAsTheLibrarySays) {
  const Bytes bytes = pattern(3000);
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    for (std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{size}, ~std::uint64_t{0}}) {
      ASSERT_EQ(xxh3(ByteView(bytes).first(size), seed), XXH3_64bits_withSeed(bytes.data(), size, seed)) << size;
    }
  }
  for (std::size_t size : {16412, 16408, 65536, 1 << 20}) {
    const Bytes record = pattern(size);
    EXPECT_EQ(xxh3(record, 7), XXH3_64bits_withSeed(record.data(), size, 7));
  }
}

}  // namespace
}  // namespace coffer::crypto
