// Result<T>: a value or an errno. The currency of everything below mount/.
//
// Member names follow std::expected, which libstdc++ 12 does not offer in C++20.
#pragma once

#include <cerrno>
#include <optional>
#include <utility>
#include <variant>

#include "base/check.h"

namespace coffer::base {

// A positive errno. There is no "no error" value and no default.
class Errno {
 public:
  explicit constexpr Errno(int code) : code_(code) {
    if (code <= 0 || code >= 4096) check_failed("0 < errno < 4096", __FILE__, __LINE__);
  }
  static Errno last() noexcept { return Errno(errno); }
  constexpr int code() const noexcept { return code_; }
  friend constexpr bool operator==(Errno a, Errno b) noexcept { return a.code_ == b.code_; }

 private:
  int code_;
};

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit on purpose
  Result(Errno error) : state_(std::in_place_index<1>, error) {}         // NOLINT: implicit on purpose

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  T& operator*() & {
    COFFER_CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  const T& operator*() const& {
    COFFER_CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  T&& operator*() && {
    COFFER_CHECK(has_value());
    return std::move(*std::get_if<0>(&state_));
  }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }

  Errno error() const {
    COFFER_CHECK(!has_value());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Errno> state_;
};

struct Unit {};
using Status = Result<Unit>;
inline Status ok() { return Unit{}; }

}  // namespace coffer::base

#define COFFER_CONCAT_INNER(a, b) a##b
#define COFFER_CONCAT(a, b) COFFER_CONCAT_INNER(a, b)

#define COFFER_ASSIGN_OR_RETURN(declaration, expression) \
  COFFER_ASSIGN_OR_RETURN_IMPL(COFFER_CONCAT(coffer_result_, __LINE__), declaration, expression)
#define COFFER_ASSIGN_OR_RETURN_IMPL(result, declaration, expression) \
  auto result = (expression);                                         \
  if (!result) return result.error();                                 \
  declaration = *std::move(result)

#define COFFER_RETURN_IF_ERROR(expression)                                               \
  do {                                                                                   \
    if (auto coffer_status = (expression); !coffer_status) return coffer_status.error(); \
  } while (false)
