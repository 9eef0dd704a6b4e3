// A vault in a temporary folder, mounted in process: the Filesystem without a kernel. Known to its tests by plaintext
// paths.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "crypto/name_cipher.h"
#include "crypto/random.h"
#include "fs/backing.h"
#include "fs/filesystem.h"
#include "tests/support/by_path.h"
#include "tests/support/temp_dir.h"

namespace coffer::test {

struct VaultOptions {
  crypto::Suite suite = crypto::Suite::kAes256Gcm;
  std::uint32_t chunk_size = crypto::kDefaultChunkSize;
  std::uint16_t name_max = crypto::kDefaultNameMax;
  bool strict = false;
  std::uint64_t dirty_bytes_max = std::uint64_t{64} << 20;
  std::size_t directory_fds_max = 256;
  fs::KernelHooks hooks = {};
  std::chrono::milliseconds watch_delay{50};
  std::size_t watched_directories_max = 1 << 17;
  bool settles_by_hand = false;
};

class TestVault {
 public:
  explicit TestVault(VaultOptions options = {}) : options_(options) {
    crypto::init();
    keys_ = std::make_shared<crypto::KeyRing>(crypto::random_vault_key());
    config_.vault = crypto::random_id<crypto::VaultId>();
    config_.suite = options.suite;
    config_.chunk_size = options.chunk_size;
    config_.name_max = options.name_max;
    mount();
  }

  // Another folder and other local state of the same vault; empty and not mounted.
  explicit TestVault(const TestVault& like) : options_(like.options_), keys_(like.keys_), config_(like.config_) {}

  // With `backing`, through that instead of the system calls.
  void mount(std::unique_ptr<fs::Backing> backing = std::make_unique<fs::Backing>(), bool read_only = false) {
    ASSERT_TRUE(try_mount(std::move(backing), read_only));
  }
  base::Status try_mount(std::unique_ptr<fs::Backing> backing, bool read_only = false) {
    fs::FilesystemOptions options;
    options.vault = folder_.open();
    options.state = state_.open();
    options.config = config_;
    options.keys = keys_.get();
    options.strict = options_.strict;
    options.read_only = read_only;
    options.dirty_bytes_max = options_.dirty_bytes_max;
    options.directory_fds_max = options_.directory_fds_max;
    options.hooks = options_.hooks;
    options.watch_delay = options_.watch_delay;
    options.watched_directories_max = options_.watched_directories_max;
    options.settles_by_hand = options_.settles_by_hand;
    auto opened = fs::Filesystem::open(std::move(options), std::move(backing));
    if (!opened) return opened.error();
    fs_ = *std::move(opened);
    return base::ok();
  }
  void lock() {
    auto done = fs_->shutdown();
    EXPECT_TRUE(done);
    fs_.reset();
  }
  void remount() {
    lock();
    mount();
  }
  // From the next mount() on.
  void use_hooks(fs::KernelHooks hooks) { options_.hooks = std::move(hooks); }
  // As if on another machine: nothing is remembered.
  void forget_state() {
    for (const auto& entry : std::filesystem::directory_iterator(state_.path()))
      std::filesystem::remove_all(entry.path());
  }

  fs::Filesystem& fs() { return *fs_; }
  bool mounted() const { return fs_ != nullptr; }
  const std::string& folder() const { return folder_.path(); }
  const std::string& state_folder() const { return state_.path(); }
  const crypto::KeyRing& keys() const { return *keys_; }
  const crypto::VaultConfig& config() const { return config_; }

  // --- by path -------------------------------------------------------------------------------------------------------
  base::Result<fs::Attr> lookup(const std::string& path) { return ByPath(*fs_).lookup(path); }
  fs::InodeId parent_of(const std::string& path) {
    auto parent = lookup(test::parent_of(path));
    EXPECT_TRUE(parent) << path;
    return parent ? parent->id : fs::kRootInode;
  }
  static std::string name_of(const std::string& path) { return test::name_of(path); }
  base::Status write_file(const std::string& path, base::ByteView content) {
    return ByPath(*fs_).write_file(path, 0, content, O_TRUNC);
  }
  base::Status write_file(const std::string& path, std::string_view content) {
    return write_file(path, base::as_bytes(content));
  }
  base::Result<std::string> read_file(const std::string& path) {
    COFFER_ASSIGN_OR_RETURN(fs::Attr attr, lookup(path));
    return ByPath(*fs_).read(attr.id, attr.size);
  }
  base::Result<fs::Attr> mkdir(const std::string& path) {
    return fs_->mkdir(parent_of(path), name_of(path), 0755, caller());
  }
  base::Status rename(const std::string& from, const std::string& to, unsigned flags = 0) {
    return fs_->rename(parent_of(from), name_of(from), parent_of(to), name_of(to), flags);
  }
  base::Status unlink(const std::string& path) { return fs_->unlink(parent_of(path), name_of(path)); }
  base::Status rmdir(const std::string& path) { return fs_->rmdir(parent_of(path), name_of(path)); }
  std::vector<std::string> list(const std::string& path) {
    auto attr = lookup(path);
    EXPECT_TRUE(attr);
    auto names = ByPath(*fs_).list(attr->id);
    EXPECT_TRUE(names);
    std::sort(names->begin(), names->end());
    return *names;
  }
  // The ciphertext file of a path, by inode number.
  std::string below(const std::string& path) {
    auto attr = lookup(path);
    if (!attr) return {};
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder())) {
      struct ::stat st;
      if (::lstat(entry.path().c_str(), &st) == 0 && st.st_ino == attr->ino) return entry.path();
    }
    return {};
  }
  // Of a directory in the root.
  crypto::DirId derived_id(std::string_view name) const {
    const crypto::NameCipher names(*keys_);
    return names.derived_id(names.root_id(), names.encrypt(names.root_id(), crypto::Kind::kFileOrDirectory, name));
  }
  static fs::Caller caller() { return test::caller(); }

 private:
  VaultOptions options_;
  TempDir folder_;
  TempDir state_;
  std::shared_ptr<const crypto::KeyRing> keys_;
  crypto::VaultConfig config_;
  std::unique_ptr<fs::Filesystem> fs_;
};

}  // namespace coffer::test
