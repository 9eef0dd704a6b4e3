#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <new>

#include "crypto/random.h"
#include "crypto/vault_config.h"

namespace coffer::crypto {
namespace {

constexpr std::uint64_t kWantedKib = 256 * 1024;
constexpr std::uint64_t kSampleKib = 32 * 1024;  // beyond the caches, as the real thing is
constexpr std::uint64_t kFewestPasses = 2;

std::uint64_t machine_memory_kib() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_size = sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page_size <= 0) return 0;
  return static_cast<std::uint64_t>(pages) * (static_cast<std::uint64_t>(page_size) / 1024);
}

double seconds_per_pass_and_kib() {
  const ByteArray<crypto_pwhash_SALTBYTES> salt{};
  const char password = 0;
  Key key;
  const auto begin = std::chrono::steady_clock::now();
  if (crypto_pwhash(key.data(), Key::size(), &password, 1, salt.data(), kFewestPasses, kSampleKib * 1024,
                    crypto_pwhash_ALG_ARGON2ID13) != 0) {
    throw std::bad_alloc();
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  return std::max(taken.count(), 1e-6) / static_cast<double>(kFewestPasses * kSampleKib);
}

}  // namespace

PasswordCost calibrate_password_cost(unsigned milliseconds) {
  // An eighth of the memory: whoever opens the vault years later may have a machine like this one, with less of it
  // free.
  const std::uint64_t memory_kib = std::clamp(machine_memory_kib() / 8, kMinPasswordCost.memory_kib, kWantedKib);
  const double seconds_per_pass = seconds_per_pass_and_kib() * static_cast<double>(memory_kib);
  const double passes = static_cast<double>(milliseconds) / 1000.0 / seconds_per_pass;
  const double most = static_cast<double>(kMaxPasswordCost.passes);
  return {std::max(kFewestPasses, static_cast<std::uint64_t>(std::min(passes, most))), memory_kib};
}

}  // namespace coffer::crypto
