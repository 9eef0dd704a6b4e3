// landlock(7) by its system calls: Debian 12 has neither a library for it nor the constants of later versions.
#include "mount/sandbox.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/log.h"
#include "mount/hardening.h"

namespace coffer::mount {
namespace {

using base::FdRef;
using base::LogLevel;
using base::UniqueFd;

// Documentation/userspace-api/landlock.rst; numbers of include/uapi/linux/landlock.h. The same on all architectures.
constexpr long kCreateRuleset = 444;
constexpr long kAddRule = 445;
constexpr long kRestrictSelf = 446;
constexpr unsigned kAskVersion = 1;
constexpr int kPathBeneath = 1;

constexpr std::uint64_t kExecute = 1 << 0;
constexpr std::uint64_t kWriteFile = 1 << 1;
constexpr std::uint64_t kReadFile = 1 << 2;
constexpr std::uint64_t kReadDir = 1 << 3;
constexpr std::uint64_t kRemoveDir = 1 << 4;
constexpr std::uint64_t kRemoveFile = 1 << 5;
constexpr std::uint64_t kMakeDir = 1 << 7;
constexpr std::uint64_t kMakeReg = 1 << 8;
constexpr std::uint64_t kMakeSock = 1 << 9;
constexpr std::uint64_t kRefer = 1 << 13;     // version 2: renames and links between folders
constexpr std::uint64_t kTruncate = 1 << 14;  // version 3
constexpr std::uint64_t kIoctlDev = 1 << 15;  // version 5
constexpr std::uint64_t kAllOfVersion2 = (1 << 14) - 1;

struct RulesetAttributes {
  std::uint64_t files = 0;
  std::uint64_t network = 0;  // version 4
  std::uint64_t scoped = 0;   // version 6
};

struct PathBeneath {
  std::uint64_t allowed;
  std::int32_t folder;
} __attribute__((packed));

// Everything that the kernel's version can forbid. (What it does not know of has to be left zero.)
RulesetAttributes all_of(long version) {
  RulesetAttributes all;
  all.files = kAllOfVersion2;
  if (version >= 3) all.files |= kTruncate;
  if (version >= 4) all.network = 0b11;  // TCP: bind, connect
  if (version >= 5) all.files |= kIoctlDev;
  if (version >= 6) all.scoped = 0b11;  // abstract sockets of, and signals to, processes outside
  if (kSanitized) all.files &= ~(kExecute | kReadFile | kReadDir);
  return all;
}

class Ruleset {
 public:
  explicit Ruleset(long version) : all_(all_of(version)) {
    fd_ = UniqueFd(static_cast<int>(::syscall(kCreateRuleset, &all_, sizeof all_, 0)));
  }

  bool is_valid() const { return fd_.valid(); }

  bool allow(FdRef what, std::uint64_t rights) {
    const PathBeneath rule{rights & all_.files, what.get()};
    return rule.allowed == 0 || ::syscall(kAddRule, fd_.get(), kPathBeneath, &rule, 0) == 0;
  }
  // What is not there need not be allowed.
  bool allow(const std::string& path, std::uint64_t rights) {
    const UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
    return fd.valid() ? allow(FdRef(fd), rights) : errno == ENOENT;
  }

  bool enforce() const { return ::syscall(kRestrictSelf, fd_.get(), 0) == 0; }

 private:
  const RulesetAttributes all_;
  UniqueFd fd_;
};

bool allow_all_that_is_needed(Ruleset& rules, const SandboxPlan& plan) {
  constexpr std::uint64_t kRead = kReadFile | kReadDir;
  constexpr std::uint64_t kChange = kWriteFile | kTruncate | kMakeReg | kRemoveFile;
  // Links and special files of the mount are ordinary files in the vault.
  constexpr std::uint64_t kChangeTree = kChange | kMakeDir | kRemoveDir | kRefer;
  bool ok = rules.allow(plan.vault, plan.read_only ? kRead : kRead | kChangeTree);
  if (plan.state.get() >= 0) ok = ok && rules.allow(plan.state, kRead | kChange | kMakeSock);
  // The mount itself, which upkeep.cc opens. It is not there yet, and what it covers is no parent of it to landlock; so
  // the folder around it, for listing only.
  const std::string around = plan.mount_point.substr(0, plan.mount_point.rfind('/'));
  ok = ok && rules.allow(around + "/", kReadDir);
  ok = ok && rules.allow("/proc", kRead);                                   // mount table, companion.cc, reopen
  ok = ok && rules.allow("/dev/fuse", kReadFile | kWriteFile | kIoctlDev);  // a clone for each worker
  ok = ok && rules.allow("/dev/null", kReadFile | kWriteFile);              // background.cc
  if (::geteuid() == 0) ok = ok && rules.allow("/sys/devices/virtual/bdi", kWriteFile);  // upkeep.cc, kGrants
  return ok;
}

}  // namespace

bool confine_files(const SandboxPlan& plan) {
  const long version = ::syscall(kCreateRuleset, nullptr, 0, kAskVersion);
  if (version < 2) {  // the first one forbids all renames between folders
    base::log(LogLevel::kDebug, "files are not confined: {}",
              version < 0 ? std::strerror(errno) : "this kernel's landlock is too old");
    return false;
  }
  Ruleset rules(version);
  const bool done = rules.is_valid() && allow_all_that_is_needed(rules, plan) &&
                    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && rules.enforce();
  if (!done) base::log(LogLevel::kWarning, "files are not confined: {}", std::strerror(errno));
  return done;
}

void confine_process(const SandboxPlan& plan) {
  const bool files = confine_files(plan);
  const bool calls = confine_calls();
  if (files && calls) base::log_line(LogLevel::kDebug, "confined to the vault and local state");
}

}  // namespace coffer::mount
