#include "mount/vault_reader.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "fs/user_text.h"

namespace coffer::mount {

using fs::ExitCode;
using fs::Outcome;
using fs::UserError;

UserError read_error(base::Errno error, const std::string& shown) {
  switch (error.code()) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
      return {ExitCode::kNotFound, fmt::format("there is no {} in the vault", fs::printable(shown)),
              "paths are those of the mount; coffer ls shows what is there"};
    case EIO:
    case ESTALE:
      return {
          ExitCode::kDamaged, fmt::format("{} is damaged or not wholly synced", fs::printable(shown)),
          "let the sync client finish; the line above names the file in the vault, of which a backup or the cloud's "
          "history may have a good version"};
    default:
      return fs::system_error(error, fs::printable(shown));
  }
}

Outcome<VaultReader> VaultReader::open(const std::string& vault, const SecretOptions& secret) {
  Outcome<fs::VaultFolder> folder = fs::VaultFolder::open(vault);
  if (!folder) return folder.error();
  Outcome<UnlockedBy> opened = unlock(*folder, secret);
  if (!opened) return opened.error();
  VaultReader reader;
  reader.unlocked_ = std::make_unique<fs::Unlocked>(std::move(opened->unlocked));
  fs::FilesystemOptions options;
  options.vault = base::UniqueFd(::fcntl(folder->fd().get(), F_DUPFD_CLOEXEC, 3));
  options.config = reader.unlocked_->config;
  options.keys = &reader.unlocked_->keys;
  options.read_only = true;  // and without local state: nothing is remembered or replayed beside a mount
  auto files = fs::Filesystem::open(std::move(options));
  if (!files) return fs::system_error(files.error(), folder->path());
  reader.files_ = *std::move(files);
  return reader;
}

Outcome<fs::Attr> VaultReader::child(fs::InodeId folder, const std::string& name, const std::string& shown) {
  base::Result<fs::Attr> attr = files_->lookup(folder, name);
  if (!attr) return read_error(attr.error(), shown);
  return *attr;
}

void VaultReader::forget(const fs::Attr& attr) {
  if (attr.id != fs::kRootInode) files_->forget(attr.id, 1);
}

Outcome<fs::Attr> VaultReader::find(const std::string& path) {
  base::Result<fs::Attr> root = files_->getattr(fs::kRootInode);
  if (!root) return read_error(root.error(), "/");
  fs::Attr at = *root;
  for (std::string_view rest = path; !rest.empty();) {
    const std::string name(rest.substr(0, rest.find('/')));
    rest.remove_prefix(std::min(name.size() + 1, rest.size()));
    if (name.empty() || name == ".") continue;
    if (name == "..") return read_error(base::Errno(ENOENT), path);  // leads out, or is one name too many
    Outcome<fs::Attr> next = child(at.id, name, path);
    forget(at);
    if (!next) return next;
    at = *next;
  }
  return at;
}

Outcome<std::vector<Child>> VaultReader::children(fs::InodeId folder, const std::string& shown) {
  base::Result<fs::Opened> opened = files_->open_directory(folder);
  if (!opened) return read_error(opened.error(), shown);
  std::vector<Child> children;
  base::Status listed = files_->list(opened->handle, 0, /*plus=*/false, [&children](const fs::ListedEntry& entry) {
    if (entry.name != "." && entry.name != "..") children.push_back({std::string(entry.name), entry.type});
    return true;
  });
  files_->release_directory(opened->handle);
  if (!listed) return read_error(listed.error(), shown);
  std::sort(children.begin(), children.end(), [](const Child& a, const Child& b) { return a.name < b.name; });
  return children;
}

}  // namespace coffer::mount
