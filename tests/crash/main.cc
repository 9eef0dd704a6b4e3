// The power-cut harness by itself (scripts/power-cut) and its tests.
//
//     crash_test                                       the tests
//     crash_test --full                                10,000 crash points
//     crash_test --points N [--seed S] [--actions A]   N crash points, the first workload with seed S
//     crash_test --seed S --point P --variant V        one of them again, with everything that led to it
//
// --break=journal-flush or --break=vault-flush leaves out fsync and fdatasync of files in local state or in the vault:
// the harness must find that. The exit code is 1 if there were violations:
//
//     chunk-of-nothing         a chunk is none that this file ever had there
//     incomplete-after-kill    the process was killed, and a new file cannot be read
//     links-parted             two names of one file lead to two files
//     mount-failed
//     name-lost, unknown-name  the names are those of no state that they may be in
//     new-unsynced-incomplete  a new file that nobody flushed cannot be read: tolerated
//     promise-broken           older than what fsync, fdatasync or sync promised; after kill -9, than what was closed
//     rename-over-lost         a file was renamed over another one, and neither is there
//     unlistable, name-twice   a directory or a name in it cannot be shown
//     unreadable               a file that was flushed once cannot be read
//     write-after              the vault does not work afterwards
//     wrong-size               a size that this file never had
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "base/log.h"
#include "crypto/random.h"
#include "tests/crash/run.h"

namespace coffer::crash {
namespace {

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    fmt::print(stderr, "not a number: {}\n", text);
    std::exit(2);
  }
  return value;
}

// False: this is for the tests.
bool parse(int argc, char** argv, RunOptions& options) {
  bool alone = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool last = i + 1 == argc;
    if (argument == "--full") {
      options.points = 10000;
    } else if (argument == "--break=journal-flush") {
      options.broken.journal_flush = true;
    } else if (argument == "--break=vault-flush") {
      options.broken.vault_flush = true;
    } else if (argument == "--verbose") {
      options.verbose = true;
    } else if (argument == "--points" && !last) {
      options.points = number(argv[++i]);
    } else if (argument == "--seed" && !last) {
      options.seed = number(argv[++i]);
    } else if (argument == "--actions" && !last) {
      options.actions = static_cast<int>(number(argv[++i]));
    } else if (argument == "--point" && !last) {
      options.point = number(argv[++i]);
      options.verbose = true;
    } else if (argument == "--variant" && !last) {
      options.variant = argv[++i];
    } else {
      if (!alone && argument.starts_with("--gtest")) return false;
      fmt::print(stderr, "not known: {}\n", argument);
      std::exit(2);
    }
    alone = true;
  }
  return alone;
}

}  // namespace
}  // namespace coffer::crash

int main(int argc, char** argv) {
  // In memory where it can be: thousands of vaults are made.
  if (::access("/dev/shm", W_OK) == 0) ::setenv("TMPDIR", "/dev/shm", 0);
  coffer::crypto::init();
  coffer::base::log_set_level(coffer::base::LogLevel::kError);
  coffer::crash::RunOptions options;
  const bool alone = coffer::crash::parse(argc, argv, options);
  // What cannot be read is the point of it; only who plays one cut again wants to know what the log says.
  if (!options.verbose && !coffer::base::log_open("/dev/null")) return 2;
  if (alone) {
    const coffer::crash::Report report = coffer::crash::run(options);
    fmt::print("{}", coffer::crash::to_string(report));
    return report.violations.empty() && report.failed.empty() ? 0 : 1;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
