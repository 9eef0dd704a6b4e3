// A folder that is becoming a vault. Internal to vault_folder_write.cc, apart from may_become_vault().
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/unique_fd.h"
#include "fs/vault_folder.h"

namespace coffer::fs {

// What VaultFolder::create() will refuse, without touching anything: to be asked before a password is.
// Errors: kNotEmpty, kNotAVault (a file), kOther.
Done may_become_vault(const std::string& path);

// What was made is taken away again unless keep() was called.
class VaultMaker {
 public:
  explicit VaultMaker(std::string path) : path_(std::move(path)) {}
  VaultMaker(const VaultMaker&) = delete;
  VaultMaker& operator=(const VaultMaker&) = delete;
  ~VaultMaker();

  // Makes or opens the folder, locks it, and sees that nothing is in it.
  Done take_folder();
  // A new file, durable.
  Done write(const char* name, base::ByteView content, mode_t mode);
  void keep();

 private:
  std::string path_;
  base::UniqueFd folder_;
  bool made_folder_ = false;
  bool kept_ = false;
  std::vector<std::string> written_;
};

}  // namespace coffer::fs
