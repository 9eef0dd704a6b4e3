// The daemon's log: one line per event, to stderr (foreground) or a file chosen by mount/.
// Lines name ciphertext files and chunk numbers, never plaintext names or secrets.
#pragma once

#include <fmt/format.h>

#include <new>
#include <string_view>
#include <utility>

namespace coffer::base {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Thread-safe. Before log_open() lines go to stderr.
void log_line(LogLevel level, std::string_view line) noexcept;
void log_set_level(LogLevel least) noexcept;
// Appends to `path` from now on (mode 0600). False, with errno set: could not be opened; the old sink stays.
bool log_open(const char* path) noexcept;

// As log_line(): without memory for it the line is lost.
template <class... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  try {
    log_line(level, fmt::format(format, std::forward<Args>(args)...));
  } catch (const std::bad_alloc&) {
    log_line(level, "(no memory for a line of the log)");
  }
}

}  // namespace coffer::base
