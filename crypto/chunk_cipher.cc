#include "crypto/chunk_cipher.h"

#include <sodium.h>

#include <algorithm>

#include "base/check.h"
#include "crypto/aes_gcm.h"
#include "crypto/blake2b.h"
#include "crypto/xxh3.h"

namespace coffer::crypto {
namespace {

static_assert(nonce_size(Suite::kXChaCha20Poly1305) == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
static_assert(nonce_size(Suite::kAes256Gcm) == kGcmNonceSize);
static_assert(kTagSize == crypto_aead_xchacha20poly1305_ietf_ABYTES);

// The parts of a record, FORMAT.md 4.2.
template <class Span>
struct Record {
  Record(Suite suite, Span record)
      : nonce(record.first(nonce_size(suite))),
        cipher(record.subspan(nonce.size(), record.size() - record_overhead(suite))),
        tag(record.subspan(nonce.size() + cipher.size()).template first<kTagSize>()),
        trailer(record.last(kTrailerSize)),
        summed(record.first(record.size() - kRecordSumSize)),
        sum(record.last(kRecordSumSize)) {}

  Span nonce;
  Span cipher;
  std::span<typename Span::element_type, kTagSize> tag;
  Span trailer;  // tag and sum
  Span summed;   // what the sum is over
  Span sum;
};

void check_sizes(Suite suite, std::size_t plain, std::size_t record) {
  COFFER_CHECK(plain >= 1 && plain <= kMaxChunkSize && record == plain + record_overhead(suite));
}

}  // namespace

SumTerms ChunkCipher::seal(ChunkIndex index, ByteView nonce, ByteView plain, ByteSpan record) const {
  check_sizes(suite_, plain.size(), record.size());
  COFFER_CHECK(nonce.size() == nonce_size(suite_));
  const Record<ByteSpan> parts(suite_, record);
  const ByteArray<8> ad = le64(index.value);
  std::copy(nonce.begin(), nonce.end(), parts.nonce.begin());
  if (suite_ == Suite::kAes256Gcm) {
    aes_gcm_seal(keys_.chunk.view(), nonce.first<kGcmNonceSize>(), ad, plain, parts.cipher, parts.tag);
  } else {
    crypto_aead_xchacha20poly1305_ietf_encrypt_detached(parts.cipher.data(), parts.tag.data(), nullptr, plain.data(),
                                                        plain.size(), ad.data(), ad.size(), nullptr, nonce.data(),
                                                        keys_.chunk.data());
  }
  base::store_le(parts.sum.data(), record_sum(index, parts.summed));
  return terms(index, parts.trailer);
}

bool ChunkCipher::open(ChunkIndex index, ByteView record, ByteSpan plain) const {
  check_sizes(suite_, plain.size(), record.size());
  const Record<ByteView> parts(suite_, record);
  const ByteArray<8> ad = le64(index.value);
  bool authentic = base::load_le<std::uint64_t>(parts.sum.data()) == record_sum(index, parts.summed);
  if (authentic && suite_ == Suite::kAes256Gcm) {
    authentic =
        aes_gcm_open(keys_.chunk.view(), parts.nonce.first<kGcmNonceSize>(), ad, parts.cipher, parts.tag, plain);
  } else if (authentic) {
    authentic = crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
                    plain.data(), nullptr, parts.cipher.data(), parts.cipher.size(), parts.tag.data(), ad.data(),
                    ad.size(), parts.nonce.data(), keys_.chunk.data()) == 0;
  }
  if (!authentic) sodium_memzero(plain.data(), plain.size());
  return authentic;
}

SumTerms ChunkCipher::terms(ChunkIndex index, ByteView trailer) const {
  COFFER_CHECK(trailer.size() == kTrailerSize);
  ByteArray<16> digest;
  blake2b(digest, keys_.content_sum.view(), {le64(index.value), trailer.first(kTagSize)});
  const auto low = base::load_le<std::uint64_t>(digest.data());
  const auto high = base::load_le<std::uint64_t>(digest.data() + 8);
  const auto stored_sum = base::load_le<std::uint64_t>(trailer.data() + kTagSize);
  return {{static_cast<Uint128>(high) << 64 | low}, keyless_term(index, stored_sum)};
}

std::uint64_t record_sum(ChunkIndex index, ByteView record_without_sum) noexcept {
  return xxh3(record_without_sum, index.value);
}

std::uint64_t keyless_term(ChunkIndex index, std::uint64_t record_sum) noexcept {
  ByteArray<16> term;
  base::store_le(term.data(), index.value);
  base::store_le(term.data() + 8, record_sum);
  return xxh3(term, 0);
}

}  // namespace coffer::crypto
