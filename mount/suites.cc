#include "mount/suites.h"

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace coffer::mount {

std::optional<crypto::Suite> suite_by_name(std::string_view name) {
  for (crypto::Suite suite : {crypto::Suite::kAes256Gcm, crypto::Suite::kXChaCha20Poly1305}) {
    if (suite_name(suite) == name) return suite;
  }
  return std::nullopt;
}

bool has_fast_aes() noexcept {
#if defined(__x86_64__)
  return __builtin_cpu_supports("aes") != 0 && __builtin_cpu_supports("pclmul") != 0;
#elif defined(__aarch64__)
  constexpr unsigned long kNeeded = HWCAP_AES | HWCAP_PMULL;
  return (::getauxval(AT_HWCAP) & kNeeded) == kNeeded;
#else
  return false;
#endif
}

}  // namespace coffer::mount
