// XXH3-64, against accidents only.
#pragma once

#include <cstdint>

#include "crypto/types.h"

namespace coffer::crypto {

std::uint64_t xxh3(ByteView bytes, std::uint64_t seed) noexcept;

}  // namespace coffer::crypto
