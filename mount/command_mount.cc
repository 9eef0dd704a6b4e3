#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "fs/user_text.h"
#include "mount/background.h"
#include "mount/commands.h"
#include "mount/daemon.h"
#include "mount/duration.h"
#include "mount/mount_checks.h"
#include "mount/secrets.h"
#include "mount/terminal.h"

namespace coffer::mount {
namespace {

using fs::Done;
using fs::ExitCode;
using fs::Outcome;
using fs::UserError;

constexpr std::chrono::seconds kPatience{10};  // for the daemon of a mount that is gone already

struct Options {
  std::string vault;
  std::string mount_point;
  std::string idle;
  std::vector<std::string> fuse_options;  // of -o, as given
  bool foreground = false;
  bool read_only = false;
  bool strict = false;
  bool allow_other = false;
  SecretOptions secret;
};

// "-o ro,noexec -o allow_other": what has an option of its own here is that option, the rest goes to the kernel.
SessionOptions session_options(const Options& options) {
  SessionOptions session;
  session.read_only = options.read_only;
  session.allow_other = options.allow_other;
  for (std::string_view rest : options.fuse_options) {
    while (!rest.empty()) {
      const std::string_view option = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(option.size() + 1, rest.size()));
      if (option == "ro") {
        session.read_only = true;
      } else if (option == "allow_other") {
        session.allow_other = true;
      } else if (option == "allow_root") {
        session.allow_root = true;
      } else if (!option.empty() && option != "rw") {
        session.fuse_options.emplace_back(option);
      }
    }
  }
  // As root's mounts of disks do: the permissions of each file decide who may do what.
  if (::geteuid() == 0 && !session.allow_root) session.allow_other = true;
  return session;
}

// Local state, or a warning that says what goes missing without it.
void open_state(const fs::VaultFolder& vault, DaemonPlan& plan) {
  Outcome<base::UniqueFd> state = vault.open_state();
  if (state) {
    plan.state = *std::move(state);
    plan.state_path = vault.state_path();
    return;
  }
  plan.warnings.push_back(fmt::format(
      "no local state ({}): after a crash, writes that were under way may be lost; an older coffer.json or older files "
      "put in the vault's place are not noticed; there is no log, and coffer status shows less",
      state.error().message));
  note(fmt::format("coffer: warning: {}", plan.warnings.back()));
  if (!state.error().hint.empty()) note(fmt::format("hint: {}", state.error().hint));
}

std::string mounted_message(const DaemonPlan& plan) {
  return fmt::format("mounted {} at {}{}\nlock it with: coffer lock {}", fs::printable(plan.vault_path),
                     fs::printable(plan.mount_point), plan.session.read_only ? ", read-only" : "",
                     fs::shell_word(plan.mount_point));
}

Done serve_in_foreground(DaemonPlan plan, fs::Unlocked unlocked) {
  const std::string message = mounted_message(plan);
  // Not to standard output: a reader that had gone away would end the mount.
  return serve(std::move(plan), std::move(unlocked), [&message] { note(message); });
}

Done serve_in_background(DaemonPlan plan, fs::Unlocked unlocked) {
  const std::string message = mounted_message(plan);
  if (plan.state.valid()) plan.log_path = prepare_log(plan.state, plan.state_path);
  Done mounted = run_in_background([&plan, &unlocked](ReadyReporter& reporter) {
    crypto::relock_secrets();
    if (!plan.log_path.empty() && !base::log_open(plan.log_path.c_str())) {
      plan.warnings.push_back(
          fmt::format("there is no log: {}: {}", plan.log_path, fs::errno_text(base::Errno::last())));
      plan.log_path.clear();
    }
    Done ended = serve(std::move(plan), std::move(unlocked), [&reporter] { reporter.ready(); });
    return ended ? 0 : reporter.failed(ended.error());
  });
  if (!mounted) return mounted;
  return print(message + "\n");
}

Done run(const Options& options) {
  DaemonPlan plan;
  if (!options.idle.empty()) {
    plan.idle = parse_duration(options.idle);
    if (!plan.idle) {
      return UserError{ExitCode::kUsage, fmt::format("--idle {} is no length of time", options.idle),
                       "write it like 90s, 15m or 2h"};
    }
  }
  plan.session = session_options(options);
  plan.strict = options.strict;

  Outcome<fs::VaultFolder> vault = fs::VaultFolder::open(options.vault);
  if (!vault) return vault.error();
  if (Done fuse = check_fuse(); !fuse) return fuse;
  if (plan.session.allow_other || plan.session.allow_root) {
    if (Done allowed = check_others_allowed(); !allowed) return allowed;
  }
  Outcome<std::string> mount_point = check_mount_point(*vault, options.mount_point);
  if (!mount_point) return mount_point.error();
  if (!plan.session.read_only) {
    if (Done writable = check_writable(*vault); !writable) return writable;
  }
  plan.session.source = vault->path();
  plan.mount_point = *std::move(mount_point);
  // Before anything secret is asked for.
  auto mounter = start_mounter(plan.mount_point, plan.session);
  if (!mounter) return fs::system_error(mounter.error(), "the process that mounts cannot be started");
  plan.mounter = *std::move(mounter);
  Outcome<base::UniqueFd> lock = take_vault(*vault, kPatience);
  if (!lock) return lock.error();
  Outcome<UnlockedBy> unlocked = unlock(*vault, options.secret);
  if (!unlocked) return unlocked.error();

  plan.vault_path = vault->path();
  plan.lock = *std::move(lock);
  plan.vault = base::UniqueFd(::fcntl(vault->fd().get(), F_DUPFD_CLOEXEC, 3));
  if (!plan.vault.valid()) return fs::system_error(base::Errno::last(), plan.vault_path);
  open_state(*vault, plan);
  return options.foreground ? serve_in_foreground(std::move(plan), std::move(unlocked->unlocked))
                            : serve_in_background(std::move(plan), std::move(unlocked->unlocked));
}

}  // namespace

void add_mount_command(CLI::App& program, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("mount", "Unlock a vault; goes to the background once the mount answers");
  command->add_option("VAULT", options->vault, "The vault's folder")->required();
  command->add_option("MOUNTPOINT", options->mount_point, "An empty folder, where the plain files appear")->required();
  command->add_flag("-f,--foreground", options->foreground, "Stay in the foreground, with the log on standard error");
  command->add_flag("--read-only", options->read_only, "Change nothing");
  command->add_flag("--strict", options->strict, "Refuse to read files that were moved within the vault from outside");
  command->add_option("--idle", options->idle, "Lock after this long without use and without open files (15m, 2h)")
      ->type_name("TIME");
  command->add_flag("--allow-other", options->allow_other,
                    "Let other users in, as far as each file's permissions do (default for root)");
  command->add_option("-o", options->fuse_options, "Options of the mount, as mount(8) takes them (ro, noexec, ...)")
      ->type_name("OPTION,...")
      ->allow_extra_args(false);  // or it would take the vault for another one
  add_secret_options(*command, options->secret);
  command->footer(
      "Example:\n  coffer mount ~/Dropbox/vault ~/Coffer\n  coffer mount --idle 15m --password-command 'pass show "
      "coffer' "
      "~/Dropbox/vault ~/Coffer");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace coffer::mount
