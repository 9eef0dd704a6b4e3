#include "crypto/geometry.h"

#include "base/check.h"
#include "crypto/file_header.h"

namespace coffer::crypto {

std::uint64_t Geometry::cipher_length(std::uint64_t plain_size) const {
  COFFER_CHECK(plain_size <= kMaxPlainSize);
  const std::uint64_t last = plain_size % chunk_size_;
  return kHeaderSize + plain_size / chunk_size_ * record_size() + (last == 0 ? 0 : last + overhead_);
}

std::optional<std::uint64_t> Geometry::plain_size(std::uint64_t cipher_length) const {
  if (cipher_length < kHeaderSize) return std::nullopt;
  const std::uint64_t records = (cipher_length - kHeaderSize) / record_size();
  const std::uint64_t last = (cipher_length - kHeaderSize) % record_size();
  if (last != 0 && last <= overhead_) return std::nullopt;
  const std::uint64_t size = records * chunk_size_ + (last == 0 ? 0 : last - overhead_);
  if (size > kMaxPlainSize) return std::nullopt;
  return size;
}

CipherOffset Geometry::record_begin(ChunkIndex index) const {
  COFFER_CHECK(index.value <= kMaxPlainSize / chunk_size_);
  return {kHeaderSize + index.value * record_size()};
}

std::uint64_t Geometry::chunk_count(std::uint64_t plain_size) const {
  return plain_size / chunk_size_ + (plain_size % chunk_size_ == 0 ? 0 : 1);
}

std::uint32_t Geometry::chunk_length(ChunkIndex index, std::uint64_t plain_size) const {
  const std::uint64_t full_chunks = plain_size / chunk_size_;
  if (index.value < full_chunks) return chunk_size_;
  return index.value == full_chunks ? static_cast<std::uint32_t>(plain_size % chunk_size_) : 0;
}

ChunkIndex Geometry::chunk_of_cipher(CipherOffset offset) const {
  if (offset.value < kHeaderSize) return {0};
  return {(offset.value - kHeaderSize) / record_size()};
}

}  // namespace coffer::crypto
