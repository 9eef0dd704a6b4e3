// Views of bytes, and the only way integers enter and leave them: little-endian loads and stores.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coffer::base {

using Byte = std::uint8_t;
using Bytes = std::vector<Byte>;
using ByteView = std::span<const Byte>;  // borrowed, read only
using ByteSpan = std::span<Byte>;        // borrowed, writable
template <std::size_t N>
using ByteArray = std::array<Byte, N>;

static_assert(std::endian::native == std::endian::little, "Coffer is built for little-endian machines");

template <std::unsigned_integral T>
T load_le(const Byte* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <std::unsigned_integral T>
void store_le(Byte* to, T value) noexcept {
  std::memcpy(to, &value, sizeof value);
}

inline ByteView as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const Byte*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline bool all_zero(ByteView bytes) noexcept {
  // memcmp against itself shifted by one: as fast as the C library's memcmp.
  return bytes.empty() || (bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace coffer::base
