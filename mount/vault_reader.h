// Looking into a vault without mounting it, also beside a mount: a read-only Filesystem and paths in it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fs/filesystem.h"
#include "fs/user_error.h"
#include "fs/vault_folder.h"
#include "mount/secrets.h"

namespace coffer::mount {

struct Child {
  std::string name;
  unsigned char type = 0;  // DT_*
};

class VaultReader {
 public:
  // Errors: those of VaultFolder::open and unlock(), kOther.
  static fs::Outcome<VaultReader> open(const std::string& vault, const SecretOptions& secret);

  fs::Filesystem& files() { return *files_; }

  // `path` is the one in the mount, with or without a leading '/'; "", "/" and "." are the top. Links in it are not
  // followed. Errors: kNotFound, kDamaged, kOther.
  fs::Outcome<fs::Attr> find(const std::string& path);
  fs::Outcome<fs::Attr> child(fs::InodeId folder, const std::string& name, const std::string& shown);
  void forget(const fs::Attr& attr);
  // Sorted by name, without "." and "..".
  fs::Outcome<std::vector<Child>> children(fs::InodeId folder, const std::string& shown);

 private:
  VaultReader() = default;

  std::unique_ptr<fs::Unlocked> unlocked_;  // its keys are borrowed by files_
  std::unique_ptr<fs::Filesystem> files_;
};

// The sentence for an errno that Filesystem gave: kNotFound, kDamaged, or as fs::system_error.
fs::UserError read_error(base::Errno error, const std::string& shown);

}  // namespace coffer::mount
