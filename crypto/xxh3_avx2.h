// XXH3-64 compiled for AVX2. Internal to crypto/; call xxh3() instead.
//
// Debian's libxxhash has two variants: one for SSE2, and one that picks the widest instructions there are
// (xxh_x86dispatch.h). On a Xeon with AVX-512 the latter is the fastest by itself, and the slowest next to AES-GCM,
// which then runs slower for a while. Measured over records of 16 KiB, libxxhash 0.8.1, OpenSSL 3.0, in microseconds:
//
//                        SSE2   AVX2   AVX-512
//     hash alone         1.04   0.52    0.38
//     AES-GCM, hash      6.09   5.56    6.22      (AES-GCM alone: 5.04)
#pragma once

#include <cstddef>
#include <cstdint>

namespace coffer::crypto {

// REQUIRES: a processor with AVX2.
std::uint64_t xxh3_avx2(const void* bytes, std::size_t size, std::uint64_t seed) noexcept;

}  // namespace coffer::crypto
