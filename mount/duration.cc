#include "mount/duration.h"

#include <fmt/format.h>

#include <charconv>

namespace coffer::mount {

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  constexpr std::uint64_t kYear = 366 * 86400;
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || number > kYear) return std::nullopt;
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  std::uint64_t factor = 1;
  if (unit == "m") {
    factor = 60;
  } else if (unit == "h") {
    factor = 3600;
  } else if (unit == "d") {
    factor = 86400;
  } else if (!unit.empty() && unit != "s") {
    return std::nullopt;
  }
  const std::uint64_t seconds = number * factor;
  if (seconds == 0 || seconds > kYear) return std::nullopt;
  return std::chrono::seconds(seconds);
}

std::string describe(std::chrono::seconds duration) {
  const auto seconds = duration.count();
  const auto text = [](auto count, std::string_view unit) {
    return fmt::format("{} {}{}", count, unit, count == 1 ? "" : "s");
  };
  if (seconds % 86400 == 0) return text(seconds / 86400, "day");
  if (seconds % 3600 == 0) return text(seconds / 3600, "hour");
  if (seconds % 60 == 0) return text(seconds / 60, "minute");
  return text(seconds, "second");
}

}  // namespace coffer::mount
