// The 64 digits as people type them. What parses prints as 16 groups of four and parses from that as the same key.
#include "base/check.h"
#include "crypto/keys.h"
#include "tests/crypto/support.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coffer::crypto;
  const ByteView typed(data, size);
  const auto key = parse_vault_key(typed);
  const auto is_digit = [](Byte c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  };
  const auto digits = std::count_if(typed.begin(), typed.end(), is_digit);
  if (!key) return 0;
  COFFER_CHECK(digits == 64);
  const SecretBuffer text = format_vault_key(*key);
  COFFER_CHECK(text.size() == 79);
  const auto again = parse_vault_key(text.view());
  COFFER_CHECK(again.has_value());
  COFFER_CHECK(std::equal(key->view().begin(), key->view().end(), again->view().begin()));
  return 0;
}
