#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <optional>
#include <thread>

#include "fs/user_text.h"
#include "fs/vault_folder.h"
#include "mount/commands.h"
#include "mount/control.h"
#include "mount/processes.h"
#include "mount/running.h"
#include "mount/terminal.h"

namespace coffer::mount {
namespace {

using base::Result;
using fs::Done;
using fs::ExitCode;
using fs::Outcome;
using fs::UserError;
using nlohmann::json;
using namespace std::chrono_literals;

constexpr auto kLastWordToEnd = 10s;
constexpr auto kBusyWithItself = 5s;

struct Options {
  std::string path;
  bool all = false;
  bool force = false;
};

UserError busy(const RunningMount& mount) {
  const std::string shown = fs::printable(mount.entry.mount_point);
  const std::vector<Holder> holders = holders_of(mount.entry.mount_point);
  const std::string who = holders.empty() ? ::geteuid() == 0
                                                ? "something in the kernel uses it (a mount inside it, swap, "
                                                  "a loop device, or a process in another mount namespace)"
                                                : "a process of another user uses it"
                                          : describe(holders);
  return {
      ExitCode::kBusy, fmt::format("{} is busy: {}", shown, who),
      fmt::format("end that, or leave the folder there, and lock again; coffer lock --force {} takes it away now, but "
                  "the vault stays unlocked until they end",
                  fs::shell_word(mount.entry.mount_point))};
}

Done take_down(const RunningMount& mount, bool force) {
  const std::string& place = mount.entry.mount_point;
  if (!is_mount_at(place, mount.entry.device)) {  // or that one would go instead
    return UserError{ExitCode::kBusy, fmt::format("something else is mounted over {}", fs::printable(place)),
                     fmt::format("take that away first; findmnt {} shows it", fs::shell_word(place))};
  }
  base::Status gone = unmount(place, force || mount.stale);
  // Nobody is there: only our own process, which has the kernel's pages written back (Mounter::write_back).
  const auto patience_ends = std::chrono::steady_clock::now() + kBusyWithItself;
  while (!gone && gone.error().code() == EBUSY && std::chrono::steady_clock::now() < patience_ends &&
         holders_of(place).empty()) {
    std::this_thread::sleep_for(50ms);
    gone = unmount(place, force || mount.stale);
  }
  if (gone) return std::monostate{};
  switch (gone.error().code()) {
    case EBUSY:
      return busy(mount);
    case EPERM:
    case EACCES:
      return UserError{ExitCode::kOther, fmt::format("{} is another user's mount", fs::printable(place)),
                       fmt::format("as that user or as root: coffer lock {}", fs::shell_word(place))};
    case EINVAL:
      return UserError{ExitCode::kNotMounted, fmt::format("{} is not mounted any more", fs::printable(place)), ""};
    case ENOENT:
      return UserError{ExitCode::kNoFuse, "there is no fusermount3, which unmounts for users other than root",
                       "as root: apt-get install fuse3"};
    default:
      return fs::system_error(gone.error(), fmt::format("{} cannot be unmounted", fs::printable(place)));
  }
}

std::string how_much_is_left(const std::string& state_path) {
  Result<ControlClient> client = ControlClient::connect(state_path);
  if (!client || !client->send({{"request", "status"}})) return "";
  Result<json> numbers = client->receive(1s);
  if (!numbers) return "";
  return fmt::format(" ({} files, {} to go)", number_of(*numbers, "dirty_files"),
                     human_bytes(number_of(*numbers, "dirty_bytes")));
}

bool is_mounted(const std::string& vault) {
  Result<std::vector<MountEntry>> mounts = coffer_mounts();
  return mounts && std::any_of(mounts->begin(), mounts->end(), [&](const MountEntry& m) { return m.source == vault; });
}

// The daemon holds the vault's lock until it has written everything. For daemons that cannot be asked.
Done wait_for_vault(const RunningMount& mount) {
  Outcome<fs::VaultFolder> vault = fs::VaultFolder::open(mount.entry.source);
  if (!vault) return std::monostate{};  // not ours to see: nothing to wait on
  std::optional<Progress> progress;
  while (true) {
    Outcome<base::UniqueFd> lock = vault->lock_for_mount(1000);
    if (lock || lock.error().code != ExitCode::kBusy) return std::monostate{};
    if (is_mounted(mount.entry.source)) return std::monostate{};  // again, by somebody else: that one is not ours
    if (!progress) progress.emplace();
    progress->show(fmt::format("writing out {} ...", fs::printable(mount.entry.source)));
  }
}

Done wait_for_end(const RunningMount& mount, ControlClient& daemon) {
  std::optional<Progress> progress;
  while (true) {
    Result<json> answer = daemon.receive(1s);
    if (answer) return parse_end(*answer);
    if (answer.error().code() != ETIMEDOUT) {
      progress.reset();
      note(
          "coffer: warning: the daemon ended without a word; what it had not written yet is written at the next mount");
      return std::monostate{};
    }
    if (!progress) progress.emplace();
    progress->show(
        fmt::format("writing out {}{} ...", fs::printable(mount.entry.source), how_much_is_left(mount.state_path)));
  }
}

// Whoever sees "locked" may take the disk away: the daemon has closed its files then.
base::UniqueFd daemon_process(const RunningMount& mount) {
  if (!mount.status) return base::UniqueFd();
  const std::uint64_t pid = number_of(*mount.status, "pid");
  const bool possible = pid > 0 && pid <= static_cast<std::uint64_t>(std::numeric_limits<pid_t>::max());
  return possible ? watch_process(static_cast<pid_t>(pid)) : base::UniqueFd();
}

Done lock_one(const RunningMount& mount, bool force) {
  // The line to the daemon is open before the mount goes, so that its last word is not missed.
  std::optional<ControlClient> daemon;
  if (!mount.state_path.empty()) {
    Result<ControlClient> client = ControlClient::connect(mount.state_path);
    if (client && client->send({{"request", "await_end"}})) daemon = *std::move(client);
  }
  const base::UniqueFd process = daemon_process(mount);
  const std::vector<Holder> holders = force ? holders_of(mount.entry.mount_point) : std::vector<Holder>();
  if (Done down = take_down(mount, force); !down) return down;
  const std::string shown = fs::printable(mount.entry.mount_point);
  if (mount.stale) return print(fmt::format("took away the dead mount at {}\n", shown));
  if (force && !holders.empty()) {
    return print(fmt::format("took {} away; the vault is locked when these end: {}\n", shown, describe(holders)));
  }
  Done ended = daemon ? wait_for_end(mount, *daemon) : wait_for_vault(mount);
  if (!ended) return ended;
  if (process.valid()) (void)has_ended(process, kLastWordToEnd);
  return print(fmt::format("locked {}\n", shown));
}

void show_error(const UserError& error) {
  note("coffer: " + error.message);
  if (!error.hint.empty()) note("hint: " + error.hint);
}

Done lock_all(bool force) {
  Result<std::vector<RunningMount>> mounts = running_mounts();
  if (!mounts) return fs::system_error(mounts.error(), "the mount table cannot be read");
  if (mounts->empty()) return print("nothing is mounted\n");
  std::optional<UserError> failed;
  // The last first: one may lie inside another.
  for (auto mount = mounts->rbegin(); mount != mounts->rend(); ++mount) {
    Done done = lock_one(*mount, force);
    if (done) continue;
    if (failed) show_error(*failed);
    failed = done.error();
  }
  if (failed) return *failed;
  return std::monostate{};
}

Done run(const Options& options) {
  if (options.all) return lock_all(options.force);
  Result<std::vector<RunningMount>> mounts = running_mounts();
  if (!mounts) return fs::system_error(mounts.error(), "the mount table cannot be read");
  const RunningMount* mount = find_mount(*mounts, options.path);
  const std::string wanted = absolute_path(options.path);
  if (mount == nullptr) {
    return UserError{ExitCode::kNotMounted, fmt::format("{} is not a mount of Coffer", fs::printable(options.path)),
                     "coffer status shows what is mounted"};
  }
  if (wanted != mount->entry.mount_point && wanted != mount->entry.source) {
    return UserError{ExitCode::kNotMounted,
                     fmt::format("{} is not a mount point; it lies in the one at {}", fs::printable(options.path),
                                 fs::printable(mount->entry.mount_point)),
                     fmt::format("to lock that: coffer lock {}", fs::shell_word(mount->entry.mount_point))};
  }
  return lock_one(*mount, options.force);
}

}  // namespace

void add_lock_command(CLI::App& program, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      program.add_subcommand("lock", "Unmount: waits until everything is written out, then the vault is closed");
  command->alias("unmount");
  auto* path = command->add_option("MOUNTPOINT", options->path, "Where it is mounted; the vault's folder will do too");
  auto* all = command->add_flag("--all", options->all, "Everything that is mounted")->excludes(path);
  command->add_flag("--force", options->force,
                    "Take the mount away though programs use it; the vault is locked once they end");
  command->footer("Example:\n  coffer lock ~/Coffer");
  command->callback([options, path, all, &chosen] {
    if (path->count() + all->count() == 0) throw CLI::RequiredError("MOUNTPOINT or --all");
    chosen = [options] { return run(*options); };
  });
}

}  // namespace coffer::mount
