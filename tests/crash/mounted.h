// A file system on rebuilt or recorded folders, without a kernel and without threads of its own, by plaintext paths.
#pragma once

#include "crypto/keys.h"
#include "crypto/vault_config.h"
#include "fs/filesystem.h"
#include "tests/crash/recording.h"
#include "tests/support/by_path.h"

namespace coffer::crash {

// What all mounts of a workload share.
struct Setup {
  crypto::VaultConfig config;
  std::unique_ptr<crypto::KeyRing> keys;
  std::shared_ptr<Identities> identities = std::make_shared<Identities>();
  Broken broken;
};
Setup make_setup(std::uint64_t seed, Broken broken = {});

class Mounted {
 public:
  static base::Result<std::unique_ptr<Mounted>> mount(const Setup& setup, const Folders& folders);

  fs::Filesystem& fs() { return *fs_; }
  Recording& recording() { return *recording_; }
  base::Result<fs::Attr> lookup(const std::string& path) { return by_path().lookup(path); }
  base::Result<std::string> read(fs::InodeId file, std::uint64_t size) { return by_path().read(file, size); }
  base::Result<std::vector<std::string>> list(fs::InodeId directory) { return by_path().list(directory); }
  base::Status write_file(const std::string& path, std::uint64_t offset, std::string_view data, int flags) {
    return by_path().write_file(path, offset, base::as_bytes(data), flags);
  }
  static fs::Caller caller() { return test::caller(); }

 private:
  test::ByPath by_path() { return test::ByPath(*fs_); }

  std::shared_ptr<Recording> recording_;
  std::unique_ptr<fs::Filesystem> fs_;
};

using test::name_of;
using test::parent_of;

}  // namespace coffer::crash
