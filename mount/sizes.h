// Sizes as people write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace coffer::mount {

// A number, or one with K, M or G (of 1024, either case; "KiB" and the like will do too). nullopt: none of these, or
// beyond 2^63.
std::optional<std::uint64_t> parse_size(std::string_view text);

}  // namespace coffer::mount
