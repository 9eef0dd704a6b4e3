// README.txt of every vault: how to open it when this program is long forgotten.
#pragma once

#include <string_view>

namespace coffer::fs {

inline constexpr const char* kReadmeFile = "README.txt";

std::string_view vault_readme();

}  // namespace coffer::fs
