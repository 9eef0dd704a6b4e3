// File operations against a model in memory. The first byte chooses the kind of vault (Variant::of); of the rest, each
// operation takes its code and what it needs. Each input has a new vault, so that one that fails fails again:
// COFFER_FUZZ_TRACE=1 operations_fuzz FILE prints what it does.
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>

#include "base/log.h"
#include "crypto/random.h"
#include "tests/fuzz/operations.h"

namespace {

std::uint64_t operations_done = 0;

bool start() {
  coffer::crypto::init();
  coffer::base::log_set_level(coffer::base::LogLevel::kError);
  ::umask(022);
  std::atexit([] { std::fprintf(stderr, "operations: %llu\n", static_cast<unsigned long long>(operations_done)); });
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coffer::fuzz;
  static const bool started = start();
  static_cast<void>(started);
  Input input(data, size);
  const Variant variant = Variant::of(input.array<1>()[0]);
  FuzzVault vault(variant);
  Operations operations(vault, input);
  while (operations.step()) ++operations_done;
  operations.finish();
  return 0;
}
