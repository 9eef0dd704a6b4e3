// All arithmetic between plaintext and ciphertext offsets and sizes. FORMAT.md 4.2.
#pragma once

#include <cstdint>
#include <optional>

#include "crypto/types.h"

namespace coffer::crypto {

struct PlainOffset {
  std::uint64_t value = 0;
  friend auto operator<=>(const PlainOffset&, const PlainOffset&) = default;
};
struct CipherOffset {
  std::uint64_t value = 0;
  friend auto operator<=>(const CipherOffset&, const CipherOffset&) = default;
};

// Largest plaintext size: leaves room for every chunk size and suite below 2^63.
constexpr std::uint64_t kMaxPlainSize = std::uint64_t{1} << 62;

// Of one file: chunk size and overhead per record. Cheap to copy.
class Geometry {
 public:
  constexpr Geometry(Suite suite, std::uint32_t chunk_size)
      : chunk_size_(chunk_size), overhead_(static_cast<std::uint32_t>(record_overhead(suite))) {}

  constexpr std::uint32_t chunk_size() const { return chunk_size_; }
  constexpr std::uint32_t overhead() const { return overhead_; }
  constexpr std::uint32_t record_size() const { return chunk_size_ + overhead_; }  // of a full chunk

  // REQUIRES: plain <= kMaxPlainSize.
  std::uint64_t cipher_length(std::uint64_t plain_size) const;
  // nullopt: no plaintext has this length (shorter than a header, or a record without content).
  std::optional<std::uint64_t> plain_size(std::uint64_t cipher_length) const;

  ChunkIndex chunk_at(PlainOffset offset) const { return {offset.value / chunk_size_}; }
  PlainOffset chunk_begin(ChunkIndex index) const { return {index.value * chunk_size_}; }
  CipherOffset record_begin(ChunkIndex index) const;
  // Number of chunks of a plaintext of this size.
  std::uint64_t chunk_count(std::uint64_t plain_size) const;
  // Plaintext bytes in chunk `index` of a file of this size; 0 beyond the end.
  std::uint32_t chunk_length(ChunkIndex index, std::uint64_t plain_size) const;
  // The chunk whose record (or header: chunk 0) holds this ciphertext byte.
  ChunkIndex chunk_of_cipher(CipherOffset offset) const;

 private:
  std::uint32_t chunk_size_;
  std::uint32_t overhead_;
};

}  // namespace coffer::crypto
