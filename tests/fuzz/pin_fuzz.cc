// Pins. The input is parsed as a file name, then taken for a pin's plaintext and sealed with the true keys. What parses
// is written the same (in lower case).
#include "base/check.h"
#include "crypto/base32.h"
#include "crypto/name_cipher.h"
#include "crypto/name_text.h"
#include "crypto/siv.h"
#include "tests/crypto/support.h"
#include "tests/fuzz/input.h"

namespace coffer::crypto {
namespace {

constexpr std::size_t kMaxInput = 1000;
constexpr std::size_t kPlainSize = 56;

bool check(const NameCipher& cipher, const std::string& file_name) {
  const auto pin = cipher.parse_pin(file_name);
  if (!pin) return false;
  COFFER_CHECK(looks_like_pin(file_name));
  COFFER_CHECK(cipher.pin_name(*pin) == fold_case(file_name));
  return true;
}

}  // namespace
}  // namespace coffer::crypto

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coffer::crypto;
  if (size > kMaxInput) return -1;
  const coffer::fuzz::Input input(data, size);
  const NameCipher cipher(test_keys());
  check(cipher, input.rest_text());
  check(cipher, "dir." + input.rest_text() + ".coffer");
  const SivContext context{SivPurpose::kPin, Kind::kFileOrDirectory, DirId{}};
  const std::string name = "dir." + base32_encode(siv_seal(test_keys(), context, input.rest())) + ".coffer";
  COFFER_CHECK(check(cipher, name) == (size == kPlainSize));
  return 0;
}
