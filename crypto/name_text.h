// What file names are made of as text: letter case and kind suffixes. Internal to crypto/.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "crypto/types.h"

namespace coffer::crypto {

inline std::string fold_case(std::string_view text) {  // A-Z alone, whatever the locale
  std::string folded(text);
  for (char& c : folded) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return folded;
}

// FORMAT.md 5.1: digits outside the base32 alphabet.
constexpr char kSymlinkSuffix = '8';
constexpr char kSpecialSuffix = '9';

// nullopt: no kind suffix.
constexpr std::optional<Kind> kind_of_suffix(char c) noexcept {
  if (c == kSymlinkSuffix) return Kind::kSymlink;
  if (c == kSpecialSuffix) return Kind::kSpecial;
  return std::nullopt;
}

// A name without its suffix, and the kind that the suffix gave.
struct KindSplit {
  std::string_view stem;
  Kind kind;
};
constexpr KindSplit split_kind(std::string_view name) noexcept {
  const std::optional<Kind> kind = name.empty() ? std::nullopt : kind_of_suffix(name.back());
  if (!kind) return {name, Kind::kFileOrDirectory};
  name.remove_suffix(1);
  return {name, *kind};
}

}  // namespace coffer::crypto
