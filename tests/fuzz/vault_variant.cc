#include "tests/fuzz/vault_variant.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/check.h"
#include "tests/crypto/support.h"

namespace coffer::fuzz {
namespace {

constexpr const char* kVault = "vault";
constexpr const char* kState = "state";

std::string make_folder() {
  std::string base = "/tmp";
  if (::access("/dev/shm", W_OK) == 0) base = "/dev/shm";
  if (const char* wanted = std::getenv("TMPDIR")) base = wanted;
  std::string path = base + "/coffer-fuzz-XXXXXX";
  COFFER_CHECK(::mkdtemp(path.data()) != nullptr);
  return path;
}

}  // namespace

Variant Variant::of(std::uint8_t byte) {
  constexpr std::uint32_t kChunkSizes[] = {4096, 4096, 8192, 16384};
  Variant variant;
  variant.suite = byte % 2 == 0 ? crypto::Suite::kAes256Gcm : crypto::Suite::kXChaCha20Poly1305;
  variant.chunk_size = kChunkSizes[byte / 2 % 4];
  if ((byte & 8) != 0) variant.dirty_bytes_max = 10000;
  if ((byte & 16) != 0) variant.directory_fds_max = 1;
  variant.strict = (byte & 32) != 0;
  variant.kernel_keeps_times = (byte & 64) != 0;
  return variant;
}

FuzzVault::FuzzVault(const Variant& variant) : variant_(variant), path_(make_folder()) {
  config_.vault = crypto::test_id<crypto::VaultId>(0x77);
  config_.suite = variant.suite;
  config_.chunk_size = variant.chunk_size;
  for (const char* name : {kVault, kState}) std::filesystem::create_directory(path_ + "/" + name);
  mount();
}

FuzzVault::~FuzzVault() {
  fs_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string FuzzVault::vault_path() const { return path_ + "/" + kVault; }
std::string FuzzVault::state_path() const { return path_ + "/" + kState; }

base::UniqueFd FuzzVault::open(const char* name) const {
  return base::UniqueFd(::open((path_ + "/" + name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

void FuzzVault::mount() {
  fs::FilesystemOptions options;
  options.vault = open(kVault);
  options.state = open(kState);
  options.config = config_;
  options.keys = &crypto::test_keys();
  options.strict = variant_.strict;
  options.dirty_bytes_max = variant_.dirty_bytes_max;
  options.directory_fds_max = variant_.directory_fds_max;
  options.settles_by_hand = true;
  auto opened = fs::Filesystem::open(std::move(options));
  if (!opened) std::fprintf(stderr, "not mounted: errno %d\n", opened.error().code());
  COFFER_CHECK(opened.has_value());
  fs_ = *std::move(opened);
  if (variant_.kernel_keeps_times) fs_->kernel_keeps_times();
}

void FuzzVault::unmount() {
  COFFER_CHECK(fs_->shutdown().has_value());
  fs_.reset();
}

void FuzzVault::forget_state() {
  std::filesystem::remove_all(state_path());
  std::filesystem::create_directory(state_path());
}

}  // namespace coffer::fuzz
