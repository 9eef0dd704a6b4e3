// Names. Tokens are looked for in the input and decrypted; then the input is taken for a plaintext name, sealed with
// the true keys, decorated with itself, and must come back if it is a legal name and else be refused.
#include "base/check.h"
#include "crypto/base32.h"
#include "crypto/name_cipher.h"
#include "crypto/siv.h"
#include "tests/crypto/support.h"
#include "tests/fuzz/input.h"

namespace coffer::crypto {
namespace {

constexpr std::size_t kMaxInput = 2000;
const DirId kDirectory = test_id<DirId>(0x55);

Kind kind_from(std::uint8_t byte) { return static_cast<Kind>(byte % 3); }

void check_tokens(const NameCipher& cipher, const std::string& file_name) {
  for (const NameToken& token : find_name_tokens(file_name)) {
    COFFER_CHECK(!token.text.empty() && token.text.size() <= file_name.size());
    COFFER_CHECK(token.decorated == (token.text != file_name));
    // A token is found in itself, as a name without decoration.
    const auto again = find_name_tokens(token.text);
    COFFER_CHECK(!again.empty());
    COFFER_CHECK(again[0].text == token.text && again[0].kind == token.kind && again[0].is_long == token.is_long);
    COFFER_CHECK(!again[0].decorated);
    const auto name = cipher.decrypt(kDirectory, token.text);
    if (name) COFFER_CHECK(cipher.encrypt(kDirectory, token.kind, *name) == token.text);
  }
}

void check_decrypt(const NameCipher& cipher, const std::string& text) {
  for (std::string_view suffix : {"", "8", "9"}) {
    const std::string full = text + std::string(suffix);
    const auto name = cipher.decrypt(kDirectory, full);
    if (!name) continue;
    bool found = false;
    for (Kind kind : {Kind::kFileOrDirectory, Kind::kSymlink, Kind::kSpecial}) {
      found |= cipher.encrypt(kDirectory, kind, *name) == full;
    }
    COFFER_CHECK(found);
  }
}

void check_plain(const NameCipher& cipher, Kind kind, const std::string& plain) {
  std::string text = base32_encode(siv_seal(test_keys(), {SivPurpose::kName, kind, kDirectory}, base::as_bytes(plain)));
  if (kind == Kind::kSymlink) text += '8';
  if (kind == Kind::kSpecial) text += '9';
  const auto name = cipher.decrypt(kDirectory, text);
  COFFER_CHECK(name.has_value() == is_plain_name(plain));
  if (name) COFFER_CHECK(*name == plain && cipher.encrypt(kDirectory, kind, plain) == text);
  for (std::uint16_t name_max : {std::uint16_t{132}, std::uint16_t{200}, std::uint16_t{255}}) {
    COFFER_CHECK(entry_name(text, name_max).size() <= name_max);
  }
  if (!name) return;
  // Between marks that end a run, whatever stands around: among the tokens there is ours.
  bool found = text.size() < 28;
  for (const NameToken& token : find_name_tokens(plain + " " + text + " " + plain)) found |= token.text == text;
  COFFER_CHECK(found);
}

}  // namespace
}  // namespace coffer::crypto

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coffer::crypto;
  if (size == 0 || size > kMaxInput) return -1;
  coffer::fuzz::Input input(data, size);
  const Kind kind = kind_from(input.array<1>()[0]);
  const NameCipher cipher(test_keys());
  const std::string text = input.rest_text();
  check_tokens(cipher, text);
  check_decrypt(cipher, text);
  check_plain(cipher, kind, text);
  return 0;
}
