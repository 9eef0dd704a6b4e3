// Records: one chunk sealed or opened, and the two sums over them. FORMAT.md 4.2 to 4.4.
#pragma once

#include <cstdint>

#include "crypto/keys.h"
#include "crypto/types.h"

namespace coffer::crypto {

// A 128-bit sum, modulo 2^128.
struct ContentSum {
  Uint128 value = 0;
  friend bool operator==(const ContentSum&, const ContentSum&) = default;
};

// What one record adds to the content sum and to the keyless sum.
struct SumTerms {
  ContentSum content;
  std::uint64_t keyless = 0;
};

// The sums over a set of records; holes add nothing. Order does not matter.
struct Sums {
  ContentSum content;
  std::uint64_t keyless = 0;

  void add(const SumTerms& terms) noexcept {
    content.value += terms.content.value;
    keyless += terms.keyless;
  }
  void subtract(const SumTerms& terms) noexcept {
    content.value -= terms.content.value;
    keyless -= terms.keyless;
  }
  friend bool operator==(const Sums&, const Sums&) = default;
};

// The end of a record: tag and record sum. All that the sums need.
constexpr std::size_t kTrailerSize = kTagSize + kRecordSumSize;

// The record cipher of one file. Constant after construction; safe for concurrent use.
class ChunkCipher {
 public:
  // Borrows `keys`.
  ChunkCipher(Suite suite, const FileKeys& keys) : suite_(suite), keys_(keys) {}

  Suite suite() const noexcept { return suite_; }

  // Writes the record of `plain` to `record` and returns what it adds to the sums.
  // REQUIRES: record.size() == plain.size() + record_overhead(suite), plain not empty, nonce.size() ==
  // nonce_size(suite), a nonce never used before with this file. `plain` and `record` do not overlap.
  SumTerms seal(ChunkIndex index, ByteView nonce, ByteView plain, ByteSpan record) const;

  // False: not what was sealed for this file and index (the plaintext is wiped), or the record's own sum is wrong.
  // REQUIRES: record.size() == plain.size() + record_overhead(suite), plain not empty. No overlap.
  [[nodiscard]] bool open(ChunkIndex index, ByteView record, ByteSpan plain) const;

  // From the stored trailer alone, without decrypting. REQUIRES: trailer.size() == kTrailerSize.
  SumTerms terms(ChunkIndex index, ByteView trailer) const;

 private:
  Suite suite_;
  const FileKeys& keys_;
};

// The keyless part, for checks without any key.
std::uint64_t record_sum(ChunkIndex index, ByteView record_without_sum) noexcept;
std::uint64_t keyless_term(ChunkIndex index, std::uint64_t record_sum) noexcept;

}  // namespace coffer::crypto
