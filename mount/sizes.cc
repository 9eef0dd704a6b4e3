#include "mount/sizes.h"

#include <charconv>
#include <system_error>

namespace coffer::mount {

std::optional<std::uint64_t> parse_size(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc()) return std::nullopt;
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (unit.empty()) return number;
  int shift = 0;
  switch (unit.front()) {
    case 'k':
    case 'K':
      shift = 10;
      break;
    case 'm':
    case 'M':
      shift = 20;
      break;
    case 'g':
    case 'G':
      shift = 30;
      break;
    default:
      return std::nullopt;
  }
  unit.remove_prefix(1);
  if (!unit.empty() && unit != "iB" && unit != "B") return std::nullopt;
  if (number > (std::uint64_t{1} << (63 - shift))) return std::nullopt;
  return number << shift;
}

}  // namespace coffer::mount
