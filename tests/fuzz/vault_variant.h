// A vault for one input of a fuzzer: in memory if the system has /dev/shm, mounted without threads, without a kernel,
// and with the same key each time.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "fs/filesystem.h"
#include "tests/fuzz/input.h"

namespace coffer::fuzz {

struct Variant {
  crypto::Suite suite = crypto::Suite::kAes256Gcm;
  std::uint32_t chunk_size = 4096;
  std::uint64_t dirty_bytes_max = std::uint64_t{64} << 20;
  std::size_t directory_fds_max = 256;
  bool strict = false;
  bool kernel_keeps_times = false;

  static Variant of(std::uint8_t byte);
};

class FuzzVault {
 public:
  explicit FuzzVault(const Variant& variant);
  ~FuzzVault();
  FuzzVault(const FuzzVault&) = delete;
  FuzzVault& operator=(const FuzzVault&) = delete;

  fs::Filesystem& fs() { return *fs_; }
  const Variant& variant() const { return variant_; }
  std::string vault_path() const;
  std::string state_path() const;
  void mount();
  void unmount();
  void forget_state();  // as if on another machine from the next mount on

 private:
  base::UniqueFd open(const char* name) const;

  const Variant variant_;
  std::string path_;
  crypto::VaultConfig config_;
  std::unique_ptr<fs::Filesystem> fs_;
};

}  // namespace coffer::fuzz
