#include "crypto/aes_gcm.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "base/check.h"
#include "crypto/secret.h"

namespace coffer::crypto {
namespace {

enum class Direction : int { kOpen = 0, kSeal = 1 };  // as EVP_CipherInit_ex2 counts them

// Fetched once: EVP_aes_256_gcm() looks the provider up again at each use. The library context of our own keeps a
// system-wide openssl.cnf from putting another implementation in its place. Neither is ever freed.
EVP_CIPHER* gcm_cipher() {
  static EVP_CIPHER* const cipher = [] {
    OSSL_LIB_CTX* library = OSSL_LIB_CTX_new();
    EVP_CIPHER* fetched = library == nullptr ? nullptr : EVP_CIPHER_fetch(library, "AES-256-GCM", nullptr);
    if (fetched == nullptr) throw std::bad_alloc();
    return fetched;
  }();
  return cipher;
}

class ThreadContext {
 public:
  ThreadContext() : context_(EVP_CIPHER_CTX_new()) {
    if (context_ == nullptr || EVP_CipherInit_ex2(context_.get(), gcm_cipher(), nullptr, nullptr, 1, nullptr) != 1) {
      throw std::bad_alloc();
    }
  }

  // Ready for one message under this key and nonce.
  EVP_CIPHER_CTX* start(GcmKey key, GcmNonce nonce, Direction direction) {
    // By content: an address may be used again for another key.
    const bool same_key = keyed_ && CRYPTO_memcmp(key_.data(), key.data(), key.size()) == 0;
    keyed_ = false;
    COFFER_CHECK(EVP_CipherInit_ex2(context_.get(), nullptr, same_key ? nullptr : key.data(), nonce.data(),
                                    static_cast<int>(direction), nullptr) == 1);
    if (!same_key) std::copy(key.begin(), key.end(), key_.data());
    keyed_ = true;
    return context_.get();
  }

 private:
  struct Free {
    void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
  };
  std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
  SecretBytes<32> key_;
  bool keyed_ = false;
};

ThreadContext& thread_context() {
  thread_local ThreadContext context;
  return context;
}

void update(EVP_CIPHER_CTX* context, Byte* out, ByteView in) {
  COFFER_CHECK(in.size() <= kMaxChunkSize);
  int written = 0;
  COFFER_CHECK(EVP_CipherUpdate(context, out, &written, in.data(), static_cast<int>(in.size())) == 1);
  COFFER_CHECK(static_cast<std::size_t>(written) == in.size());
}

}  // namespace

void aes_gcm_seal(GcmKey key, GcmNonce nonce, ByteView ad, ByteView plain, ByteSpan cipher,
                  std::span<Byte, kTagSize> tag) {
  COFFER_CHECK(cipher.size() == plain.size());
  EVP_CIPHER_CTX* context = thread_context().start(key, nonce, Direction::kSeal);
  update(context, nullptr, ad);
  update(context, cipher.data(), plain);
  int written = 0;
  COFFER_CHECK(EVP_CipherFinal_ex(context, nullptr, &written) == 1);
  COFFER_CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagSize, tag.data()) == 1);
}

bool aes_gcm_open(GcmKey key, GcmNonce nonce, ByteView ad, ByteView cipher, std::span<const Byte, kTagSize> tag,
                  ByteSpan plain) {
  COFFER_CHECK(cipher.size() == plain.size());
  EVP_CIPHER_CTX* context = thread_context().start(key, nonce, Direction::kOpen);
  update(context, nullptr, ad);
  update(context, plain.data(), cipher);
  ByteArray<kTagSize> expected;  // OpenSSL's interface takes it as writable
  std::copy(tag.begin(), tag.end(), expected.begin());
  COFFER_CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTagSize, expected.data()) == 1);
  int written = 0;
  return EVP_CipherFinal_ex(context, nullptr, &written) == 1;
}

}  // namespace coffer::crypto
