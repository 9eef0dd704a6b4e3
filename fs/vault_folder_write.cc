// Making a vault and changing its coffer.json. Reading it: vault_folder.cc.
#include <fmt/format.h>
#include <sys/file.h>

#include "base/log.h"
#include "base/sys.h"
#include "crypto/random.h"
#include "fs/durable_file.h"
#include "fs/local_state_path.h"
#include "fs/user_text.h"
#include "fs/vault_files.h"
#include "fs/vault_folder.h"
#include "fs/vault_maker.h"
#include "fs/vault_readme.h"

namespace coffer::fs {
namespace {

namespace sys = base::sys;
using base::FdRef;
using base::Result;
using base::UniqueFd;

constexpr std::uint32_t kFirstSlot = 1;

}  // namespace

std::optional<std::uint64_t> remembered_generation(const std::string& state_path, const crypto::KeyRing& keys) {
  if (state_path.empty()) return std::nullopt;
  Result<base::Bytes> bytes =
      sys::read_file(FdRef(AT_FDCWD), (state_path + "/" + kConfigFile).c_str(), crypto::kMaxConfigSize);
  if (!bytes) return std::nullopt;
  auto checked = crypto::authenticate_config(*bytes, keys);
  const auto* config = std::get_if<crypto::VaultConfig>(&checked);
  if (config == nullptr) return std::nullopt;
  return config->generation;
}

void remember_config(const std::string& state_path, base::ByteView bytes) {
  Result<UniqueFd> state = open_state_folder(state_path);
  if (!state) return;
  base::Status written = write_durably(*state, kConfigFile, bytes, 0600, IfExists::kReplace);
  if (!written) {
    base::log(base::LogLevel::kWarning, "coffer.json cannot be remembered in {}: {}", state_path,
              errno_text(written.error()));
  }
}

Outcome<Unlocked> VaultFolder::create(const std::string& path, const NewVault& vault,
                                      std::optional<base::ByteView> password, const crypto::PasswordCost& cost) {
  if (Done may = may_become_vault(path); !may) return may.error();

  crypto::VaultKey key = crypto::random_vault_key();
  crypto::KeyRing keys(key);
  crypto::VaultConfig config;
  config.vault = crypto::random_id<crypto::VaultId>();
  config.suite = vault.suite;
  config.chunk_size = vault.chunk_size;
  config.name_max = vault.name_max;
  config.created = crypto::rfc3339_now();
  if (password) {
    config.slots.push_back(crypto::make_password_slot(key, config.vault, kFirstSlot, *password, cost, "password"));
  }
  const base::Bytes bytes = crypto::serialise_config(config, keys);

  VaultMaker maker(path);  // only now, so that a Ctrl-C during the second above leaves nothing behind
  if (Done taken = maker.take_folder(); !taken) return taken.error();
  // coffer.json comes last: until it is there the folder is no vault.
  if (Done done = maker.write(kReadmeFile, base::as_bytes(vault_readme()), 0644); !done) return done.error();
  if (Done done = maker.write(kConfigCopyFile, bytes, 0600); !done) return done.error();
  if (Done done = maker.write(kConfigFile, bytes, 0600); !done) return done.error();
  Outcome<VaultFolder> opened = open(path);  // what was written is what a reader will find
  if (!opened) return opened.error();
  maker.keep();
  remember_config(opened->state_path(), bytes);
  return Unlocked{std::move(key), std::move(keys), std::move(config)};
}

Done VaultFolder::replace_config(Unlocked& unlocked, crypto::VaultConfig config) {
  // A lock in local state, not on the folder: that one is the mount's, and slots may be changed beside it. Without
  // local state two changes in the same instant are told apart by the comparison below, almost always.
  UniqueFd lock;
  if (Outcome<UniqueFd> state = open_state()) {
    if (Result<UniqueFd> file = sys::openat(*state, kConfigLockFile, O_RDWR | O_CREAT, 0600)) {
      lock = *std::move(file);
      static_cast<void>(::flock(lock.get(), LOCK_EX));
    }
  }
  Result<base::Bytes> now = sys::read_file(fd_, kConfigFile, crypto::kMaxConfigSize);
  if (!now) return system_error(now.error(), path_ + "/" + kConfigFile);
  if (*now != bytes_) {
    return UserError{ExitCode::kBusy, fmt::format("{}/{} was changed in the meantime", path_, kConfigFile),
                     "another Coffer or the sync client did; run the command again"};
  }
  config.generation = unlocked.config.generation + 1;
  base::Bytes bytes = crypto::serialise_config(config, unlocked.keys);
  base::Status written = write_durably(fd_, kConfigFile, bytes, 0600, IfExists::kReplace);
  if (!written) return write_error(written.error(), path_ + "/" + kConfigFile);
  written = write_durably(fd_, kConfigCopyFile, bytes, 0600, IfExists::kReplace);
  if (!written) {  // the change stands; only its second copy is missing
    base::log(base::LogLevel::kWarning, "{}/{} could not be renewed and still has the old slots: {}", path_,
              kConfigCopyFile, errno_text(written.error()));
  }
  remember_config(state_path(), bytes);
  bytes_ = std::move(bytes);
  unverified_ = config;
  unlocked.config = std::move(config);
  return std::monostate{};
}

}  // namespace coffer::fs
