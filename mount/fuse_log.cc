#include "mount/fuse_log.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "base/shortage.h"
#include "mount/fuse_api.h"

namespace coffer::mount {
namespace {

using base::LogLevel;

constexpr std::size_t kLineMax = 4096;

base::Mutex mutex;
std::string line_so_far GUARDED_BY(mutex);
std::string last_line GUARDED_BY(mutex);

// libfuse makes some of its lines out of several calls.
__attribute__((format(printf, 2, 0))) void take(fuse_log_level level, const char* format, va_list arguments) {
  std::array<char, 512> text{};
  std::vsnprintf(text.data(), text.size(), format, arguments);
  // C frames are above.
  base::try_with_memory("no memory for a line of libfuse's log", [&] {
    const base::MutexLock lock(mutex);
    line_so_far += text.data();
    if (!line_so_far.ends_with('\n') && line_so_far.size() < kLineMax) return;
    while (line_so_far.ends_with('\n')) line_so_far.pop_back();
    base::log_line(level <= FUSE_LOG_ERR ? LogLevel::kWarning : LogLevel::kDebug, line_so_far);
    last_line = std::exchange(line_so_far, "");
  });
}

}  // namespace

void take_fuse_log() { fuse_set_log_func(&take); }

std::string last_fuse_log() {
  const base::MutexLock lock(mutex);
  return last_line;
}

}  // namespace coffer::mount
