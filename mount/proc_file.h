// The beginning of a small file of /proc, read without asking for memory: the threads that do it have nobody to tell
// that there is none, and an exception would end the mount.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <string_view>
#include <utility>

#include "base/unique_fd.h"

namespace coffer::mount {

class ProcFile {
 public:
  // The path is shorter than 64 characters; longer ones are not found.
  template <class... Args>
  explicit ProcFile(fmt::format_string<Args...> path, Args&&... args) {
    std::array<char, 64> name{};
    fmt::format_to_n(name.data(), name.size() - 1, path, std::forward<Args>(args)...);
    const base::UniqueFd file(::open(name.data(), O_RDONLY | O_CLOEXEC));
    const ssize_t got = file.valid() ? ::read(file.get(), text_.data(), text_.size()) : -1;
    if (got > 0) size_ = static_cast<std::size_t>(got);
  }
  // Empty if it cannot be read (another user's under hidepid, a thread that ended).
  std::string_view text() const { return {text_.data(), size_}; }

 private:
  std::array<char, 512> text_;
  std::size_t size_ = 0;
};

}  // namespace coffer::mount
