// Records. The input is opened as it is and with its sum put right, then taken for a plaintext: what is sealed opens to
// the same, and not with one bit changed.
#include "base/check.h"
#include "crypto/chunk_cipher.h"
#include "tests/crypto/support.h"
#include "tests/fuzz/input.h"

namespace coffer::crypto {
namespace {

constexpr std::size_t kMaxInput = 1 << 16;

void put_sum_right(ChunkIndex index, Bytes& record) {
  const std::size_t summed = record.size() - kRecordSumSize;
  base::store_le(record.data() + summed, record_sum(index, ByteView(record).first(summed)));
}

void open_foreign(const ChunkCipher& cipher, ChunkIndex index, Bytes record) {
  if (record.size() <= record_overhead(cipher.suite())) return;
  Bytes plain(record.size() - record_overhead(cipher.suite()));
  cipher.terms(index, ByteView(record).last(kTrailerSize));
  // Only who has the key could make one that opens.
  COFFER_CHECK(!cipher.open(index, record, plain));
  put_sum_right(index, record);
  COFFER_CHECK(!cipher.open(index, record, plain) && base::all_zero(plain));
}

void seal_and_open(const ChunkCipher& cipher, ChunkIndex index, std::uint64_t bit, ByteView plain) {
  if (plain.empty()) return;
  const Bytes nonce(nonce_size(cipher.suite()), 0x5a);
  Bytes record(plain.size() + record_overhead(cipher.suite())), opened(plain.size());
  const SumTerms terms = cipher.seal(index, nonce, plain, record);
  COFFER_CHECK(cipher.terms(index, ByteView(record).last(kTrailerSize)).content == terms.content);
  COFFER_CHECK(cipher.open(index, record, opened) && std::equal(plain.begin(), plain.end(), opened.begin()));
  bit %= (record.size() - kRecordSumSize) * 8;
  record[bit / 8] = static_cast<Byte>(record[bit / 8] ^ 1u << bit % 8);
  COFFER_CHECK(!cipher.open(index, record, opened));
  put_sum_right(index, record);
  COFFER_CHECK(!cipher.open(index, record, opened));
}

}  // namespace
}  // namespace coffer::crypto

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coffer::crypto;
  if (size > kMaxInput) return -1;
  coffer::fuzz::Input input(data, size);
  const ChunkIndex index{input.number()};
  const std::uint64_t bit = input.number();
  for (Suite suite : kSuites) {
    const FileKeys keys(test_keys(), suite, test_id<FileId>(0x33));
    const ChunkCipher cipher(suite, keys);
    open_foreign(cipher, index, Bytes(input.rest().begin(), input.rest().end()));
    seal_and_open(cipher, index, bit, input.rest());
  }
  return 0;
}
