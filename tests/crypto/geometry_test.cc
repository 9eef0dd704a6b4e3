#include "crypto/geometry.h"

#include <gtest/gtest.h>

#include "crypto/file_header.h"
#include "tests/crypto/support.h"

namespace coffer::crypto {
namespace {

// The plain size by counting records, as FORMAT.md describes a file: nothing of geometry.cc in it.
std::optional<std::uint64_t> count_records(std::uint64_t cipher_length, std::uint64_t chunk, std::uint64_t overhead) {
  if (cipher_length < 512) return std::nullopt;
  std::uint64_t left = cipher_length - 512, plain = 0;
  for (; left >= chunk + overhead; left -= chunk + overhead) plain += chunk;
  if (left == 0) return plain;
  if (left <= overhead) return std::nullopt;
  return plain + left - overhead;
}

TEST(Geometry, WorkedExamplesOfTheFormat) {
  const Geometry geometry(Suite::kAes256Gcm, 16384);
  const std::pair<std::uint64_t, std::uint64_t> examples[] = {{0, 512},       {1, 549},       {16383, 16931},
                                                              {16384, 16932}, {16385, 16969}, {33268, 33888}};
  for (const auto& [plain, cipher] : examples) {
    EXPECT_EQ(geometry.cipher_length(plain), cipher);
    EXPECT_EQ(geometry.plain_size(cipher), plain);
  }
}

TEST(Geometry, EveryCipherLengthOfThreeChunks) {
  for (Suite suite : kSuites) {
    for (std::uint32_t chunk : {4096u, 16384u}) {
      const Geometry geometry(suite, chunk);
      const std::uint64_t end = 512 + 3 * geometry.record_size() + 100;
      std::uint64_t valid = 0;
      for (std::uint64_t length = 0; length <= end; ++length) {
        const auto plain = geometry.plain_size(length);
        ASSERT_EQ(plain, count_records(length, chunk, record_overhead(suite))) << length;
        if (plain) {
          ASSERT_EQ(geometry.cipher_length(*plain), length);
          ++valid;
        }
      }
      EXPECT_EQ(valid, 3u * chunk + 1 + 100 - record_overhead(suite));
    }
  }
}

TEST(Geometry, EveryPlainSizeOfThreeChunks) {
  for (Suite suite : kSuites) {
    for (std::uint32_t chunk : {4096u, 16384u}) {
      const Geometry geometry(suite, chunk);
      std::uint64_t previous = 0;
      for (std::uint64_t plain = 0; plain <= 3 * chunk + 600; ++plain) {
        const std::uint64_t cipher = geometry.cipher_length(plain);
        ASSERT_GT(cipher, previous);
        ASSERT_EQ(geometry.plain_size(cipher), plain);
        previous = cipher;
      }
    }
  }
}

TEST(Geometry, BordersOfEveryChunkSize) {
  for (Suite suite : kSuites) {
    for (std::uint32_t chunk = kMinChunkSize; chunk <= kMaxChunkSize; chunk *= 2) {
      const Geometry geometry(suite, chunk);
      for (std::uint64_t records : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{1000},
                                    std::uint64_t{1} << 32, kMaxPlainSize / chunk - 1}) {
        const std::uint64_t plain = records * chunk;
        const std::uint64_t cipher = 512 + records * geometry.record_size();
        EXPECT_EQ(geometry.plain_size(cipher), plain);
        for (std::uint64_t extra = 1; extra <= geometry.overhead(); ++extra) {
          EXPECT_EQ(geometry.plain_size(cipher + extra), std::nullopt);
        }
        EXPECT_EQ(geometry.plain_size(cipher + geometry.overhead() + 1), plain + 1);
        EXPECT_EQ(geometry.cipher_length(plain + 1), cipher + geometry.overhead() + 1);
        EXPECT_EQ(geometry.plain_size(cipher + geometry.record_size() - 1), plain + chunk - 1);
      }
    }
  }
}

TEST(Geometry, LengthsNoFileHas) {
  for (Suite suite : kSuites) {
    for (std::uint32_t chunk : kChunkSizes) {
      const Geometry geometry(suite, chunk);
      for (std::uint64_t length = 0; length < 512; ++length) EXPECT_EQ(geometry.plain_size(length), std::nullopt);
      const std::uint64_t longest = geometry.cipher_length(kMaxPlainSize);
      EXPECT_LT(longest, std::uint64_t{1} << 63);
      EXPECT_EQ(geometry.plain_size(longest), kMaxPlainSize);
      EXPECT_EQ(geometry.plain_size(longest + geometry.overhead() + 1), std::nullopt);
      EXPECT_EQ(geometry.plain_size(~std::uint64_t{0}), std::nullopt);
    }
  }
}

TEST(Geometry, ChunksOfASize) {
  for (Suite suite : kSuites) {
    for (std::uint64_t chunk : kChunkSizes) {
      const Geometry geometry(suite, static_cast<std::uint32_t>(chunk));
      for (std::uint64_t plain : {std::uint64_t{0}, std::uint64_t{1}, chunk - 1, chunk, chunk + 1, 2 * chunk,
                                  2 * chunk + 500, kMaxPlainSize - 1, kMaxPlainSize}) {
        const std::uint64_t count = geometry.chunk_count(plain);
        EXPECT_EQ(count, (plain + chunk - 1) / chunk);
        EXPECT_EQ(geometry.chunk_length({count}, plain), 0u);
        EXPECT_EQ(geometry.chunk_length({~std::uint64_t{0}}, plain), 0u);
        if (count == 0) continue;
        EXPECT_EQ(geometry.chunk_length({count - 1}, plain), plain - (count - 1) * chunk);
        EXPECT_EQ(geometry.chunk_at({plain - 1}).value, count - 1);
        EXPECT_EQ(geometry.chunk_begin({count - 1}).value, (count - 1) * chunk);
        if (count > 1) {
          EXPECT_EQ(geometry.chunk_length({count - 2}, plain), chunk);
        }
        // The last record ends the file.
        EXPECT_EQ(
            geometry.record_begin({count - 1}).value + geometry.chunk_length({count - 1}, plain) + geometry.overhead(),
            geometry.cipher_length(plain));
      }
    }
  }
}

TEST(Geometry, ChunkOfEveryCipherByte) {
  for (Suite suite : kSuites) {
    const Geometry geometry(suite, 4096);
    for (std::uint64_t offset = 0; offset < 512 + 3 * geometry.record_size(); ++offset) {
      const ChunkIndex index = geometry.chunk_of_cipher({offset});
      if (offset < 512) {
        ASSERT_EQ(index.value, 0u);
      } else {
        ASSERT_LE(geometry.record_begin(index).value, offset);
        ASSERT_GT(geometry.record_begin({index.value + 1}).value, offset);
      }
    }
  }
}

TEST(GeometryDeathTest, SizesBeyondTheLimit) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Geometry geometry(Suite::kAes256Gcm, 4096);
  EXPECT_DEATH(geometry.cipher_length(kMaxPlainSize + 1), "internal error");
  EXPECT_DEATH(geometry.record_begin({kMaxPlainSize / 4096 + 1}), "internal error");
}

}  // namespace
}  // namespace coffer::crypto
