#include "crypto/xxh3.h"

#include <xxhash.h>

#include "crypto/xxh3_avx2.h"

namespace coffer::crypto {

std::uint64_t xxh3(ByteView bytes, std::uint64_t seed) noexcept {
#if defined(__x86_64__)
  static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
  if (has_avx2) return xxh3_avx2(bytes.data(), bytes.size(), seed);
#endif
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace coffer::crypto
