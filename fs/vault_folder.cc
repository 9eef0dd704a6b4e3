// Opening coffer.json and unlocking it. Writing it: vault_folder_write.cc.
#include "fs/vault_folder.h"

#include <fmt/format.h>
#include <sys/file.h>
#include <sys/sysmacros.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/log.h"
#include "base/sys.h"
#include "fs/local_state_path.h"
#include "fs/user_text.h"
#include "fs/vault_files.h"

namespace coffer::fs {
namespace {

namespace sys = base::sys;
using base::Errno;
using base::FdRef;
using base::Result;
using base::UniqueFd;
using crypto::ConfigError;

// Parses, and authenticates if there are keys to do it with.
bool is_good_config(base::ByteView bytes, const crypto::KeyRing* keys) {
  if (keys != nullptr) return std::holds_alternative<crypto::VaultConfig>(crypto::authenticate_config(bytes, *keys));
  return std::holds_alternative<crypto::UnverifiedConfig>(crypto::parse_config(bytes));
}

// Where a usable copy of coffer.json lies: in the vault, else in local state. Empty if nowhere.
std::string find_good_copy(FdRef vault, const std::string& path, const crypto::KeyRing* keys) {
  Result<base::Bytes> copy = sys::read_file(vault, kConfigCopyFile, crypto::kMaxConfigSize);
  if (copy && is_good_config(*copy, keys)) return path + "/" + kConfigCopyFile;
  for (const std::string& state : state_folders_of(folder_identity(vault, path))) {
    std::string remembered = state + "/" + kConfigFile;
    Result<base::Bytes> bytes = sys::read_file(FdRef(AT_FDCWD), remembered.c_str(), crypto::kMaxConfigSize);
    if (bytes && is_good_config(*bytes, keys)) return remembered;
  }
  return "";
}

std::string advice_to_copy(const std::string& copy, const std::string& path) {
  if (copy.empty()) {
    return "no usable copy was found; ask your sync client or backup for an earlier version of coffer.json";
  }
  return fmt::format("a usable copy is there; put it in place with: cp -- {} {}", shell_word(copy),
                     shell_word(path + "/" + kConfigFile));
}

UserError missing_config(FdRef vault, const std::string& path) {
  const std::string copy = find_good_copy(vault, path, nullptr);
  if (copy.empty()) {
    return {ExitCode::kNotAVault, fmt::format("{} is not a Coffer vault: there is no coffer.json in it", path),
            fmt::format("a new vault is made with: coffer init {}", shell_word(path))};
  }
  return {ExitCode::kConfigDamaged, fmt::format("coffer.json is missing from the vault {}", path),
          advice_to_copy(copy, path)};
}

// ConfigError of parse_config, for a file that is there.
UserError bad_config(ConfigError error, FdRef vault, const std::string& path) {
  const std::string file = path + "/" + kConfigFile;
  const auto damaged = [&](std::string_view what) {
    return UserError{ExitCode::kConfigDamaged, fmt::format("{} {}", file, what),
                     advice_to_copy(find_good_copy(vault, path, nullptr), path)};
  };
  constexpr const char* kUpdate = "install a newer Coffer";
  switch (error) {
    case ConfigError::kNotConfig:
      return damaged("is not what Coffer writes");
    case ConfigError::kTruncated:
      return damaged("is incomplete: it ends early, or has not been synced yet");
    case ConfigError::kNewer:
      return {ExitCode::kNewerFormat, fmt::format("{} is of a format that this program does not know", file), kUpdate};
    case ConfigError::kUnknownFeature:
      return {ExitCode::kNewerFormat, fmt::format("{} uses something that this program does not know", file), kUpdate};
    case ConfigError::kMalformed:
      return damaged("is damaged: a value in it is not allowed");
    case ConfigError::kForged:
      break;
  }
  return damaged("was changed by somebody who does not have the vault key, or is damaged");
}

// The process that holds a flock on this inode, by /proc/locks. 0: not to be seen.
pid_t lock_holder(FdRef fd) {
  Result<sys::Stat> stat = sys::statx(fd);
  if (!stat) return 0;
  const std::string inode = fmt::format("{:02x}:{:02x}:{}", major(stat->dev), minor(stat->dev), stat->ino);
  std::ifstream locks("/proc/locks");
  std::string number, kind, advice, access, where;
  pid_t pid = 0;
  // "1: FLOCK  ADVISORY  WRITE 1234 fd:00:5678 0 EOF"; waiting ones have "->" after the number and do not match.
  for (std::string line; std::getline(locks, line);) {
    std::istringstream fields(line);
    if (fields >> number >> kind >> advice >> access >> pid >> where && kind == "FLOCK" && where == inode) return pid;
  }
  return 0;
}

// flock, asked for again until it is free or the time is up. Errors: EWOULDBLOCK, and what flock says where it is not
// supported.
base::Status flock_patiently(FdRef fd, unsigned patience_ms) {
  constexpr std::chrono::milliseconds kPause{20};
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
  for (;;) {
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return base::ok();
    if (errno != EINTR && errno != EWOULDBLOCK) return Errno::last();
    if (std::chrono::steady_clock::now() >= until) return Errno(EWOULDBLOCK);
    std::this_thread::sleep_for(kPause);  // tidy: allow sleep, because flock(2) cannot wait for a limited time
  }
}

// The vault key out of the first slot of this type that the secret opens.
Outcome<crypto::VaultKey> try_slots(const crypto::VaultConfig& config, crypto::SlotType type, base::ByteView secret,
                                    std::string_view noun, const std::string& path) {
  bool any = false;
  for (const crypto::Slot& slot : config.slots) {
    if (slot.type != type) continue;
    any = true;
    if (std::optional<crypto::VaultKey> key = crypto::open_slot(slot, config.vault, secret)) return *std::move(key);
  }
  if (!any) {
    return UserError{ExitCode::kNoSecret, fmt::format("the vault {} has no {}", path, noun),
                     fmt::format("the 64 digits of the vault key open it (--key, --key-file); coffer key list {} shows "
                                 "what else does",
                                 shell_word(path))};
  }
  return UserError{ExitCode::kWrongSecret, fmt::format("wrong {} for the vault {}", noun, path),
                   "try again; the 64 digits of the vault key open it too (--key, --key-file)"};
}

}  // namespace

Outcome<VaultFolder> VaultFolder::open(const std::string& path) {
  std::error_code failure;
  // Links on the way are the user's business: clouds' folders are often reached through one.
  const std::filesystem::path absolute = std::filesystem::canonical(path, failure);
  if (failure) {
    UserError error = system_error(Errno(failure.value()), path);
    if (failure == std::errc::no_such_file_or_directory) {
      error = {ExitCode::kNotAVault, fmt::format("{} does not exist", path), "check the path; is the disk there?"};
    }
    return error;
  }
  VaultFolder folder;
  folder.path_ = absolute.string();
  Result<UniqueFd> fd = sys::openat(FdRef(AT_FDCWD), folder.path_.c_str(), O_RDONLY | O_DIRECTORY);
  if (!fd) {
    if (fd.error().code() == ENOTDIR) {
      return UserError{ExitCode::kNotAVault, fmt::format("{} is not a folder", path), "name the vault's folder"};
    }
    return system_error(fd.error(), path);
  }
  folder.fd_ = *std::move(fd);
  Result<base::Bytes> bytes = sys::read_file(folder.fd_, kConfigFile, crypto::kMaxConfigSize);
  if (!bytes) {
    switch (bytes.error().code()) {
      case ENOENT:
        return missing_config(folder.fd_, folder.path_);
      case EFBIG:
      case EINVAL:
      case ELOOP:
        return bad_config(ConfigError::kNotConfig, folder.fd_, folder.path_);
      default:
        return system_error(bytes.error(), folder.path_ + "/" + kConfigFile);
    }
  }
  auto parsed = crypto::parse_config(*bytes);
  if (const auto* error = std::get_if<ConfigError>(&parsed)) return bad_config(*error, folder.fd_, folder.path_);
  folder.unverified_ = std::move(std::get<crypto::UnverifiedConfig>(parsed).config);
  folder.bytes_ = *std::move(bytes);
  return folder;
}

Outcome<Unlocked> VaultFolder::unlock_with_password(base::ByteView password) const {
  Outcome<crypto::VaultKey> key = try_slots(unverified_, crypto::SlotType::kPassword, password, "password", path_);
  if (!key) return key.error();
  return verify(*std::move(key));
}

Outcome<Unlocked> VaultFolder::unlock_with_keyfile(base::ByteView keyfile) const {
  Outcome<crypto::VaultKey> key = try_slots(unverified_, crypto::SlotType::kKeyfile, keyfile, "keyfile", path_);
  if (!key) return key.error();
  return verify(*std::move(key));
}

Outcome<Unlocked> VaultFolder::unlock_with_vault_key(crypto::VaultKey key) const {
  const crypto::KeyRing keys(key);
  // Unlike a slot, the key itself does not say whether it fits. If coffer.json does not fit it, a copy may.
  if (!is_good_config(bytes_, &keys) && find_good_copy(fd_, path_, &keys).empty()) {
    return UserError{ExitCode::kWrongSecret, fmt::format("this is not the key of the vault {}", path_),
                     "compare the 64 digits with what is on paper, and the vault with its name there"};
  }
  return verify(std::move(key));
}

// Authenticates coffer.json and compares it with what this machine remembers. REQUIRES: the key is known to be right.
Outcome<Unlocked> VaultFolder::verify(crypto::VaultKey key) const {
  crypto::KeyRing keys(key);
  auto checked = crypto::authenticate_config(bytes_, keys);
  if (std::holds_alternative<ConfigError>(checked)) {
    return UserError{
        ExitCode::kConfigDamaged,
        fmt::format("{}/{} was changed by somebody who does not have the vault key, or is damaged", path_, kConfigFile),
        advice_to_copy(find_good_copy(fd_, path_, &keys), path_)};
  }
  crypto::VaultConfig config = std::move(std::get<crypto::VaultConfig>(checked));
  const std::optional<std::uint64_t> remembered = remembered_generation(state_path(), keys);
  if (remembered && *remembered > config.generation) {
    const std::string copy = state_path() + "/" + kConfigFile;
    return UserError{
        ExitCode::kRolledBack,
        fmt::format("{}/{} is older (change {}) than what this machine has seen (change {}): not synced yet, restored "
                    "from a backup, or rolled back by somebody",
                    path_, kConfigFile, config.generation, *remembered),
        fmt::format(
            "let the sync client finish; or put the newer one in place with: cp -- {0} {1}; or, if you want the "
            "older one, forget the newer with: rm -- {0}",
            shell_word(copy), shell_word(path_ + "/" + kConfigFile))};
  }
  if (!remembered || *remembered < config.generation) remember_config(state_path(), bytes_);
  return Unlocked{std::move(key), std::move(keys), std::move(config)};
}

std::string VaultFolder::state_path() const {
  const std::string root = state_root();
  if (root.empty()) return "";
  return root + "/" + state_folder_name(unverified_.vault, folder_identity(fd_, path_));
}

Outcome<UniqueFd> VaultFolder::open_state() const {
  const std::string path = state_path();
  if (path.empty()) {
    return UserError{ExitCode::kOther, "there is no home folder to keep local state in",
                     "set HOME or XDG_STATE_HOME to a folder of yours"};
  }
  Result<UniqueFd> folder = open_state_folder(path);
  if (!folder) return write_error(folder.error(), path);
  return *std::move(folder);
}

Outcome<UniqueFd> VaultFolder::lock_for_mount(unsigned patience_ms) const {
  Result<UniqueFd> fd = sys::reopen(fd_, O_RDONLY | O_DIRECTORY);
  if (!fd) return system_error(fd.error(), path_);
  base::Status locked = flock_patiently(*fd, patience_ms);
  if (!locked && locked.error().code() != EWOULDBLOCK) {
    // This file system knows no flock. A file in local state keeps at least this machine from mounting twice.
    Outcome<UniqueFd> state = open_state();
    if (state) {
      Result<UniqueFd> file = sys::openat(*state, kLockFile, O_RDWR | O_CREAT, 0600);
      if (file) {
        fd = *std::move(file);
        locked = flock_patiently(*fd, patience_ms);
      }
    }
  }
  if (locked) return *std::move(fd);
  if (locked.error().code() != EWOULDBLOCK) {
    base::log(base::LogLevel::kWarning, "the vault folder cannot be locked ({}): do not mount it twice",
              errno_text(locked.error()));
    return *std::move(fd);
  }
  const pid_t holder = lock_holder(*fd);
  return UserError{ExitCode::kBusy,
                   holder > 0 ? fmt::format("the vault {} is in use by process {}", path_, holder)
                              : fmt::format("the vault {} is in use by another process", path_),
                   "coffer status shows what is mounted"};
}

}  // namespace coffer::fs
