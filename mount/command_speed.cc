#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "crypto/chunk_cipher.h"
#include "crypto/random.h"
#include "crypto/vault_config.h"
#include "mount/commands.h"
#include "mount/control.h"
#include "mount/suites.h"
#include "mount/terminal.h"

namespace coffer::mount {
namespace {

using fs::Done;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

struct Options {
  bool json = false;
};

struct SuiteSpeed {
  crypto::Suite suite;
  double seal = 0;  // bytes a second
  double open = 0;
};

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// Bytes a second of what `work` does to `bytes` bytes, on one core: the best of a few runs, as other programs only ever
// make it slower.
double measure(std::size_t bytes, const std::function<void()>& work) {
  constexpr int kRuns = 5;
  constexpr double kRunSeconds = 0.05;
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    const auto begin = Clock::now();
    std::size_t done = 0;
    while (seconds_since(begin) < kRunSeconds) {
      work();
      done += bytes;
    }
    best = std::max(best, static_cast<double>(done) / seconds_since(begin));
  }
  return best;
}

SuiteSpeed measure_suite(crypto::Suite suite) {
  constexpr std::size_t kChunk = crypto::kDefaultChunkSize;
  const crypto::KeyRing ring(crypto::random_vault_key());
  const crypto::FileKeys keys(ring, suite, crypto::random_id<crypto::FileId>());
  const crypto::ChunkCipher cipher(suite, keys);
  base::Bytes plain(kChunk);
  base::Bytes record(kChunk + crypto::record_overhead(suite));
  base::Bytes nonce(crypto::nonce_size(suite));
  crypto::random_bytes(plain);
  std::uint64_t index = 0;
  SuiteSpeed speed{suite};
  speed.seal = measure(kChunk, [&] {
    base::store_le(nonce.data(), ++index);  // never the same twice, and no measure of the random generator
    cipher.seal({index}, nonce, plain, record);
  });
  bool good = true;
  speed.open = measure(kChunk, [&] { good = cipher.open({index}, record, plain) && good; });
  COFFER_CHECK(good);
  return speed;
}

double measure_sum() {
  base::Bytes record(crypto::kDefaultChunkSize);
  crypto::random_bytes(record);
  std::uint64_t sink = 0;
  const double speed = measure(record.size(), [&] { sink += crypto::record_sum({sink}, record); });
  // The result is used, so the work is done.
  return sink == 1 ? speed + 1 : speed;
}

double measure_password(const crypto::PasswordCost& cost) {
  const crypto::VaultKey key = crypto::random_vault_key();
  const auto begin = Clock::now();
  static_cast<void>(crypto::make_password_slot(key, crypto::random_id<crypto::VaultId>(), 1, base::as_bytes("password"),
                                               cost, "speed"));
  return seconds_since(begin);
}

Done run(const Options& options) {
  std::vector<SuiteSpeed> suites;
  for (crypto::Suite suite : {crypto::Suite::kAes256Gcm, crypto::Suite::kXChaCha20Poly1305}) {
    suites.push_back(measure_suite(suite));
  }
  const double sum = measure_sum();
  const crypto::PasswordCost cost;
  const double password = measure_password(cost);
  const std::string_view chosen = suite_name(suite_for_this_machine());
  if (options.json) {
    json list = json::array();
    for (const SuiteSpeed& s : suites) {
      list.push_back(
          {{"name", suite_name(s.suite)}, {"seal_bytes_per_second", s.seal}, {"open_bytes_per_second", s.open}});
    }
    return print(
        to_line({{"version", 1},
                 {"chunk_size", crypto::kDefaultChunkSize},
                 {"suites", list},
                 {"default_suite", chosen},
                 {"xxh3_bytes_per_second", sum},
                 {"argon2id", {{"memory_kib", cost.memory_kib}, {"passes", cost.passes}, {"seconds", password}}}}));
  }
  constexpr double kMega = 1e6;
  std::string text = fmt::format("One core, chunks of {}:\n\n{:<20} {:>12} {:>12}\n",
                                 human_bytes(crypto::kDefaultChunkSize), "", "encrypt", "decrypt");
  for (const SuiteSpeed& s : suites) {
    text += fmt::format("{:<20} {:>7.0f} MB/s {:>7.0f} MB/s{}\n", suite_name(s.suite), s.seal / kMega, s.open / kMega,
                        suite_name(s.suite) == chosen ? "   (for new vaults on this machine)" : "");
  }
  text += fmt::format("{:<20} {:>7.0f} MB/s\n", "xxh3 checksum", sum / kMega);
  text += fmt::format("\nOne guess at a password ({}, {} passes of Argon2id): {:.2f} s\n",
                      human_bytes(cost.memory_kib * 1024), cost.passes, password);
  return print(text);
}

}  // namespace

void add_speed_command(CLI::App& program, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("speed", "How fast the ciphers are on this machine");
  command->add_flag("--json", options->json, "For programs; docs/CLI.md explains the keys");
  command->footer("Example:\n  coffer speed");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace coffer::mount
