#include "mount/password_cost.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

namespace coffer::mount {

void add_cost_options(CLI::App& command, CostOptions& options) {
  command.add_option("--kdf-memory", options.memory_mib, "MiB of memory that each guess at the password takes")
      ->type_name("MIB");
  command
      .add_option("--kdf-passes", options.passes,
                  "Passes over that memory; if neither is given, both are chosen to take about a second here")
      ->type_name("N");
}

fs::Outcome<std::optional<crypto::PasswordCost>> chosen_cost(const CostOptions& options) {
  using Chosen = std::optional<crypto::PasswordCost>;
  if (options.memory_mib == 0 && options.passes == 0) return Chosen();
  crypto::PasswordCost cost;
  if (options.memory_mib != 0) cost.memory_kib = options.memory_mib > (1 << 20) ? ~0ULL : options.memory_mib * 1024;
  if (options.passes != 0) cost.passes = options.passes;
  const auto& least = crypto::kMinPasswordCost;
  const auto& most = crypto::kMaxPasswordCost;
  if (cost.memory_kib < least.memory_kib || cost.memory_kib > most.memory_kib || cost.passes < least.passes ||
      cost.passes > most.passes) {
    return fs::UserError{fs::ExitCode::kUsage,
                         fmt::format("--kdf-memory takes {} to {} (MiB), --kdf-passes {} to {}",
                                     least.memory_kib / 1024, most.memory_kib / 1024, least.passes, most.passes),
                         "leave both out to have them chosen for this machine"};
  }
  return Chosen(cost);
}

}  // namespace coffer::mount
