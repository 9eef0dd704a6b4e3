#include "fs/user_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

namespace coffer::fs {
namespace {

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("/._-+=:,@%").find(c) != std::string_view::npos || static_cast<unsigned char>(c) >= 0x80;
}

}  // namespace

std::string errno_text(base::Errno error) { return std::generic_category().message(error.code()); }

UserError system_error(base::Errno error, std::string_view what) {
  UserError result{ExitCode::kOther, fmt::format("{}: {}", what, errno_text(error)), ""};
  switch (error.code()) {
    case ENOSPC:
    case EDQUOT:
      result.code = ExitCode::kNoSpace;
      result.hint = "make room there and try again";
      break;
    case EROFS:
      result.code = ExitCode::kReadOnly;
      break;
    case EACCES:
    case EPERM:
      result.hint = "check who owns it and its permissions (ls -ld)";
      break;
    case EMFILE:
    case ENFILE:
      result.hint = "too many files are open: raise the limit (ulimit -n)";
      break;
    default:
      break;
  }
  return result;
}

UserError write_error(base::Errno error, std::string_view what) {
  UserError result = system_error(error, what);
  if (error.code() == EACCES || error.code() == EPERM) result.code = ExitCode::kReadOnly;
  return result;
}

std::string shell_word(std::string_view word) {
  if (std::any_of(word.begin(), word.end(), is_control)) {
    std::string quoted = "$'";
    for (char c : word) {
      if (is_control(c)) {
        quoted += fmt::format("\\{:03o}", static_cast<unsigned>(c));
      } else {
        if (c == '\'' || c == '\\') quoted += '\\';
        quoted += c;
      }
    }
    return quoted + "'";
  }
  if (!word.empty() && word[0] != '-' && std::all_of(word.begin(), word.end(), is_plain)) return std::string(word);
  std::string quoted = "'";
  for (char c : word) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

std::string printable(std::string_view text) {
  std::string result(text);
  std::replace_if(result.begin(), result.end(), is_control, '?');
  return result;
}

}  // namespace coffer::fs
