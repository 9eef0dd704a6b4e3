// Headers. The input is tried as it is, with its sum put right, and (bytes 96 to 487 taken for the decrypted fields)
// sealed with the true keys, as somebody with the vault key could. What decodes encodes to the same bytes.
#include <sodium.h>

#include "base/check.h"
#include "crypto/file_header_internal.h"
#include "crypto/geometry.h"
#include "crypto/name_cipher.h"
#include "crypto/xxh3.h"
#include "tests/crypto/support.h"
#include "tests/fuzz/input.h"

namespace coffer::crypto {
namespace {

void put_sum_right(HeaderBytes& bytes) { base::store_le(bytes.data() + 504, xxh3(ByteView(bytes).first(504), 0)); }

FileKeys keys_for(const HeaderBytes& bytes) {
  FileId file;
  std::copy_n(bytes.begin() + 32, 16, file.bytes.begin());
  return FileKeys(test_keys(), static_cast<Suite>(bytes[10]), file);
}

void seal(HeaderBytes& bytes) {
  const FileKeys keys = keys_for(bytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt_detached(bytes.data() + 96, bytes.data() + 488, nullptr, bytes.data() + 96,
                                                      392, bytes.data(), 72, nullptr, bytes.data() + 72,
                                                      keys.header.data());
}

void check(const HeaderBytes& bytes) {
  auto clear = decode_clear(bytes);
  if (!clear) return;
  COFFER_CHECK(Geometry(clear->suite, clear->chunk_size).plain_size(clear->cipher_length).has_value());
  const FileKeys keys = keys_for(bytes);
  auto header = decode(bytes, clear->vault, keys);
  if (!header) return;
  COFFER_CHECK(header->clear == *clear && is_plain_name(header->name));
  HeaderNonce nonce;
  std::copy_n(bytes.begin() + 72, nonce.size(), nonce.begin());
  COFFER_CHECK(encode_with_nonce(*header, keys, nonce) == bytes);
}

}  // namespace
}  // namespace coffer::crypto

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coffer::crypto;
  auto bytes = coffer::fuzz::Input(data, size).array<kHeaderSize>();
  check(bytes);
  put_sum_right(bytes);
  check(bytes);
  seal(bytes);
  put_sum_right(bytes);
  check(bytes);
  return 0;
}
