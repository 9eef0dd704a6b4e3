// What a guess at a password shall cost: --kdf-memory and --kdf-passes.
#pragma once

#include <optional>

#include "crypto/vault_config.h"
#include "fs/user_error.h"

namespace CLI {
class App;
}

namespace coffer::mount {

struct CostOptions {
  std::uint64_t memory_mib = 0;  // 0: not given
  std::uint64_t passes = 0;
};
void add_cost_options(CLI::App& command, CostOptions& options);

// nullopt: nothing was asked for, so measure. With one of the two given, the other is the default.
// Errors: kUsage (out of bounds).
fs::Outcome<std::optional<crypto::PasswordCost>> chosen_cost(const CostOptions& options);

}  // namespace coffer::mount
