#include <algorithm>

#include "crypto/base32.h"
#include "crypto/name_cipher.h"
#include "crypto/name_text.h"
#include "crypto/siv.h"

namespace coffer::crypto {
namespace {

constexpr std::string_view kPrefix = "dir.";
constexpr std::string_view kSuffix = ".coffer";
constexpr std::size_t kPlainSize = 3 * DirId::kSize + 8;
constexpr std::size_t kCharacters = base32_length(kSivSize + kPlainSize);
static_assert(kCharacters == 116);

constexpr SivContext kContext{SivPurpose::kPin, Kind::kFileOrDirectory, DirId{}};

using PlainPin = ByteArray<kPlainSize>;

PlainPin pack(const Pin& pin) {
  PlainPin plain;
  auto out = plain.begin();
  for (const DirId* id : {&pin.id, &pin.from, &pin.to}) out = std::copy(id->bytes.begin(), id->bytes.end(), out);
  base::store_le(&*out, static_cast<std::uint64_t>(pin.time_ns));
  return plain;
}

Pin unpack(std::span<const Byte, kPlainSize> plain) {
  Pin pin;
  auto in = plain.begin();
  for (DirId* id : {&pin.id, &pin.from, &pin.to}) {
    std::copy_n(in, DirId::kSize, id->bytes.begin());
    in += DirId::kSize;
  }
  pin.time_ns = static_cast<std::int64_t>(base::load_le<std::uint64_t>(&*in));
  return pin;
}

// The base32 text between prefix and suffix of a folded file name; empty if it has not the form of a pin.
std::string_view body_of(std::string_view folded) noexcept {
  if (folded.size() != kPrefix.size() + kCharacters + kSuffix.size()) return {};
  if (!folded.starts_with(kPrefix) || !folded.ends_with(kSuffix)) return {};
  const std::string_view body = folded.substr(kPrefix.size(), kCharacters);
  return std::all_of(body.begin(), body.end(), is_base32_character) ? body : std::string_view();
}

}  // namespace

std::string NameCipher::pin_name(const Pin& pin) const {
  std::string name(kPrefix);
  name += base32_encode(siv_seal(keys_, kContext, pack(pin)));
  name += kSuffix;
  return name;
}

std::optional<Pin> NameCipher::parse_pin(std::string_view file_name) const {
  const std::string folded = fold_case(file_name);
  const std::optional<Bytes> sealed = base32_decode(body_of(folded));
  if (!sealed) return std::nullopt;
  const std::optional<Bytes> plain = siv_open(keys_, kContext, *sealed);
  if (!plain || plain->size() != kPlainSize) return std::nullopt;
  return unpack(std::span<const Byte, kPlainSize>(*plain));
}

bool looks_like_pin(std::string_view file_name) noexcept {
  // Of a pin's length there is no allocation to fail: longer names are none.
  constexpr std::size_t kLength = kPrefix.size() + kCharacters + kSuffix.size();
  if (file_name.size() != kLength) return false;
  return !body_of(fold_case(file_name)).empty();
}

}  // namespace coffer::crypto
