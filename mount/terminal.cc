#include "mount/terminal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <optional>

#include "fs/user_text.h"

namespace coffer::mount {
namespace {

using fs::ExitCode;
using fs::Outcome;
using fs::UserError;

constexpr std::size_t kLongestLine = 4096;  // the kernel gives no longer line either

// The signals that would leave the terminal without echo.
constexpr std::array<int, 7> kCaught{SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU};
volatile std::sig_atomic_t caught = 0;

void remember_signal(int number) { caught = number; }

// Catches the signals above while it lives; a read is interrupted by them (no SA_RESTART).
class SignalsCaught {
 public:
  SignalsCaught() {
    caught = 0;
    struct sigaction action {};
    action.sa_handler = remember_signal;
    for (std::size_t i = 0; i < kCaught.size(); ++i) ::sigaction(kCaught[i], &action, &before_[i]);
  }
  ~SignalsCaught() {
    for (std::size_t i = 0; i < kCaught.size(); ++i) ::sigaction(kCaught[i], &before_[i], nullptr);
  }
  SignalsCaught(const SignalsCaught&) = delete;
  SignalsCaught& operator=(const SignalsCaught&) = delete;

 private:
  std::array<struct sigaction, kCaught.size()> before_{};
};

// Turns echo off while it lives. Keeps the newline's, so that the cursor moves on.
class EchoOff {
 public:
  explicit EchoOff(int fd) : fd_(fd) {
    if (::tcgetattr(fd, &before_) != 0) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    quiet.c_lflag |= ECHONL | ICANON | ISIG;
    changed_ = ::tcsetattr(fd, TCSAFLUSH, &quiet) == 0;
  }
  ~EchoOff() {
    if (changed_) ::tcsetattr(fd_, TCSAFLUSH, &before_);
  }
  EchoOff(const EchoOff&) = delete;
  EchoOff& operator=(const EchoOff&) = delete;

 private:
  int fd_;
  termios before_{};
  bool changed_ = false;
};

enum class LineEnd { kLine, kEndOfInput, kTooLong, kSignal, kError };

// Byte by byte into `line`, so that nothing stays behind in a buffer of the C library.
LineEnd read_line(int fd, base::ByteSpan line, std::size_t& length) {
  for (length = 0;;) {
    char c;
    const ssize_t n = ::read(fd, &c, 1);
    if (n < 0) return errno == EINTR ? LineEnd::kSignal : LineEnd::kError;
    if (n == 0) return length > 0 ? LineEnd::kLine : LineEnd::kEndOfInput;
    if (c == '\n') return LineEnd::kLine;
    if (length == line.size()) return LineEnd::kTooLong;
    line[length++] = static_cast<base::Byte>(c);
  }
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

UserError interrupted() { return {ExitCode::kInterrupted, "interrupted", ""}; }

}  // namespace

Outcome<Terminal> Terminal::open(std::string_view hint) {
  base::UniqueFd fd(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (fd.valid()) return Terminal(std::move(fd));
  return UserError{ExitCode::kNoSecret, "there is no terminal to ask on", std::string(hint)};
}

Outcome<crypto::SecretBuffer> Terminal::ask_secret(const std::string& prompt) {
  crypto::SecretBuffer line(kLongestLine);
  for (;;) {
    std::size_t length = 0;
    int signal = 0;
    LineEnd end;
    {
      SignalsCaught catcher;
      EchoOff quiet(fd_.get());
      write_all(fd_.get(), prompt);
      end = read_line(fd_.get(), line.span(), length);
      signal = caught;
    }
    if (signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU) {
      ::raise(signal);  // stops here, echo restored; the question is asked again once the shell lets us go on
      continue;
    }
    if (signal != 0) {
      write_all(fd_.get(), "\n");
      return interrupted();
    }
    if (end == LineEnd::kSignal) continue;  // one of no concern (SIGWINCH)
    if (end == LineEnd::kEndOfInput || end == LineEnd::kError) {
      write_all(fd_.get(), "\n");
      return interrupted();
    }
    if (end == LineEnd::kTooLong) {
      return UserError{ExitCode::kNoSecret, fmt::format("longer than {} bytes", kLongestLine), "use a file instead"};
    }
    line.shrink(length);
    return line;
  }
}

Outcome<std::string> Terminal::ask_line(const std::string& prompt) {
  std::array<base::Byte, 256> line;
  std::size_t length = 0;
  write_all(fd_.get(), prompt);
  if (read_line(fd_.get(), line, length) != LineEnd::kLine) return interrupted();
  return std::string(base::as_text(base::ByteView(line).first(length)));
}

void Terminal::say(std::string_view line) { write_all(fd_.get(), fmt::format("{}\n", line)); }

Outcome<std::monostate> print(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {  // somebody made the stream non-blocking
      pollfd writable{STDOUT_FILENO, POLLOUT, 0};
      ::poll(&writable, 1, -1);
      continue;
    }
    if (n < 0 && errno == EPIPE) {
      // Our parent ignores SIGPIPE. Die of it all the same: the reader has had enough, and there is nothing to say.
      ::signal(SIGPIPE, SIG_DFL);
      ::raise(SIGPIPE);
    }
    if (n < 0) return fs::system_error(base::Errno::last(), "standard output");
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return std::monostate{};
}

void note(std::string_view line) { write_all(STDERR_FILENO, fmt::format("{}\n", line)); }

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

Progress::Progress() : on_terminal_(is_terminal(STDERR_FILENO)), last_(std::chrono::steady_clock::now()) {}

Progress::~Progress() {
  if (shown_ && on_terminal_) write_all(STDERR_FILENO, "\n");
}

void Progress::show(std::string_view text) {
  constexpr std::chrono::seconds kBetweenLines{10};  // where a log is read, not watched
  const auto now = std::chrono::steady_clock::now();
  if (on_terminal_) {
    write_all(STDERR_FILENO, fmt::format("\r\033[K{}", text));
  } else if (!shown_ || now - last_ >= kBetweenLines) {
    last_ = now;
    note(text);
  } else {
    return;
  }
  shown_ = true;
}

}  // namespace coffer::mount
