#include "crypto/chunk_cipher.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/bytes.h"
#include "tests/crypto/support.h"

namespace coffer::crypto {
namespace {

const FileId kFile = test_id<FileId>(0x33);

struct Sealed {
  Bytes record;
  SumTerms terms;
};

Sealed seal(const ChunkCipher& cipher, ChunkIndex index, ByteView plain) {
  Bytes nonce(nonce_size(cipher.suite()));
  random_bytes(nonce);
  Sealed sealed{Bytes(plain.size() + record_overhead(cipher.suite())), {}};
  sealed.terms = cipher.seal(index, nonce, plain, sealed.record);
  return sealed;
}

bool same(const SumTerms& a, const SumTerms& b) { return a.content == b.content && a.keyless == b.keyless; }

class ChunkCipherTest : public testing::TestWithParam<Suite> {
 protected:
  FileKeys keys_{test_keys(), GetParam(), kFile};
  ChunkCipher cipher_{GetParam(), keys_};
};
INSTANTIATE_TEST_SUITE_P(Suites, ChunkCipherTest, testing::ValuesIn(kSuites));

TEST_P(ChunkCipherTest, RoundTripAtTheBorders) {
  for (std::uint32_t chunk : kChunkSizes) {
    for (std::size_t size : {std::size_t{1}, std::size_t{500}, std::size_t{chunk} - 1, std::size_t{chunk}}) {
      for (std::uint64_t index : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 40}) {
        const Bytes plain = pattern(size);
        const Sealed sealed = seal(cipher_, {index}, plain);
        Bytes opened(size);
        ASSERT_TRUE(cipher_.open({index}, sealed.record, opened));
        EXPECT_EQ(opened, plain);
        EXPECT_TRUE(same(cipher_.terms({index}, ByteView(sealed.record).last(kTrailerSize)), sealed.terms));
      }
    }
  }
}

TEST_P(ChunkCipherTest, LayoutIsNonceCipherTagSum) {
  const Bytes plain = pattern(100);
  const Bytes nonce = pattern(nonce_size(GetParam()), 7);
  Bytes record(plain.size() + record_overhead(GetParam()));
  cipher_.seal({5}, nonce, plain, record);
  EXPECT_TRUE(std::equal(nonce.begin(), nonce.end(), record.begin()));
  const ByteView without_sum = ByteView(record).first(record.size() - 8);
  EXPECT_EQ(base::load_le<std::uint64_t>(record.data() + record.size() - 8), record_sum({5}, without_sum));
  EXPECT_NE(record_sum({5}, without_sum), record_sum({6}, without_sum));
}

TEST_P(ChunkCipherTest, EveryBitCounts) {
  const Bytes plain = pattern(64);
  const Sealed sealed = seal(cipher_, {3}, plain);
  for (std::size_t bit = 0; bit < sealed.record.size() * 8; ++bit) {
    Bytes record = sealed.record;
    record[bit / 8] = static_cast<Byte>(record[bit / 8] ^ 1 << bit % 8);
    Bytes opened(plain.size(), 0xee);
    EXPECT_FALSE(cipher_.open({3}, record, opened)) << bit;
    EXPECT_TRUE(base::all_zero(opened));
    // With the record's sum put right, as an attacker would, the tag must still refuse.
    if (bit / 8 < record.size() - kRecordSumSize) {
      base::store_le(record.data() + record.size() - 8, record_sum({3}, ByteView(record).first(record.size() - 8)));
      std::fill(opened.begin(), opened.end(), Byte{0xee});
      EXPECT_FALSE(cipher_.open({3}, record, opened)) << bit;
      EXPECT_TRUE(base::all_zero(opened)) << "no unauthenticated plaintext may be left";
    }
  }
}

TEST_P(ChunkCipherTest, EveryByteOfAFullChunkCounts) {
  const Bytes plain = pattern(4096);
  Sealed sealed = seal(cipher_, {0}, plain);
  Bytes opened(plain.size());
  for (std::size_t i = 0; i < sealed.record.size(); ++i) {
    sealed.record[i] ^= 0x40;
    ASSERT_FALSE(cipher_.open({0}, sealed.record, opened)) << i;
    sealed.record[i] ^= 0x40;
  }
  ASSERT_TRUE(cipher_.open({0}, sealed.record, opened));
}

TEST_P(ChunkCipherTest, BoundToIndexFileSuiteAndKey) {
  const Bytes plain = pattern(1000);
  const Sealed sealed = seal(cipher_, {7}, plain);
  Bytes record = sealed.record;
  Bytes opened(plain.size());
  for (std::uint64_t index : {std::uint64_t{0}, std::uint64_t{6}, std::uint64_t{8}, 7 + (std::uint64_t{1} << 32)}) {
    EXPECT_FALSE(cipher_.open({index}, record, opened));
    base::store_le(record.data() + record.size() - 8, record_sum({index}, ByteView(record).first(record.size() - 8)));
    EXPECT_FALSE(cipher_.open({index}, record, opened));
  }
  const FileKeys other_file(test_keys(), GetParam(), test_id<FileId>(0x34));
  EXPECT_FALSE(ChunkCipher(GetParam(), other_file).open({7}, sealed.record, opened));
  const FileKeys other_vault(other_keys(), GetParam(), kFile);
  EXPECT_FALSE(ChunkCipher(GetParam(), other_vault).open({7}, sealed.record, opened));
  const Suite other_suite = GetParam() == Suite::kAes256Gcm ? Suite::kXChaCha20Poly1305 : Suite::kAes256Gcm;
  const FileKeys of_other_suite(test_keys(), other_suite, kFile);
  EXPECT_FALSE(ChunkCipher(GetParam(), of_other_suite).open({7}, sealed.record, opened));
  ASSERT_TRUE(cipher_.open({7}, sealed.record, opened));
}

TEST_P(ChunkCipherTest, AZeroedRecordIsNoRecord) {
  for (std::uint64_t index : {0, 1, 77}) {
    const Bytes record(4096 + record_overhead(GetParam()), 0);
    Bytes opened(4096);
    EXPECT_FALSE(cipher_.open({index}, record, opened));
  }
}

TEST_P(ChunkCipherTest, KeysAndDirectionsChangeBetweenCalls) {
  // The thread's AES context is used again and again: keys of equal place and different content, and of different
  // place and equal content, opening and sealing mixed.
  const Bytes plain = pattern(4096);
  Bytes opened(plain.size());
  for (int round = 0; round < 100; ++round) {
    const FileKeys first(test_keys(), GetParam(), test_id<FileId>(static_cast<Byte>(round)));
    const FileKeys second(test_keys(), GetParam(), test_id<FileId>(static_cast<Byte>(round + 1)));
    const FileKeys same_as_first(test_keys(), GetParam(), test_id<FileId>(static_cast<Byte>(round)));
    const ChunkCipher one(GetParam(), first), two(GetParam(), second), three(GetParam(), same_as_first);
    const Sealed by_one = seal(one, {1}, plain);
    ASSERT_FALSE(two.open({1}, by_one.record, opened));
    ASSERT_TRUE(three.open({1}, by_one.record, opened));
    const Sealed by_two = seal(two, {1}, plain);
    ASSERT_TRUE(one.open({1}, by_one.record, opened));
    ASSERT_FALSE(one.open({1}, by_two.record, opened));
    ASSERT_TRUE(two.open({1}, by_two.record, opened));
    ASSERT_EQ(opened, plain);
  }
}

TEST_P(ChunkCipherTest, ManyThreadsOneCipher) {
  const Bytes plain = pattern(16384);
  const Sealed sealed = seal(cipher_, {9}, plain);
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      Bytes opened(plain.size());
      for (int i = 0; i < 50; ++i) {
        const Sealed mine = seal(cipher_, {9}, plain);
        good += cipher_.open({9}, sealed.record, opened) && opened == plain;
        good += cipher_.open({9}, mine.record, opened) && opened == plain;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 8 * 50 * 2);
}

TEST_P(ChunkCipherTest, SumsAreOrderFreeAndReversible) {
  std::vector<SumTerms> terms;
  for (std::uint64_t i = 0; i < 20; ++i) terms.push_back(seal(cipher_, {i}, pattern(10)).terms);
  Sums forward, backward;
  for (const SumTerms& t : terms) forward.add(t);
  for (auto t = terms.rbegin(); t != terms.rend(); ++t) backward.add(*t);
  EXPECT_EQ(forward, backward);
  EXPECT_NE(forward, Sums{});
  for (const SumTerms& t : terms) forward.subtract(t);
  EXPECT_EQ(forward, Sums{});
}

TEST_P(ChunkCipherTest, SumsTellWhatTagsCannot) {
  const SumTerms at_0 = seal(cipher_, {0}, pattern(10)).terms;
  const Sealed sealed = seal(cipher_, {1}, pattern(10));
  const ByteView trailer = ByteView(sealed.record).last(kTrailerSize);
  EXPECT_FALSE(same(cipher_.terms({2}, trailer), sealed.terms));
  EXPECT_FALSE(same(at_0, sealed.terms));
  const FileKeys other(test_keys(), GetParam(), test_id<FileId>(1));
  EXPECT_NE(ChunkCipher(GetParam(), other).terms({1}, trailer).content, sealed.terms.content);
  EXPECT_EQ(ChunkCipher(GetParam(), other).terms({1}, trailer).keyless, sealed.terms.keyless);
}

using ChunkCipherDeathTest = ChunkCipherTest;
INSTANTIATE_TEST_SUITE_P(Suites, ChunkCipherDeathTest, testing::ValuesIn(kSuites));

TEST_P(ChunkCipherDeathTest, WrongSizesAreOurBugs) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Bytes nonce(nonce_size(GetParam()));
  Bytes plain(10), record(10 + record_overhead(GetParam()));
  EXPECT_DEATH(cipher_.seal({0}, nonce, ByteView(plain).first(9), record), "internal error");
  EXPECT_DEATH(cipher_.seal({0}, ByteView(nonce).first(8), plain, record), "internal error");
  EXPECT_DEATH((void)cipher_.open({0}, record, ByteSpan(plain).first(9)), "internal error");
  EXPECT_DEATH(cipher_.terms({0}, record), "internal error");
  record.resize(record_overhead(GetParam()));
  EXPECT_DEATH(cipher_.seal({0}, nonce, {}, record), "internal error");
}

}  // namespace
}  // namespace coffer::crypto
