#include "mount/background.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

namespace coffer::mount {
namespace {

using base::UniqueFd;
using fs::Done;
using fs::ExitCode;
using fs::UserError;

// What goes through the pipe: nothing but kReady, or kFailed, the exit code as one byte, message, zero byte, hint.
constexpr char kReady = 'R';
constexpr char kFailed = 'F';

void send_all(int fd, std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t sent = ::write(fd, bytes.data(), bytes.size());
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return;  // nobody waits any more
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string receive_all(int fd) {
  std::string bytes;
  std::array<char, 512> piece{};
  while (true) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return bytes;
    bytes.append(piece.data(), static_cast<std::size_t>(got));
    if (bytes[0] == kReady) return bytes;
  }
}

void leave_terminal() noexcept {
  ::setsid();
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null.valid()) {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null.get(), fd);
  }
  // So that the folder it was started in can be unmounted.
  if (::chdir("/") != 0) return;
}

UserError cannot(std::string_view what, int error) {
  return {.code = ExitCode::kOther, .message = fmt::format("{}: {}", what, std::strerror(error)), .hint = ""};
}

UserError died(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  UserError error;
  error.message = WIFSIGNALED(status)
                      ? fmt::format("the daemon was ended by signal {} before it had mounted", WTERMSIG(status))
                      : fmt::format("the daemon ended with code {} before it had mounted", WEXITSTATUS(status));
  error.hint = "run it with --foreground to see more";
  return error;
}

Done wait_for(pid_t child, int pipe) {
  const std::string report = receive_all(pipe);
  if (!report.empty() && report[0] == kReady) return std::monostate();
  if (report.size() < 2 || report[0] != kFailed) return died(child);
  UserError error;
  error.code = static_cast<ExitCode>(static_cast<unsigned char>(report[1]));
  const std::size_t end = report.find('\0', 2);
  error.message = report.substr(2, end == std::string::npos ? end : end - 2);
  if (end != std::string::npos) error.hint = report.substr(end + 1);
  ::waitpid(child, nullptr, 0);
  return error;
}

[[noreturn]] void be_child(UniqueFd pipe, const std::function<int(ReadyReporter&)>& daemon) noexcept {
  ::signal(SIGPIPE, SIG_IGN);  // the waiting process may be gone
  ReadyReporter reporter(std::move(pipe));
  int code = static_cast<int>(ExitCode::kOther);
  try {
    code = daemon(reporter);
  } catch (const std::exception& e) {
    code = reporter.failed({.code = ExitCode::kOther, .message = e.what(), .hint = ""});
  }
  std::exit(code);
}

}  // namespace

void ReadyReporter::ready() noexcept {
  const base::MutexLock lock(mutex_);
  if (!pipe_.valid()) return;
  leave_terminal();
  send_all(pipe_.get(), {&kReady, 1});
  pipe_.reset();
}

int ReadyReporter::failed(const UserError& error) noexcept {
  const base::MutexLock lock(mutex_);
  const int code = static_cast<int>(error.code);
  if (!pipe_.valid()) return code;
  const std::array<char, 2> head{kFailed, static_cast<char>(code)};
  send_all(pipe_.get(), {head.data(), head.size()});
  send_all(pipe_.get(), {error.message.c_str(), error.message.size() + 1});
  send_all(pipe_.get(), error.hint);
  pipe_.reset();
  return code;
}

Done run_in_background(const std::function<int(ReadyReporter&)>& daemon) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return cannot("cannot make a pipe", errno);
  const UniqueFd from(ends[0]);
  UniqueFd to(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return cannot("cannot start the daemon", errno);
  if (child == 0) be_child(std::move(to), daemon);
  to.reset();
  return wait_for(child, from.get());
}

}  // namespace coffer::mount
