#include "mount/daemon.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <memory>

#include "base/log.h"
#include "crypto/keys.h"
#include "crypto/secret.h"
#include "crypto/vault_config.h"
#include "fs/filesystem.h"
#include "fs/user_text.h"
#include "mount/control.h"
#include "mount/duration.h"
#include "mount/idle_watch.h"
#include "mount/kernel_cache.h"
#include "mount/mount_table.h"
#include "mount/sandbox.h"
#include "mount/stop_signals.h"
#include "mount/suites.h"

namespace coffer::mount {
namespace {

using base::LogLevel;
using fs::Done;
using fs::ExitCode;
using fs::UserError;
using nlohmann::json;

constexpr off_t kLogSizeMax = off_t{1} << 20;

// What does not change while the mount lives.
json fixed_facts(const DaemonPlan& plan, const crypto::VaultConfig& config) {
  json facts;
  facts["vault"] = plan.vault_path;
  facts["vault_id"] = crypto::to_hex(config.vault.view());
  facts["mount_point"] = plan.mount_point;
  facts["cipher"] = suite_name(config.suite);
  facts["chunk_size"] = config.chunk_size;
  facts["read_only"] = plan.session.read_only;
  facts["strict"] = plan.strict;
  facts["since"] = crypto::rfc3339_now();
  facts["pid"] = ::getpid();
  facts["idle_seconds"] = plan.idle ? json(plan.idle->count()) : json(nullptr);
  facts["log"] = plan.log_path.empty() ? json(nullptr) : json(plan.log_path);
  facts["warnings"] = plan.warnings;
  return facts;
}

void add_numbers(json& answer, const fs::FilesystemStatus& numbers, const SessionStatus& session) {
  answer["open_files"] = numbers.files_open;
  answer["dirty_files"] = numbers.dirty_files;
  answer["dirty_bytes"] = numbers.dirty_bytes;
  answer["written_out"] = numbers.dirty_files == 0 && numbers.dirty_bytes == 0;
  answer["write_error"] = numbers.write_error ? json(fs::errno_text(*numbers.write_error)) : json(nullptr);
  answer["integrity_events"] = numbers.integrity_events;
  answer["files_moved"] = numbers.files_moved;
  answer["names_unreadable"] = numbers.names_unreadable;
  answer["changes_set_aside"] = numbers.changes_set_aside;
  answer["recent_events"] = numbers.recent_events;
  answer["requests"] = session.requests;
  answer["watched_by"] = numbers.watched ? json("fanotify") : json(nullptr);
  answer["not_watched_because"] = numbers.watched ? json(nullptr) : json(numbers.not_watched_because);
  answer["directories_watched"] = numbers.directories_watched;
  answer["directories_refused"] = numbers.directories_refused;
  answer["kernel_caches_dropped"] = session.kernel_caches_dropped;
}

fs::FilesystemOptions filesystem_options(DaemonPlan& plan, const fs::Unlocked& unlocked, const KernelCache& cache) {
  fs::FilesystemOptions options;
  options.vault = std::move(plan.vault);
  if (plan.state.valid()) options.state = base::UniqueFd(::fcntl(plan.state.get(), F_DUPFD_CLOEXEC, 3));
  options.config = unlocked.config;
  options.keys = &unlocked.keys;
  options.read_only = plan.session.read_only;
  options.strict = plan.strict;
  options.hooks = cache.hooks();
  return options;
}

// A clean unmount as anybody may do it, so that a shell standing in the mount stops it.
bool lock_when_idle(FuseSession& session, Mounter& mounter, std::chrono::seconds idle) {
  const auto top = mount_at(session.mount_point());
  if (!top || !*top || !is_coffer(**top)) return false;  // something is mounted over it: that would go instead
  const base::Status gone = mounter.unmount(/*lazy=*/false);
  if (!gone && gone.error().code() == EBUSY) return false;
  base::log(LogLevel::kInfo, "nobody used the mount for {}: locking", describe(idle));
  if (!gone) session.stop();
  return true;
}

std::unique_ptr<ControlServer> start_control(const DaemonPlan& plan, ControlServer::Status status) {
  if (!plan.state.valid()) return nullptr;
  auto started = ControlServer::start(plan.state, std::move(status));
  if (started) return *std::move(started);
  base::log(LogLevel::kWarning, "no control socket, so `coffer status` cannot ask this mount: {}",
            fs::errno_text(started.error()));
  return nullptr;
}

}  // namespace

Done serve(DaemonPlan plan, fs::Unlocked unlocked, const std::function<void()>& serving) {
  ::signal(SIGPIPE, SIG_IGN);
  // glibc would give each thread an arena of its own: 64 MiB of address space, and what is free in one is of no use to
  // the others. Two, since little is allocated while a request is answered.
  ::mallopt(M_ARENA_MAX, 2);
  // What the daemon makes of its own accord in the vault (pins) the sync client has to read. Files of callers are made
  // under the umask of each (caller_identity.h).
  ::umask(022);
  if (!crypto::locked_memory_available()) {
    plan.warnings.emplace_back("keys may be swapped to disk: the limit of locked memory (ulimit -l) is too low");
    base::log(LogLevel::kWarning, "{}", plan.warnings.back());
  }
  confine_process({plan.vault, plan.state, plan.session.read_only, plan.mount_point});
  StopSignals signals;
  KernelCache cache;
  auto filesystem = fs::Filesystem::open(filesystem_options(plan, unlocked, cache));
  if (!filesystem) return fs::system_error(filesystem.error(), fs::printable(plan.vault_path));
  auto session = FuseSession::mount(**filesystem, cache, *plan.mounter, plan.mount_point, plan.session);
  if (!session) return session.error();
  fs::Filesystem& files = **filesystem;
  FuseSession& mounted = **session;

  const json facts = fixed_facts(plan, unlocked.config);
  auto control = start_control(plan, [&files, &mounted, &facts] {
    json answer = facts;
    add_numbers(answer, files.status(), mounted.status());
    return answer;
  });
  std::unique_ptr<IdleWatch> idle;
  if (plan.idle) {
    idle = std::make_unique<IdleWatch>(
        *plan.idle,
        [&] {
          return Activity{mounted.status().requests, files.status().files_open};
        },
        [&] { return lock_when_idle(mounted, *plan.mounter, *plan.idle); });
  }
  base::log(LogLevel::kInfo, "mounted {} at {} (process {})", plan.vault_path, plan.mount_point, ::getpid());
  Done ended = mounted.run(signals, serving);
  idle.reset();
  if (!ended) base::log(LogLevel::kError, "the mount ended with an error: {}", ended.error().message);
  base::log(LogLevel::kInfo, "locked {}", plan.vault_path);
  if (control) control->finish(ended);
  control.reset();
  session->reset();
  filesystem->reset();
  return ended;
}

std::string prepare_log(base::FdRef state, const std::string& state_path) {
  struct stat attributes {};
  if (::fstatat(state.get(), "log", &attributes, AT_SYMLINK_NOFOLLOW) == 0 && attributes.st_size > kLogSizeMax) {
    ::renameat(state.get(), "log", state.get(), "log.1");
  }
  return state_path + "/log";
}

}  // namespace coffer::mount
