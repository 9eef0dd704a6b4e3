// JSON as a file must hold it that programs of several kinds read alike: no key twice, nothing after the end. Internal
// to crypto/.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>
#include <variant>

namespace coffer::crypto {

using Json = nlohmann::json;

enum class JsonError {
  kSyntax,
  kEndsEarly,  // the beginning of a JSON text, or one filled up with zero bytes
  kDuplicateKey,
  kTooDeep
};

constexpr std::size_t kMaxJsonDepth = 8;

// Never throws but std::bad_alloc. Integers outside 64 bits come out as floating-point numbers.
std::variant<Json, JsonError> parse_strict_json(std::string_view text);

}  // namespace coffer::crypto
