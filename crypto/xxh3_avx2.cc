// Compiled for AVX2 as a whole, so it must define nothing that another file might share: no header of ours with inline
// functions and none of the C++ library, since the linker could take their AVX2 copies for everybody.
#include "crypto/xxh3_avx2.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace coffer::crypto {

std::uint64_t xxh3_avx2(const void* bytes, std::size_t size, std::uint64_t seed) noexcept {
  return XXH3_64bits_withSeed(bytes, size, seed);
}

}  // namespace coffer::crypto
