#include "tests/crash/mounted.h"

#include <unistd.h>

#include <algorithm>

#include "crypto/random.h"

namespace coffer::crash {

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Setup make_setup(std::uint64_t seed, Broken broken) {
  Setup setup;
  setup.keys = std::make_unique<crypto::KeyRing>(crypto::random_vault_key());
  setup.config.vault = crypto::random_id<crypto::VaultId>();
  setup.config.suite = seed % 2 == 0 ? crypto::Suite::kAes256Gcm : crypto::Suite::kXChaCha20Poly1305;
  setup.config.chunk_size = seed / 2 % 3 == 0 ? 16384 : 4096;
  setup.config.name_max = seed / 6 % 2 == 0 ? 143 : crypto::kDefaultNameMax;
  setup.broken = broken;
  return setup;
}

base::Result<std::unique_ptr<Mounted>> Mounted::mount(const Setup& setup, const Folders& folders) {
  auto mounted = std::make_unique<Mounted>();
  mounted->recording_ = std::make_shared<Recording>(setup.identities, folders, setup.broken);
  fs::FilesystemOptions options;
  options.vault = folders.open_vault();
  options.state = folders.open_state();
  options.config = setup.config;
  options.keys = setup.keys.get();
  options.settles_by_hand = true;
  COFFER_ASSIGN_OR_RETURN(
      mounted->fs_, fs::Filesystem::open(std::move(options), std::make_unique<RecordingBacking>(mounted->recording_)));
  return mounted;
}

fs::Caller Mounted::caller() { return {::geteuid(), ::getegid(), ::getpid(), 022}; }

base::Result<fs::Attr> Mounted::lookup(const std::string& path) {
  auto at = fs_->getattr(fs::kRootInode);
  for (std::size_t begin = 0; at && begin < path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    at = fs_->lookup(at->id, path.substr(begin, end - begin));
    begin = end + 1;
  }
  return at;
}

base::Result<std::string> Mounted::read(fs::InodeId file, std::uint64_t size) {
  COFFER_ASSIGN_OR_RETURN(fs::Opened opened, fs_->open_file(file, O_RDONLY, false));
  std::string content(static_cast<std::size_t>(size) + 1, '\0');
  auto got = fs_->read(opened.handle, 0, {reinterpret_cast<base::Byte*>(content.data()), content.size()});
  fs_->release(opened.handle);
  if (!got) return got.error();
  content.resize(*got);
  return content;
}

base::Result<std::vector<std::string>> Mounted::list(fs::InodeId directory) {
  std::vector<std::string> names;
  COFFER_ASSIGN_OR_RETURN(fs::Opened opened, fs_->open_directory(directory));
  auto listed = fs_->list(opened.handle, 0, true, [&](const fs::ListedEntry& entry) {
    if (entry.name != "." && entry.name != "..") names.emplace_back(entry.name);
    return true;
  });
  fs_->release_directory(opened.handle);
  COFFER_RETURN_IF_ERROR(listed);
  return names;
}

base::Status Mounted::write_file(const std::string& path, std::uint64_t offset, std::string_view data, int flags) {
  COFFER_ASSIGN_OR_RETURN(fs::Attr parent, lookup(parent_of(path)));
  COFFER_ASSIGN_OR_RETURN(fs::Created made, fs_->create(parent.id, name_of(path), 0644, O_RDWR | flags, caller()));
  auto written = fs_->write(made.opened.handle, offset, base::as_bytes(data), {});
  const base::Status flushed = fs_->flush(made.opened.handle);
  fs_->release(made.opened.handle);
  if (!written) return written.error();
  return flushed;
}

}  // namespace coffer::crash
