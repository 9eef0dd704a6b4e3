#include "mount/secret_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "fs/user_text.h"
#include "mount/terminal.h"

extern char** environ;

namespace coffer::mount {
namespace {

using base::Errno;
using base::UniqueFd;
using crypto::SecretBuffer;
using fs::ExitCode;
using fs::Outcome;
using fs::UserError;

UserError no_secret(std::string message, std::string hint = "") {
  return {ExitCode::kNoSecret, std::move(message), std::move(hint)};
}

void warn_if_readable_by_others(int fd, const std::string& path) {
  struct stat attributes {};
  if (::fstat(fd, &attributes) != 0 || !S_ISREG(attributes.st_mode) || (attributes.st_mode & 077) == 0) return;
  note(fmt::format("coffer: warning: other users may read {}; make it yours alone with: chmod 600 {}",
                   fs::printable(path), fs::shell_word(path)));
}

// Starts `/bin/sh -c command` with its standard output going to `out`. All else that we have open is close-on-exec.
base::Result<pid_t> spawn_shell(const std::string& command, base::FdRef out) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, out.get(), STDOUT_FILENO);
  std::string shell = "/bin/sh", option = "-c", text = command;
  const std::array<char*, 4> arguments{shell.data(), option.data(), text.data(), nullptr};
  pid_t pid = 0;
  const int failed = ::posix_spawn(&pid, shell.c_str(), &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return Errno(failed);
  return pid;
}

}  // namespace

Outcome<SecretBuffer> read_secret(base::FdRef fd, const std::string& what) {
  SecretBuffer secret(4096);
  std::size_t length = 0;
  for (;;) {
    const ssize_t n = ::read(fd.get(), secret.span().data() + length, secret.size() - length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return no_secret(fmt::format("{} cannot be read: {}", what, fs::errno_text(Errno::last())));
    if (n == 0) break;
    length += static_cast<std::size_t>(n);
    if (length > kSecretSizeMax) {
      return no_secret(fmt::format("{} holds more than {}", what, human_bytes(kSecretSizeMax)), "is it the right one?");
    }
    if (length == secret.size()) {
      SecretBuffer larger(2 * secret.size());
      std::copy_n(secret.view().data(), length, larger.span().data());
      secret = std::move(larger);
    }
  }
  secret.shrink(length);
  return secret;
}

Outcome<SecretBuffer> read_secret_file(const std::string& path) {
  const std::string what = fs::printable(path);
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd.valid()) {
    return no_secret(fmt::format("{} cannot be opened: {}", what, fs::errno_text(Errno::last())),
                     "check the path and who may read it");
  }
  warn_if_readable_by_others(fd.get(), path);
  return read_secret(fd, what);
}

Outcome<SecretBuffer> read_secret_command(const std::string& command) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fs::system_error(Errno::last(), "a pipe cannot be made");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  base::Result<pid_t> pid = spawn_shell(command, write_end);
  if (!pid) return no_secret(fmt::format("/bin/sh cannot be started: {}", fs::errno_text(pid.error())));
  write_end.reset();
  Outcome<SecretBuffer> secret = read_secret(read_end, "the output of the password command");
  read_end.reset();  // a command that writes on is ended by SIGPIPE instead of waiting for us for ever
  int status = 0;
  while (::waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return secret;
  const std::string how =
      WIFEXITED(status) ? fmt::format("exit code {}", WEXITSTATUS(status)) : fmt::format("signal {}", WTERMSIG(status));
  if (!secret) return secret;  // too long: the signal was our doing
  return no_secret(fmt::format("the password command failed ({})", how), "run it by hand and see what it says");
}

Outcome<SecretBuffer> to_password(SecretBuffer secret, const std::string& what) {
  const base::ByteView bytes = secret.view();
  if (!bytes.empty() && bytes.back() == '\n') secret.shrink(bytes.size() - 1);
  if (secret.size() == 0) {
    return no_secret(fmt::format("the password from {} is empty", what), "an empty password is never accepted");
  }
  return secret;
}

}  // namespace coffer::mount
