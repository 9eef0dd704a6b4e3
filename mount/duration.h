// Lengths of time as people write them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace coffer::mount {

// "90s", "15m", "2h", "1d", or a plain number of seconds; at least one second, at most a year. nullopt: none of these.
std::optional<std::chrono::seconds> parse_duration(std::string_view text);
// "15 minutes", "90 seconds".
std::string describe(std::chrono::seconds duration);

}  // namespace coffer::mount
