#include "fs/vault_maker.h"

#include <fmt/format.h>
#include <sys/file.h>

#include <filesystem>

#include "base/sys.h"
#include "fs/durable_file.h"
#include "fs/user_text.h"
#include "fs/vault_files.h"

namespace coffer::fs {
namespace {

namespace sys = base::sys;
using base::Errno;
using base::FdRef;
using base::Result;
using base::UniqueFd;

// Through links: clouds' folders are often reached through one.
Outcome<UniqueFd> open_folder(const std::string& path) {
  std::error_code failure;
  const std::filesystem::path real = std::filesystem::canonical(path, failure);
  if (failure) return system_error(Errno(failure.value()), path);
  Result<UniqueFd> folder = sys::openat(FdRef(AT_FDCWD), real.c_str(), O_RDONLY | O_DIRECTORY);
  if (folder) return *std::move(folder);
  if (folder.error().code() == ENOTDIR) {
    return UserError{ExitCode::kNotAVault, fmt::format("{} is a file, not a folder", path),
                     "name a new or empty folder"};
  }
  return system_error(folder.error(), path);
}

Done check_empty(FdRef folder, const std::string& path) {
  Result<std::vector<sys::DirEntry>> entries = sys::read_directory(folder);
  if (!entries) return system_error(entries.error(), path);
  if (entries->empty()) return std::monostate{};
  for (const sys::DirEntry& entry : *entries) {
    if (entry.name != kConfigFile && entry.name != kConfigCopyFile) continue;
    return UserError{ExitCode::kNotEmpty, fmt::format("{} is a vault already", path),
                     fmt::format("open it with: coffer mount {} MOUNTPOINT", shell_word(path))};
  }
  return UserError{ExitCode::kNotEmpty,
                   fmt::format("{} is not empty: it holds {}{}", path, printable(entries->front().name),
                               entries->size() > 1 ? fmt::format(" and {} more", entries->size() - 1) : ""),
                   "a vault needs a folder of its own: name a new or empty one; your files go in through the mount"};
}

UserError no_parent(const std::string& path) {
  return {ExitCode::kOther, fmt::format("{} cannot be made: the folder above it does not exist", path),
          "make that one first, or check the path"};
}

}  // namespace

Done may_become_vault(const std::string& path) {
  std::error_code failure;
  const std::filesystem::file_status status = std::filesystem::status(path, failure);
  if (status.type() == std::filesystem::file_type::not_found) {
    std::filesystem::path absolute = std::filesystem::absolute(path, failure).lexically_normal();
    if (!absolute.has_filename()) absolute = absolute.parent_path();  // "a/b/"
    if (!std::filesystem::is_directory(absolute.parent_path(), failure)) return no_parent(path);
    return std::monostate{};
  }
  Outcome<UniqueFd> folder = open_folder(path);
  if (!folder) return folder.error();
  return check_empty(*folder, path);
}

VaultMaker::~VaultMaker() {
  if (kept_) return;
  for (const std::string& name : written_) static_cast<void>(sys::unlinkat(folder_, name.c_str()));
  if (made_folder_) static_cast<void>(sys::unlinkat(FdRef(AT_FDCWD), path_.c_str(), AT_REMOVEDIR));
}

Done VaultMaker::take_folder() {
  base::Status made = sys::mkdirat(FdRef(AT_FDCWD), path_.c_str(), 0700);
  made_folder_ = made.has_value();
  if (!made && made.error().code() == ENOENT) return no_parent(path_);
  if (!made && made.error().code() != EEXIST) return write_error(made.error(), path_);
  Outcome<UniqueFd> folder = open_folder(path_);
  if (!folder) return folder.error();
  folder_ = *std::move(folder);
  // Two inits at a time: one comes second and finds the folder filled. Where flock is unknown, RENAME_NOREPLACE holds.
  if (::flock(folder_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return UserError{ExitCode::kBusy, fmt::format("{} is in use by another process of Coffer", path_), "try again"};
  }
  return check_empty(folder_, path_);
}

Done VaultMaker::write(const char* name, base::ByteView content, mode_t mode) {
  base::Status written = write_durably(folder_, name, content, mode, IfExists::kFail);
  if (!written) return write_error(written.error(), path_ + "/" + name);
  written_.emplace_back(name);
  return std::monostate{};
}

void VaultMaker::keep() {
  kept_ = true;
  if (!made_folder_) return;
  // The new folder's own entry must last too. Should that fail, the file system still does it by itself, only later.
  if (Result<UniqueFd> above = sys::openat(folder_, "..", O_RDONLY | O_DIRECTORY)) {
    static_cast<void>(sync_directory(*above));
  }
}

}  // namespace coffer::fs
