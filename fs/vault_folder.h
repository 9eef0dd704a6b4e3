// The vault folder seen from outside a mount: making one, opening coffer.json, changing it, local state, the mount
// lock.
#pragma once

#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "crypto/vault_config.h"
#include "fs/user_error.h"

namespace coffer::fs {

using Done = Outcome<std::monostate>;

struct NewVault {
  crypto::Suite suite = crypto::Suite::kAes256Gcm;
  std::uint32_t chunk_size = crypto::kDefaultChunkSize;
  std::uint16_t name_max = crypto::kDefaultNameMax;
};

// A vault whose key is known. Move-only (it holds secrets).
struct Unlocked {
  crypto::VaultKey key;
  crypto::KeyRing keys;
  crypto::VaultConfig config;
};

class VaultFolder {
 public:
  // Makes `path` a vault (creating the folder if need be): coffer.json, its copy, README.txt, each durable. With a
  // password slot if `password` is given, else only the vault key opens it. Nothing is left behind on failure. Errors:
  // kNotEmpty, kReadOnly, kNoSpace, kNotAVault (path is a file), kOther.
  static Outcome<Unlocked> create(const std::string& path, const NewVault& vault,
                                  std::optional<base::ByteView> password, const crypto::PasswordCost& cost);

  // Reads coffer.json. Errors: kNotAVault, kConfigDamaged, kNewerFormat, kOther.
  static Outcome<VaultFolder> open(const std::string& path);

  const std::string& path() const { return path_; }
  base::FdRef fd() const { return fd_; }
  // Slots and ids; not authenticated.
  const crypto::VaultConfig& unverified() const { return unverified_; }

  // Errors: kWrongSecret, kConfigDamaged (right key, forged file), kRolledBack, kNoSecret (no slot of that type).
  Outcome<Unlocked> unlock_with_password(base::ByteView password) const;
  Outcome<Unlocked> unlock_with_keyfile(base::ByteView keyfile) const;
  Outcome<Unlocked> unlock_with_vault_key(crypto::VaultKey key) const;

  // Replaces coffer.json and its copy by `config` with a generation one higher (write, fsync, rename, fsync of the
  // folder), and remembers it in local state. Fails if coffer.json changed since open().
  Done replace_config(Unlocked& unlocked, crypto::VaultConfig config);

  // Local state of this folder, created if missing: $XDG_STATE_HOME/coffer/<vault id>-<folder identity>, mode 0700.
  std::string state_path() const;
  Outcome<base::UniqueFd> open_state() const;

  // The lock that a mount holds (flock on the folder itself). Waits up to `patience_ms` for a daemon that is finishing.
  // Errors: kBusy, naming the mount point that holds it where known.
  Outcome<base::UniqueFd> lock_for_mount(unsigned patience_ms) const;

 private:
  VaultFolder() = default;
  Outcome<Unlocked> verify(crypto::VaultKey key) const;

  std::string path_;  // absolute
  base::UniqueFd fd_;
  base::Bytes bytes_;  // coffer.json as read
  crypto::VaultConfig unverified_;
};

}  // namespace coffer::fs
