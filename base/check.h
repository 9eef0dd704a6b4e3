// CHECK: an invariant that, broken, would write wrong ciphertext, reuse a nonce or touch freed state.
// Always on. Never for anything that came from disk, the kernel or a user: such things are values.
#pragma once

namespace coffer::base {
[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;
}  // namespace coffer::base

#define COFFER_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::coffer::base::check_failed(#condition, __FILE__, __LINE__))
