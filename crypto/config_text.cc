// The texts that coffer.json holds for people: times and labels.
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "crypto/strict_json.h"
#include "crypto/vault_config.h"
#include "crypto/vault_config_internal.h"

namespace coffer::crypto {
namespace {

constexpr std::size_t kMaxLabel = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_control(char c) { return (c >= '\0' && c < ' ') || c == '\x7f'; }

int two_digits(std::string_view text, std::size_t at) { return (text[at] - '0') * 10 + (text[at + 1] - '0'); }

bool is_in(int value, int least, int most) { return value >= least && value <= most; }

}  // namespace

// 2026-11-22T10:15:00Z, with a fraction of the second or without. A leap second is one.
bool is_rfc3339_utc(std::string_view text) {
  constexpr std::string_view kPattern = "dddd-dd-ddTdd:dd:dd";
  if (text.size() <= kPattern.size() || text.back() != 'Z') return false;
  for (std::size_t i = 0; i < kPattern.size(); ++i) {
    if (kPattern[i] == 'd' ? !is_digit(text[i]) : text[i] != kPattern[i]) return false;
  }
  const std::string_view fraction = text.substr(kPattern.size(), text.size() - kPattern.size() - 1);
  if (!fraction.empty()) {
    const bool digits = std::all_of(fraction.begin() + 1, fraction.end(), is_digit);
    if (fraction.front() != '.' || !is_in(static_cast<int>(fraction.size()), 2, 10) || !digits) return false;
  }
  return is_in(two_digits(text, 5), 1, 12) && is_in(two_digits(text, 8), 1, 31) && is_in(two_digits(text, 11), 0, 23) &&
         is_in(two_digits(text, 14), 0, 59) && is_in(two_digits(text, 17), 0, 60);
}

std::string rfc3339_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec);
}

bool is_slot_label(std::string_view label) {
  if (label.size() > kMaxLabel || std::any_of(label.begin(), label.end(), is_control)) return false;
  // Well-formed UTF-8 is what the JSON library writes without having to replace anything.
  const std::string quoted = Json(label).dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::variant<Json, JsonError> read = parse_strict_json(quoted);
  const Json* value = std::get_if<Json>(&read);
  return value != nullptr && *value == Json(label);
}

}  // namespace coffer::crypto
