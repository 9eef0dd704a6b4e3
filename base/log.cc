#include "base/log.h"

#include <fcntl.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>

namespace coffer::base {
namespace {

constexpr const char* kPattern = "%Y-%m-%dT%H:%M:%S.%e%z %l %v";

std::shared_ptr<spdlog::logger> make_logger(spdlog::sink_ptr sink) {
  auto logger = std::make_shared<spdlog::logger>("coffer", std::move(sink));
  logger->set_pattern(kPattern);
  logger->flush_on(spdlog::level::trace);
  return logger;
}

std::shared_ptr<spdlog::logger>& slot() {
  static std::shared_ptr<spdlog::logger> logger = make_logger(std::make_shared<spdlog::sinks::stderr_sink_mt>());
  return logger;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      break;
  }
  return spdlog::level::err;
}

}  // namespace

void log_line(LogLevel level, std::string_view line) noexcept {
  try {
    std::atomic_load(&slot())->log(to_spdlog(level), "{}", line);
  } catch (...) {  // no memory for a log line: the line is lost, the request it speaks of is not
  }
}

void log_set_level(LogLevel least) noexcept { std::atomic_load(&slot())->set_level(to_spdlog(least)); }

bool log_open(const char* path) noexcept {
  // Created here, not by the library, so that the mode is ours.
  int fd = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return false;
  ::close(fd);
  try {
    auto logger = make_logger(std::make_shared<spdlog::sinks::basic_file_sink_mt>(path));
    logger->set_level(std::atomic_load(&slot())->level());
    std::atomic_store(&slot(), std::move(logger));
  } catch (...) {
    errno = EIO;
    return false;
  }
  return true;
}

}  // namespace coffer::base
