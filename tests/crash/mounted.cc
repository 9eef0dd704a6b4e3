#include "tests/crash/mounted.h"

#include "crypto/random.h"

namespace coffer::crash {

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

}  // namespace coffer::crash
