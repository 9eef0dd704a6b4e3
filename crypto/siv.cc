#include "crypto/siv.h"

#include <sodium.h>

#include <algorithm>

#include "crypto/blake2b.h"

namespace coffer::crypto {
namespace {

using Siv = ByteArray<kSivSize>;

Siv compute_siv(const KeyRing& keys, const SivContext& context, ByteView plain) {
  const ByteArray<2> labels = {static_cast<Byte>(context.purpose), static_cast<Byte>(context.kind)};
  Siv siv;
  blake2b(siv, keys.name_siv.view(), {labels, context.directory.view(), plain});
  return siv;
}

void xor_stream(const KeyRing& keys, ByteView siv, ByteView in, Byte* out) {
  if (in.empty()) return;  // libsodium wants pointers also then
  ByteArray<crypto_stream_xchacha20_NONCEBYTES> nonce{};
  std::copy(siv.begin(), siv.end(), nonce.begin());
  crypto_stream_xchacha20_xor(out, in.data(), in.size(), nonce.data(), keys.name_stream.data());
}

}  // namespace

Bytes siv_seal(const KeyRing& keys, const SivContext& context, ByteView plain) {
  const Siv siv = compute_siv(keys, context, plain);
  Bytes sealed(kSivSize + plain.size());
  std::copy(siv.begin(), siv.end(), sealed.begin());
  xor_stream(keys, siv, plain, sealed.data() + kSivSize);
  return sealed;
}

std::optional<Bytes> siv_open(const KeyRing& keys, const SivContext& context, ByteView sealed) {
  if (sealed.size() < kSivSize) return std::nullopt;
  const ByteView siv = sealed.first(kSivSize);
  Bytes plain(sealed.size() - kSivSize);
  xor_stream(keys, siv, sealed.subspan(kSivSize), plain.data());
  const Siv expected = compute_siv(keys, context, plain);
  if (sodium_memcmp(expected.data(), siv.data(), kSivSize) != 0) return std::nullopt;
  return plain;
}

}  // namespace coffer::crypto
