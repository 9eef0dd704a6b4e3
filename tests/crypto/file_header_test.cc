#include "crypto/file_header.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>

#include "crypto/file_header_internal.h"
#include "crypto/geometry.h"
#include "crypto/xxh3.h"
#include "tests/crypto/support.h"

namespace coffer::crypto {
namespace {

const VaultId kVault = test_id<VaultId>(0x11);

FileHeader example(Suite suite, std::uint32_t chunk_size, std::uint64_t plain_size) {
  FileHeader header;
  header.clear.suite = suite;
  header.clear.chunk_size = chunk_size;
  header.clear.vault = kVault;
  header.clear.file = test_id<FileId>(0x22);
  header.clear.key_epoch = 3;
  header.clear.cipher_length = Geometry(suite, chunk_size).cipher_length(plain_size);
  header.clear.keyless_sum = 0x0123456789abcdef;
  header.plain_size = plain_size;
  header.content_sum.value = static_cast<Uint128>(0xfedcba9876543210) << 64 | 0x8877665544332211;
  header.version = 42;
  header.writer = test_id<WriterId>(0x44);
  header.seals = 4711;
  header.mode = S_IFREG | 0640;
  header.uid = 1000;
  header.gid = 100;
  header.mtime = {1795343700, 123456789};
  header.birth = {-1, 999999999};
  header.parent = test_id<DirId>(0x55);
  header.name = "report.odt";
  return header;
}
FileHeader example() { return example(Suite::kAes256Gcm, 16384, 33268); }

FileKeys keys_of(const FileHeader& header) { return FileKeys(test_keys(), header.clear.suite, header.clear.file); }

void fix_sum(HeaderBytes& bytes) { base::store_le(bytes.data() + 504, xxh3(ByteView(bytes).first(504), 0)); }

TEST(FileHeader, RoundTripAtEverySize) {
  for (Suite suite : kSuites) {
    for (std::uint64_t chunk : kChunkSizes) {
      for (std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, chunk - 1, chunk, chunk + 1, 2 * chunk,
                                 2 * chunk + 500, kMaxPlainSize}) {
        const FileHeader header = example(suite, static_cast<std::uint32_t>(chunk), size);
        const FileKeys keys = keys_of(header);
        const HeaderBytes bytes = encode(header, keys);
        auto decoded = decode(bytes, kVault, keys);
        ASSERT_TRUE(decoded);
        EXPECT_EQ(*decoded, header);
        auto clear = decode_clear(bytes);
        ASSERT_TRUE(clear);
        EXPECT_EQ(*clear, header.clear);
      }
    }
  }
}

TEST(FileHeader, RoundTripOfExtremes) {
  FileHeader header = example();
  header.clear.key_epoch = ~0u;
  header.clear.keyless_sum = ~std::uint64_t{0};
  header.content_sum.value = ~Uint128{0};
  header.version = header.seals = ~std::uint64_t{0};
  header.uid = header.gid = ~0u;
  header.mtime = {INT64_MIN, 0};
  header.birth = {INT64_MAX, 999999999};
  header.name = std::string(255, 'x');
  for (std::uint16_t name_max : {std::uint16_t{132}, std::uint16_t{200}, std::uint16_t{255}}) {
    header.clear.name_max = name_max;
    auto decoded = decode(encode(header, keys_of(header)), kVault, keys_of(header));
    ASSERT_TRUE(decoded);
    EXPECT_EQ(*decoded, header);
  }
}

TEST(FileHeader, RoundTripOfEveryKind) {
  FileHeader link = example(Suite::kAes256Gcm, 16384, 4095);
  link.kind = Kind::kSymlink;
  link.mode = S_IFLNK | 0777;
  EXPECT_TRUE(decode(encode(link, keys_of(link)), kVault, keys_of(link)));
  for (mode_t type : {S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK}) {
    FileHeader special = example(Suite::kXChaCha20Poly1305, 4096, 0);
    special.kind = Kind::kSpecial;
    special.mode = type | 0600;
    if (type == S_IFCHR || type == S_IFBLK) special.rdev = std::uint64_t{8} << 32 | 17;
    EXPECT_TRUE(decode(encode(special, keys_of(special)), kVault, keys_of(special)));
  }
}

TEST(FileHeader, NoncesAreFresh) {
  const FileHeader header = example();
  const HeaderBytes first = encode(header, keys_of(header)), second = encode(header, keys_of(header));
  EXPECT_TRUE(std::equal(first.begin(), first.begin() + 72, second.begin()));
  EXPECT_FALSE(std::equal(first.begin() + 72, first.begin() + 96, second.begin() + 72));
  EXPECT_FALSE(std::equal(first.begin() + 96, first.begin() + 128, second.begin() + 96));
}

TEST(FileHeader, AccidentsAreDamage) {
  const FileHeader header = example();
  const FileKeys keys = keys_of(header);
  const HeaderBytes bytes = encode(header, keys);
  for (std::size_t bit = 0; bit < kHeaderSize * 8; ++bit) {
    HeaderBytes changed = bytes;
    changed[bit / 8] = static_cast<Byte>(changed[bit / 8] ^ 1 << bit % 8);
    auto decoded = decode(changed, kVault, keys);
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error(), bit < 64 ? HeaderError::kNotOurs : HeaderError::kDamaged) << bit;
    EXPECT_FALSE(decode_clear(changed)) << bit;
  }
}

TEST(FileHeader, EveryBitIsAuthenticated) {
  const FileHeader header = example();
  const FileKeys keys = keys_of(header);
  const HeaderBytes bytes = encode(header, keys);
  for (std::size_t bit = 64; bit < 504 * 8; ++bit) {
    HeaderBytes changed = bytes;
    changed[bit / 8] = static_cast<Byte>(changed[bit / 8] ^ 1 << bit % 8);
    fix_sum(changed);
    auto decoded = decode(changed, kVault, keys);
    ASSERT_FALSE(decoded) << bit;
    const std::size_t byte = bit / 8;
    if (byte < 10 || byte == 14 || byte == 15) {
      EXPECT_EQ(decoded.error(), HeaderError::kNewer) << bit;
    } else if (byte >= 16 && byte < 32) {
      EXPECT_EQ(decoded.error(), HeaderError::kOtherVault) << bit;
    } else if (byte != 10) {  // a suite may turn into the other one or into a newer one
      EXPECT_EQ(decoded.error(), HeaderError::kForged) << bit;
    }
  }
}

TEST(FileHeader, ForeignBytes) {
  HeaderBytes bytes{};
  EXPECT_EQ(decode_clear(bytes).error(), HeaderError::kNotOurs);
  const Bytes noise = pattern(kHeaderSize);
  std::copy(noise.begin(), noise.end(), bytes.begin());
  EXPECT_EQ(decode_clear(bytes).error(), HeaderError::kNotOurs);
}

TEST(FileHeader, ACutHeaderIsDamaged) {
  const FileHeader header = example();
  const HeaderBytes bytes = encode(header, keys_of(header));
  for (std::size_t size = 0; size < kHeaderSize; ++size) {  // the rest lost as zeros
    HeaderBytes cut{};
    std::copy_n(bytes.begin(), size, cut.begin());
    EXPECT_EQ(decode_clear(cut).error(), size < 8 ? HeaderError::kNotOurs : HeaderError::kDamaged) << size;
  }
}

TEST(FileHeader, WrongKeys) {
  const FileHeader header = example();
  const HeaderBytes bytes = encode(header, keys_of(header));
  const FileKeys other_file(test_keys(), header.clear.suite, test_id<FileId>(1));
  const FileKeys other_suite(test_keys(), Suite::kXChaCha20Poly1305, header.clear.file);
  const FileKeys other_vault(other_keys(), header.clear.suite, header.clear.file);
  for (const FileKeys* keys : {&other_file, &other_suite, &other_vault}) {
    auto decoded = decode(bytes, kVault, *keys);
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error(), HeaderError::kForged);
  }
  auto decoded = decode(bytes, test_id<VaultId>(0x12), keys_of(header));
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error(), HeaderError::kOtherVault);
}

// Fields in clear that no writer writes, with the header's sum put right: what decode_clear says.
TEST(FileHeader, LimitsOfClearFields) {
  const FileHeader header = example();
  const HeaderBytes bytes = encode(header, keys_of(header));
  const auto error_after = [&](const std::function<void(Byte*)>& change) -> std::optional<HeaderError> {
    HeaderBytes changed = bytes;
    change(changed.data());
    fix_sum(changed);
    auto decoded = decode_clear(changed);
    if (decoded) return std::nullopt;
    return decoded.error();
  };
  for (int suite = 0; suite < 256; ++suite) {
    if (suite == 1 || suite == 2) continue;
    EXPECT_EQ(error_after([&](Byte* b) { b[10] = static_cast<Byte>(suite); }), HeaderError::kNewer) << suite;
  }
  for (int log2 = 0; log2 < 256; ++log2) {
    const auto error = error_after([&](Byte* b) {
      b[11] = static_cast<Byte>(log2);
      base::store_le(b + 56, std::uint64_t{512});
    });
    EXPECT_EQ(error, log2 >= 12 && log2 <= 20 ? std::nullopt : std::optional(HeaderError::kForged)) << log2;
  }
  for (unsigned name_max : {0u, 131u, 256u, 65535u}) {
    EXPECT_EQ(error_after([&](Byte* b) { base::store_le(b + 12, static_cast<std::uint16_t>(name_max)); }),
              HeaderError::kForged);
  }
  for (std::uint64_t length : {std::uint64_t{0}, std::uint64_t{511}, std::uint64_t{513}, std::uint64_t{548},
                               std::uint64_t{16933}, ~std::uint64_t{0}}) {
    EXPECT_EQ(error_after([&](Byte* b) { base::store_le(b + 56, length); }), HeaderError::kForged) << length;
  }
  for (std::size_t offset = 52; offset < 56; ++offset) {
    EXPECT_EQ(error_after([&](Byte* b) { b[offset] = 1; }), HeaderError::kForged);
  }
}

// Headers that say what the format forbids, sealed with the true key: encode() refuses to make them.
using Change = std::function<void(FileHeader&)>;
class FileHeaderDeathTest : public testing::TestWithParam<Change> {};

TEST_P(FileHeaderDeathTest, EncodeRefuses) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  FileHeader header = example();
  GetParam()(header);
  EXPECT_DEATH(encode(header, keys_of(header)), "internal error");
}

INSTANTIATE_TEST_SUITE_P(
    Forbidden, FileHeaderDeathTest,
    testing::Values(
        Change([](FileHeader& h) { h.name = ""; }), Change([](FileHeader& h) { h.name = "."; }),
        Change([](FileHeader& h) { h.name = ".."; }), Change([](FileHeader& h) { h.name = "a/b"; }),
        Change([](FileHeader& h) { h.name = std::string("a\0b", 3); }),
        Change([](FileHeader& h) { h.name = std::string(256, 'x'); }), Change([](FileHeader& h) { h.plain_size += 1; }),
        Change([](FileHeader& h) { h.clear.cipher_length += 1; }),
        Change([](FileHeader& h) { h.clear.chunk_size = 2048; }),
        Change([](FileHeader& h) { h.clear.chunk_size = 3 * 4096; }),
        Change([](FileHeader& h) { h.clear.name_max = 131; }), Change([](FileHeader& h) { h.clear.name_max = 256; }),
        Change([](FileHeader& h) { h.clear.suite = Suite{3}; }),
        Change([](FileHeader& h) { h.mtime.nanoseconds = 1000000000; }),
        Change([](FileHeader& h) { h.birth.nanoseconds = 1000000000; }), Change([](FileHeader& h) { h.mode = 0644; }),
        Change([](FileHeader& h) { h.mode = S_IFDIR | 0755; }), Change([](FileHeader& h) { h.mode |= 1u << 16; }),
        Change([](FileHeader& h) { h.kind = Kind::kSymlink; }), Change([](FileHeader& h) { h.kind = Kind::kSpecial; }),
        Change([](FileHeader& h) { h.kind = Kind{3}; }), Change([](FileHeader& h) { h.rdev = 1; })));

}  // namespace
}  // namespace coffer::crypto
