// Takes a fuzzer's bytes apart, front first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "base/bytes.h"

namespace coffer::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}

  // Less where there is less.
  base::ByteView take(std::size_t size) {
    const base::ByteView taken = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  base::ByteView rest() const { return rest_; }
  std::string rest_text() const { return std::string(base::as_text(rest_)); }

  // Zero-filled where there is less.
  template <std::size_t N>
  base::ByteArray<N> array() {
    base::ByteArray<N> bytes{};
    const base::ByteView taken = take(N);
    std::copy(taken.begin(), taken.end(), bytes.begin());
    return bytes;
  }
  std::uint64_t number() { return base::load_le<std::uint64_t>(array<8>().data()); }

 private:
  base::ByteView rest_;
};

}  // namespace coffer::fuzz
