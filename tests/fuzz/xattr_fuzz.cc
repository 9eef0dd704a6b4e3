// Extended attributes. The input is opened as it is, then taken for the decrypted value and sealed with the true keys
// under the hash that its name has. What opens seals to the same bytes.
#include <sodium.h>

#include "base/check.h"
#include "crypto/base32.h"
#include "crypto/blake2b.h"
#include "crypto/xattr_cipher_internal.h"
#include "tests/crypto/support.h"
#include "tests/fuzz/input.h"

namespace coffer::crypto {
namespace {

constexpr std::size_t kMaxInput = 1 << 17;
const FileId kOwner = test_id<FileId>(0x33);

void check(const std::string& stored_name, const Bytes& sealed) {
  const XattrCipher cipher(test_keys());
  const auto xattr = cipher.open(kOwner.view(), stored_name, sealed);
  if (!xattr) return;
  XattrNonce nonce;
  std::copy_n(sealed.begin(), nonce.size(), nonce.begin());
  COFFER_CHECK(cipher.stored_name(xattr->name) == stored_name);
  COFFER_CHECK(seal_xattr(test_keys(), kOwner.view(), *xattr, nonce) == sealed);
}

// FORMAT.md section 7, without the checks of seal_xattr.
Bytes seal(ByteView hash, ByteView plain) {
  Bytes sealed(24 + plain.size() + kTagSize, 0x77);
  ByteArray<32> ad;
  std::copy(hash.begin(), hash.end(), std::copy(kOwner.bytes.begin(), kOwner.bytes.end(), ad.begin()));
  crypto_aead_xchacha20poly1305_ietf_encrypt(sealed.data() + 24, nullptr, plain.data(), plain.size(), ad.data(),
                                             ad.size(), nullptr, sealed.data(), test_keys().xattr_values.data());
  return sealed;
}

}  // namespace
}  // namespace coffer::crypto

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coffer::crypto;
  if (size == 0 || size > kMaxInput) return -1;
  coffer::fuzz::Input input(data, size);
  const ByteView plain = input.rest();
  // The name by the length that the plaintext gives it, as far as there is one.
  const ByteView name = plain.subspan(1).first(std::min<std::size_t>(plain[0], plain.size() - 1));
  ByteArray<16> hash;
  blake2b(hash, test_keys().xattr_names.view(), {name});
  check(std::string(kXattrPrefix) + base32_encode(hash), seal(hash, plain));
  // Foreign names and values.
  const std::string stored_name(coffer::base::as_text(input.take(kXattrPrefix.size() + 26)));
  check(stored_name, Bytes(input.rest().begin(), input.rest().end()));
  return 0;
}
