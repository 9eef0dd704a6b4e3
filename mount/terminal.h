// The person at the terminal: questions without echo, progress, plain output.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "crypto/secret.h"
#include "fs/user_error.h"

namespace coffer::mount {

// The controlling terminal, whatever the standard streams are. Move-only.
class Terminal {
 public:
  // Errors: kNoSecret (there is none), with `hint` as the hint.
  static fs::Outcome<Terminal> open(std::string_view hint);

  // One line, without its newline, typed without echo. The echo comes back whatever happens, also when a signal ends or
  // stops the program meanwhile. Errors: kInterrupted (Ctrl-C, Ctrl-D), kNoSecret (too long).
  fs::Outcome<crypto::SecretBuffer> ask_secret(const std::string& prompt);
  // One line with echo.
  fs::Outcome<std::string> ask_line(const std::string& prompt);
  // A line of text for the person only (not for a file that output goes to).
  void say(std::string_view line);

 private:
  explicit Terminal(base::UniqueFd fd) : fd_(std::move(fd)) {}
  base::UniqueFd fd_;
};

// Text to standard output, all of it. A reader that has gone ends the program as it ends any other (SIGPIPE).
// Errors: kNoSpace, kOther.
fs::Outcome<std::monostate> print(std::string_view text);
// A line to standard error. Lines for people, which no script should need.
void note(std::string_view line);

bool is_terminal(int fd);

// "512 B", "3.1 MiB".
std::string human_bytes(std::uint64_t bytes);

// How far something has come, on standard error: one line that is rewritten on a terminal, else a line now and then.
class Progress {
 public:
  Progress();
  ~Progress();  // ends the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(std::string_view text);

 private:
  bool on_terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace coffer::mount
