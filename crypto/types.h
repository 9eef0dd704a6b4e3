// The words of the vault format that every other header uses. Numbers: docs/FORMAT.md.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

#include "base/bytes.h"

namespace coffer::crypto {

using base::Byte;
using base::ByteArray;
using base::Bytes;
using base::ByteSpan;
using base::ByteView;

__extension__ typedef unsigned __int128 Uint128;  // both compilers have it, ISO C++ has not

// 16 random or derived bytes; the tag keeps one kind of id from being taken for another.
template <class Tag>
struct Id {
  static constexpr std::size_t kSize = 16;
  ByteArray<kSize> bytes{};

  ByteView view() const noexcept { return bytes; }
  friend bool operator==(const Id&, const Id&) = default;
  friend auto operator<=>(const Id&, const Id&) = default;
};
using VaultId = Id<struct VaultIdTag>;
using FileId = Id<struct FileIdTag>;
using DirId = Id<struct DirIdTag>;
using WriterId = Id<struct WriterIdTag>;

// Position of a chunk in its file, counted from 0.
struct ChunkIndex {
  std::uint64_t value = 0;
  friend auto operator<=>(const ChunkIndex&, const ChunkIndex&) = default;
};

// FORMAT.md section 2. The values are part of the format.
enum class Suite : std::uint8_t { kAes256Gcm = 1, kXChaCha20Poly1305 = 2 };

// What an entry's name says of its kind. FORMAT.md 5.1 and 4.1; the values are part of the format.
enum class Kind : std::uint8_t { kFileOrDirectory = 0, kSymlink = 1, kSpecial = 2 };

constexpr std::size_t kTagSize = 16;
constexpr std::size_t kRecordSumSize = 8;
constexpr std::size_t nonce_size(Suite suite) { return suite == Suite::kAes256Gcm ? 12 : 24; }
constexpr std::size_t record_overhead(Suite suite) { return nonce_size(suite) + kTagSize + kRecordSumSize; }
constexpr std::size_t kMaxRecordOverhead = 48;

constexpr std::uint32_t kMinChunkSize = 4096;
constexpr std::uint32_t kMaxChunkSize = 1 << 20;
constexpr std::uint32_t kDefaultChunkSize = 16384;
constexpr std::uint16_t kMinNameMax = 132;
constexpr std::uint16_t kMaxNameMax = 255;
constexpr std::uint16_t kDefaultNameMax = 200;
constexpr std::size_t kMaxPlainName = 255;

}  // namespace coffer::crypto

template <class Tag>
struct std::hash<coffer::crypto::Id<Tag>> {
  // Ids are uniformly random, so any eight of their bytes are a hash.
  std::size_t operator()(const coffer::crypto::Id<Tag>& id) const noexcept {
    return coffer::base::load_le<std::uint64_t>(id.bytes.data());
  }
};
