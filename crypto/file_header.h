// The 512-byte header of a ciphertext file. FORMAT.md 4.1.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "crypto/chunk_cipher.h"
#include "crypto/keys.h"
#include "crypto/types.h"

namespace coffer::crypto {

constexpr std::size_t kHeaderSize = 512;
using HeaderBytes = ByteArray<kHeaderSize>;

struct Timestamp {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
  friend auto operator<=>(const Timestamp&, const Timestamp&) = default;
};

// The fields in clear. Authenticated only once decode() has accepted the whole header.
struct ClearHeader {
  Suite suite = Suite::kAes256Gcm;
  std::uint32_t chunk_size = kDefaultChunkSize;
  std::uint16_t name_max = kDefaultNameMax;
  VaultId vault;
  FileId file;
  std::uint32_t key_epoch = 0;
  std::uint64_t cipher_length = kHeaderSize;
  std::uint64_t keyless_sum = 0;
  friend bool operator==(const ClearHeader&, const ClearHeader&) = default;
};

struct FileHeader {
  ClearHeader clear;
  std::uint64_t plain_size = 0;
  ContentSum content_sum;
  std::uint64_t version = 0;
  WriterId writer;
  std::uint64_t seals = 0;
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t rdev = 0;  // major << 32 | minor
  Timestamp mtime;
  Timestamp birth;
  Kind kind = Kind::kFileOrDirectory;
  DirId parent;
  std::string name;  // is_plain_name
  friend bool operator==(const FileHeader&, const FileHeader&) = default;
};

enum class HeaderError {
  kNotOurs,    // no magic: a foreign or never finished file
  kNewer,      // a format or flag this program does not know
  kDamaged,    // the header's own sum is wrong: an accident
  kForged,     // authenticated decryption failed, or decrypted fields contradict the format or the clear ones
  kOtherVault  // another vault's id
};

template <class T>
class HeaderResult {  // a header or why not
 public:
  HeaderResult(T value) : value_(std::move(value)) {}  // NOLINT: implicit on purpose
  HeaderResult(HeaderError error) : error_(error) {}   // NOLINT: implicit on purpose
  explicit operator bool() const noexcept { return value_.has_value(); }
  T& operator*() { return *value_; }
  T* operator->() { return &*value_; }
  HeaderError error() const noexcept { return error_; }

 private:
  std::optional<T> value_;
  HeaderError error_ = HeaderError::kNotOurs;
};

// Encrypts under a fresh random nonce. REQUIRES: `header` is one decode() would accept; aborts otherwise (checked by
// decoding the result).
HeaderBytes encode(const FileHeader& header, const FileKeys& keys);

// Without any key: magic, format, limits of every field, the header's own sum.
HeaderResult<ClearHeader> decode_clear(std::span<const Byte, kHeaderSize> bytes);

// Everything. `keys` must be those of the file id and suite in the clear fields.
HeaderResult<FileHeader> decode(std::span<const Byte, kHeaderSize> bytes, const VaultId& vault, const FileKeys& keys);

}  // namespace coffer::crypto
