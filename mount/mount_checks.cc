#include "mount/mount_checks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/sys.h"
#include "fs/user_text.h"
#include "mount/mount_table.h"
#include "mount/terminal.h"

namespace coffer::mount {
namespace {

using base::Errno;
using base::FdRef;
using base::Result;
using base::UniqueFd;
using fs::Done;
using fs::ExitCode;
using fs::Outcome;
using fs::UserError;

constexpr const char* kFusermount = "/usr/bin/fusermount3";
constexpr const char* kFuseConfig = "/etc/fuse.conf";

UserError at_mount_point(std::string message, std::string hint) {
  return {ExitCode::kMountPoint, std::move(message), std::move(hint)};
}

// What is mounted there already, if anything of ours.
Done clear_of_mounts(const std::string& path) {
  Result<std::optional<MountEntry>> found = mount_at(path);
  if (!found || !*found) return std::monostate{};
  const MountEntry& entry = **found;
  const bool stale = is_stale(entry.mount_point);
  if (!stale && !is_coffer(entry)) return std::monostate{};  // somebody's disk: an empty folder like any other
  if (!stale) {
    return UserError{
        ExitCode::kBusy,
        fmt::format("the vault {} is mounted at {} already", fs::printable(entry.source), fs::printable(path)),
        fmt::format("lock it first: coffer lock {}", fs::shell_word(path))};
  }
  if (!is_coffer(entry)) {
    return at_mount_point(fmt::format("{} is the mount point of a program that has ended ({})", fs::printable(path),
                                      fs::printable(entry.type)),
                          fmt::format("take it away with: fusermount3 -u {}", fs::shell_word(path)));
  }
  base::Status gone = unmount(entry.mount_point, /*lazy=*/true);
  if (!gone) {
    return at_mount_point(
        fmt::format("a dead mount at {} cannot be taken away: {}", fs::printable(path), fs::errno_text(gone.error())),
        fmt::format("as root: umount -l {}", fs::shell_word(path)));
  }
  note(fmt::format("coffer: took away a dead mount at {}: its daemon had ended without unmounting",
                   fs::printable(path)));
  return clear_of_mounts(path);  // there may have been another below
}

struct Identity {
  dev_t device;
  ino_t inode;
  friend bool operator==(const Identity&, const Identity&) = default;
};

std::optional<Identity> identity_of(const std::filesystem::path& path) {
  struct stat attributes {};
  if (::stat(path.c_str(), &attributes) != 0) return std::nullopt;
  return Identity{attributes.st_dev, attributes.st_ino};
}

// Whether `folder` or anything above `path` is the folder of this identity; links and bind mounts do not fool it.
bool lies_in(std::filesystem::path path, const Identity& folder) {
  for (;; path = path.parent_path()) {
    if (identity_of(path) == folder) return true;
    if (path == path.root_path()) return false;
  }
}

Done clear_of_vault(const fs::VaultFolder& vault, const std::string& path) {
  const std::optional<Identity> vault_id = identity_of(vault.path());
  const std::optional<Identity> point_id = identity_of(path);
  if (!vault_id || !point_id) return std::monostate{};  // gone meanwhile; the mount itself will say so
  const std::string choose = "choose an empty folder outside the vault";
  const std::string shown = fs::printable(path);
  if (*vault_id == *point_id) return at_mount_point(fmt::format("{} is the vault itself", shown), choose);
  if (lies_in(path, *vault_id)) {
    return at_mount_point(fmt::format("{} lies inside the vault: your plain files would be synced with it", shown),
                          choose);
  }
  if (lies_in(vault.path(), *point_id)) {
    return at_mount_point(fmt::format("{} contains the vault: mounted there, it would hide itself", shown), choose);
  }
  return std::monostate{};
}

Done check_empty_directory(const std::string& path) {
  Result<UniqueFd> folder = base::sys::openat(FdRef(AT_FDCWD), path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!folder) {
    if (folder.error().code() == ENOTDIR) {
      return at_mount_point(fmt::format("{} is not a folder", fs::printable(path)), "a mount point is an empty folder");
    }
    return at_mount_point(fmt::format("{} cannot be opened: {}", fs::printable(path), fs::errno_text(folder.error())),
                          "choose an empty folder of your own");
  }
  Result<std::vector<base::sys::DirEntry>> entries = base::sys::read_directory(*folder);
  if (!entries) return fs::system_error(entries.error(), fs::printable(path));
  if (entries->empty()) return std::monostate{};
  return at_mount_point(fmt::format("{} is not empty: it holds {}{}, which the mount would hide", fs::printable(path),
                                    fs::printable(entries->front().name),
                                    entries->size() > 1 ? fmt::format(" and {} more", entries->size() - 1) : ""),
                        "choose an empty folder");
}

bool found_in_path(const char* program) {
  if (::access(kFusermount, X_OK) == 0) return true;
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(folder.size() + 1, rest.size()));
    if (!folder.empty() && ::access(fmt::format("{}/{}", folder, program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

// The mount of this vault that answers, if there is one.
std::optional<MountEntry> live_mount_of(const fs::VaultFolder& vault) {
  Result<std::vector<MountEntry>> mounts = coffer_mounts();
  if (!mounts) return std::nullopt;
  for (MountEntry& entry : *mounts) {
    if (entry.source == vault.path() && !is_stale(entry.mount_point)) return std::move(entry);
  }
  return std::nullopt;
}

}  // namespace

Outcome<std::string> check_mount_point(const fs::VaultFolder& vault, const std::string& mount_point) {
  if (Done clear = clear_of_mounts(mount_point); !clear) return clear.error();
  std::error_code failure;
  const std::filesystem::path real = std::filesystem::canonical(mount_point, failure);
  if (failure == std::errc::no_such_file_or_directory) {
    return at_mount_point(fmt::format("the mount point {} does not exist", fs::printable(mount_point)),
                          fmt::format("make it with: mkdir {}", fs::shell_word(mount_point)));
  }
  if (failure) {
    return at_mount_point(fmt::format("{} cannot be reached: {}", fs::printable(mount_point), failure.message()),
                          "choose an empty folder of your own");
  }
  const std::string path = real.string();
  if (Done clear = clear_of_vault(vault, path); !clear) return clear.error();
  if (Done empty = check_empty_directory(path); !empty) return empty.error();
  return path;
}

Done check_fuse() {
  if (::access("/dev/fuse", F_OK) != 0) {
    return UserError{
        ExitCode::kNoFuse, "there is no /dev/fuse on this system",
        "as root: modprobe fuse; a container needs --device /dev/fuse --cap-add SYS_ADMIN; without a mount, "
        "coffer ls and coffer cat work"};
  }
  if (::access("/dev/fuse", R_OK | W_OK) != 0) {
    return UserError{ExitCode::kNoFuse, "you may not use /dev/fuse",
                     "as root: chmod 0666 /dev/fuse (an ordinary Debian has it so); without a mount, coffer ls and "
                     "coffer cat work"};
  }
  if (::geteuid() != 0 && !found_in_path("fusermount3")) {
    return UserError{ExitCode::kNoFuse, "there is no fusermount3, which mounts for users other than root",
                     "as root: apt-get install fuse3"};
  }
  return std::monostate{};
}

Done check_others_allowed() {
  if (::geteuid() == 0) return std::monostate{};
  std::ifstream config(kFuseConfig);
  for (std::string line; std::getline(config, line);) {
    // fusermount3 takes the word alone on its line, with white space around it.
    const std::size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string::npos) continue;
    if (line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1) == "user_allow_other") return std::monostate{};
  }
  return UserError{ExitCode::kOther, fmt::format("{} does not let you open your mounts to other users", kFuseConfig),
                   fmt::format("as root, add a line with user_allow_other to {}", kFuseConfig)};
}

Done check_writable(const fs::VaultFolder& vault) {
  if (::faccessat(vault.fd().get(), ".", W_OK, AT_EACCESS) == 0) return std::monostate{};
  const Errno why = Errno::last();
  const bool device = why.code() == EROFS;
  return UserError{
      ExitCode::kReadOnly,
      device ? fmt::format("the vault {} is on a read-only file system", fs::printable(vault.path()))
             : fmt::format("you may not write to the vault {}: {}", fs::printable(vault.path()), fs::errno_text(why)),
      "to look at it all the same: coffer mount --read-only"};
}

Outcome<UniqueFd> take_vault(const fs::VaultFolder& vault, std::chrono::milliseconds patience) {
  constexpr unsigned kStepMs = 200;
  const auto begun = std::chrono::steady_clock::now();
  std::optional<Progress> progress;
  for (;;) {
    Outcome<UniqueFd> lock = vault.lock_for_mount(kStepMs);
    if (lock || lock.error().code != ExitCode::kBusy) return lock;
    if (std::optional<MountEntry> mounted = live_mount_of(vault)) {
      return UserError{
          ExitCode::kBusy,
          fmt::format("the vault {} is mounted already, at {}", fs::printable(vault.path()),
                      fs::printable(mounted->mount_point)),
          fmt::format("use it there, or lock it first: coffer lock {}", fs::shell_word(mounted->mount_point))};
    }
    const auto waited = std::chrono::steady_clock::now() - begun;
    if (waited >= patience) return lock;
    if (waited >= std::chrono::seconds(1)) {
      if (!progress) progress.emplace();
      progress->show("waiting for the previous mount of this vault to finish writing ...");
    }
  }
}

}  // namespace coffer::mount
