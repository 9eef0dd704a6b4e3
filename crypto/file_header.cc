#include "crypto/file_header.h"

#include <sodium.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "crypto/file_header_internal.h"
#include "crypto/geometry.h"
#include "crypto/name_cipher.h"
#include "crypto/random.h"
#include "crypto/xxh3.h"

namespace coffer::crypto {
namespace {

using base::load_le;
using base::store_le;

constexpr std::array<Byte, 8> kMagic = {0xc7, 0x43, 0x4f, 0x46, 0x46, 0x0d, 0x0a, 0x1a};
constexpr std::uint16_t kFormat = 0;
constexpr std::size_t kSecretSize = 392;
constexpr std::size_t kMaxSymlinkTarget = 4095;
constexpr std::uint32_t kNanosecondsPerSecond = 1'000'000'000;

// Offsets in the file.
namespace at {
constexpr std::size_t kMagic = 0;
constexpr std::size_t kFormat = 8;
constexpr std::size_t kSuite = 10;
constexpr std::size_t kChunkSizeLog2 = 11;
constexpr std::size_t kNameMax = 12;
constexpr std::size_t kFlags = 14;
constexpr std::size_t kVault = 16;
constexpr std::size_t kFile = 32;
constexpr std::size_t kKeyEpoch = 48;
constexpr std::size_t kReserved = 52;
constexpr std::size_t kCipherLength = 56;
constexpr std::size_t kKeylessSum = 64;
constexpr std::size_t kNonce = 72;  // the bytes before are the associated data
constexpr std::size_t kSecret = 96;
constexpr std::size_t kTag = 488;
constexpr std::size_t kSum = 504;
static_assert(kNonce + sizeof(HeaderNonce) == kSecret && kSecret + kSecretSize == kTag);
static_assert(kTag + kTagSize == kSum && kSum + 8 == kHeaderSize);
}  // namespace at

// Offsets in the encrypted part.
namespace in {
constexpr std::size_t kPlainSize = 0;
constexpr std::size_t kContentSum = 8;
constexpr std::size_t kVersion = 24;
constexpr std::size_t kWriter = 32;
constexpr std::size_t kSeals = 48;
constexpr std::size_t kMode = 56;
constexpr std::size_t kUid = 60;
constexpr std::size_t kGid = 64;
constexpr std::size_t kRdev = 68;
constexpr std::size_t kMtime = 76;
constexpr std::size_t kBirth = 88;
constexpr std::size_t kKind = 100;
constexpr std::size_t kNameLength = 101;
constexpr std::size_t kReserved = 102;
constexpr std::size_t kParent = 104;
constexpr std::size_t kName = 120;
constexpr std::size_t kPadding = 375;
static_assert(kName + kMaxPlainName == kPadding && kPadding + 17 == kSecretSize);
}  // namespace in

using Raw = std::span<const Byte, kHeaderSize>;
using Secret = ByteArray<kSecretSize>;

template <class Id>
void store_id(Byte* to, const Id& id) {
  std::copy(id.bytes.begin(), id.bytes.end(), to);
}

template <class Id>
Id load_id(const Byte* from) {
  Id id;
  std::copy_n(from, Id::kSize, id.bytes.begin());
  return id;
}

void store_time(Byte* to, const Timestamp& time) {
  store_le(to, static_cast<std::uint64_t>(time.seconds));
  store_le(to + 8, time.nanoseconds);
}

Timestamp load_time(const Byte* from) {
  return {static_cast<std::int64_t>(load_le<std::uint64_t>(from)), load_le<std::uint32_t>(from + 8)};
}

void store_clear(const ClearHeader& clear, Byte* out) {
  std::copy(kMagic.begin(), kMagic.end(), out + at::kMagic);
  store_le(out + at::kFormat, kFormat);
  out[at::kSuite] = static_cast<Byte>(clear.suite);
  out[at::kChunkSizeLog2] = static_cast<Byte>(std::countr_zero(clear.chunk_size));
  store_le(out + at::kNameMax, clear.name_max);
  store_id(out + at::kVault, clear.vault);
  store_id(out + at::kFile, clear.file);
  store_le(out + at::kKeyEpoch, clear.key_epoch);
  store_le(out + at::kCipherLength, clear.cipher_length);
  store_le(out + at::kKeylessSum, clear.keyless_sum);
}

Secret pack_secret(const FileHeader& header) {
  COFFER_CHECK(header.name.size() <= kMaxPlainName);
  Secret secret{};
  Byte* out = secret.data();
  store_le(out + in::kPlainSize, header.plain_size);
  store_le(out + in::kContentSum, static_cast<std::uint64_t>(header.content_sum.value));
  store_le(out + in::kContentSum + 8, static_cast<std::uint64_t>(header.content_sum.value >> 64));
  store_le(out + in::kVersion, header.version);
  store_id(out + in::kWriter, header.writer);
  store_le(out + in::kSeals, header.seals);
  store_le(out + in::kMode, header.mode);
  store_le(out + in::kUid, header.uid);
  store_le(out + in::kGid, header.gid);
  store_le(out + in::kRdev, header.rdev);
  store_time(out + in::kMtime, header.mtime);
  store_time(out + in::kBirth, header.birth);
  out[in::kKind] = static_cast<Byte>(header.kind);
  out[in::kNameLength] = static_cast<Byte>(header.name.size());
  store_id(out + in::kParent, header.parent);
  std::copy(header.name.begin(), header.name.end(), out + in::kName);
  return secret;
}

// nullopt: bytes that no FileHeader can hold. is_plausible() judges the rest.
std::optional<FileHeader> unpack_secret(const ClearHeader& clear, const Secret& secret) {
  const Byte* from = secret.data();
  const ByteView bytes(secret);
  const std::size_t name_length = from[in::kNameLength];
  const bool zeros = base::all_zero(bytes.subspan(in::kReserved, in::kParent - in::kReserved)) &&
                     base::all_zero(bytes.subspan(in::kName + name_length));
  if (!zeros || from[in::kKind] > static_cast<Byte>(Kind::kSpecial)) return std::nullopt;

  FileHeader header;
  header.clear = clear;
  header.plain_size = load_le<std::uint64_t>(from + in::kPlainSize);
  const auto low = load_le<std::uint64_t>(from + in::kContentSum);
  const auto high = load_le<std::uint64_t>(from + in::kContentSum + 8);
  header.content_sum.value = static_cast<Uint128>(high) << 64 | low;
  header.version = load_le<std::uint64_t>(from + in::kVersion);
  header.writer = load_id<WriterId>(from + in::kWriter);
  header.seals = load_le<std::uint64_t>(from + in::kSeals);
  header.mode = load_le<std::uint32_t>(from + in::kMode);
  header.uid = load_le<std::uint32_t>(from + in::kUid);
  header.gid = load_le<std::uint32_t>(from + in::kGid);
  header.rdev = load_le<std::uint64_t>(from + in::kRdev);
  header.mtime = load_time(from + in::kMtime);
  header.birth = load_time(from + in::kBirth);
  header.kind = static_cast<Kind>(from[in::kKind]);
  header.parent = load_id<DirId>(from + in::kParent);
  header.name = base::as_text(bytes.subspan(in::kName, name_length));
  return header;
}

bool is_plausible_kind(const FileHeader& header) {
  switch (header.kind) {
    case Kind::kFileOrDirectory:
      return S_ISREG(header.mode);
    case Kind::kSymlink:
      return S_ISLNK(header.mode) && header.plain_size >= 1 && header.plain_size <= kMaxSymlinkTarget;
    case Kind::kSpecial:
      return (S_ISCHR(header.mode) || S_ISBLK(header.mode) || S_ISFIFO(header.mode) || S_ISSOCK(header.mode)) &&
             header.plain_size == 0;
  }
  return false;
}

// What a decrypted header must still satisfy: the format, and its own clear part.
bool is_plausible(const FileHeader& header) {
  const Geometry geometry(header.clear.suite, header.clear.chunk_size);
  const bool is_device = S_ISCHR(header.mode) || S_ISBLK(header.mode);
  return geometry.plain_size(header.clear.cipher_length) == header.plain_size && is_plausible_kind(header) &&
         (header.mode & ~(S_IFMT | 07777u)) == 0 && (is_device || header.rdev == 0) && is_plain_name(header.name) &&
         header.mtime.nanoseconds < kNanosecondsPerSecond && header.birth.nanoseconds < kNanosecondsPerSecond;
}

bool is_known_suite(Byte suite) {
  return suite == static_cast<Byte>(Suite::kAes256Gcm) || suite == static_cast<Byte>(Suite::kXChaCha20Poly1305);
}

std::uint64_t header_sum(ByteView header) { return xxh3(header.first(at::kSum), 0); }

}  // namespace

HeaderBytes encode(const FileHeader& header, const FileKeys& keys) {
  HeaderNonce nonce;
  random_bytes(nonce);
  return encode_with_nonce(header, keys, nonce);
}

HeaderBytes encode_with_nonce(const FileHeader& header, const FileKeys& keys, const HeaderNonce& nonce) {
  HeaderBytes bytes{};
  store_clear(header.clear, bytes.data());
  std::copy(nonce.begin(), nonce.end(), bytes.begin() + at::kNonce);
  const Secret secret = pack_secret(header);
  crypto_aead_xchacha20poly1305_ietf_encrypt_detached(bytes.data() + at::kSecret, bytes.data() + at::kTag, nullptr,
                                                      secret.data(), secret.size(), bytes.data(), at::kNonce, nullptr,
                                                      nonce.data(), keys.header.data());
  store_le(bytes.data() + at::kSum, header_sum(bytes));
  HeaderResult<FileHeader> decoded = decode(bytes, header.clear.vault, keys);
  COFFER_CHECK(decoded && *decoded == header);
  return bytes;
}

HeaderResult<ClearHeader> decode_clear(Raw bytes) {
  const Byte* from = bytes.data();
  if (!std::equal(kMagic.begin(), kMagic.end(), from + at::kMagic)) return HeaderError::kNotOurs;
  if (load_le<std::uint64_t>(from + at::kSum) != header_sum(bytes)) return HeaderError::kDamaged;
  if (load_le<std::uint16_t>(from + at::kFormat) != kFormat || load_le<std::uint16_t>(from + at::kFlags) != 0 ||
      !is_known_suite(from[at::kSuite])) {
    return HeaderError::kNewer;
  }

  ClearHeader clear;
  clear.suite = static_cast<Suite>(from[at::kSuite]);
  const int log2 = from[at::kChunkSizeLog2];
  if (log2 < std::countr_zero(kMinChunkSize) || log2 > std::countr_zero(kMaxChunkSize)) return HeaderError::kForged;
  clear.chunk_size = std::uint32_t{1} << log2;
  clear.name_max = load_le<std::uint16_t>(from + at::kNameMax);
  clear.vault = load_id<VaultId>(from + at::kVault);
  clear.file = load_id<FileId>(from + at::kFile);
  clear.key_epoch = load_le<std::uint32_t>(from + at::kKeyEpoch);
  clear.cipher_length = load_le<std::uint64_t>(from + at::kCipherLength);
  clear.keyless_sum = load_le<std::uint64_t>(from + at::kKeylessSum);
  const bool in_bounds = clear.name_max >= kMinNameMax && clear.name_max <= kMaxNameMax &&
                         load_le<std::uint32_t>(from + at::kReserved) == 0 &&
                         Geometry(clear.suite, clear.chunk_size).plain_size(clear.cipher_length).has_value();
  if (!in_bounds) return HeaderError::kForged;
  return clear;
}

HeaderResult<FileHeader> decode(Raw bytes, const VaultId& vault, const FileKeys& keys) {
  HeaderResult<ClearHeader> clear = decode_clear(bytes);
  if (!clear) return clear.error();
  if (clear->vault != vault) return HeaderError::kOtherVault;
  Secret secret;
  const Byte* from = bytes.data();
  if (crypto_aead_xchacha20poly1305_ietf_decrypt_detached(secret.data(), nullptr, from + at::kSecret, secret.size(),
                                                          from + at::kTag, from, at::kNonce, from + at::kNonce,
                                                          keys.header.data()) != 0) {
    return HeaderError::kForged;
  }
  std::optional<FileHeader> header = unpack_secret(*clear, secret);
  if (!header || !is_plausible(*header)) return HeaderError::kForged;
  return *std::move(header);
}

}  // namespace coffer::crypto
