#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "fs/user_text.h"
#include "mount/commands.h"
#include "mount/option_help.h"
#include "mount/password_cost.h"
#include "mount/secrets.h"
#include "mount/slots.h"
#include "mount/terminal.h"

namespace coffer::mount {
namespace {

using fs::Done;
using fs::ExitCode;
using fs::Outcome;
using fs::UserError;

struct Options {
  std::string vault;
  std::uint32_t slot = 0;  // 0: not given
  SecretOptions secret;
  NewPasswordOptions new_password;
  CostOptions cost;
};

UserError no_password(const std::string& path) {
  return {ExitCode::kNoSecret, fmt::format("the vault {} has no password to change", fs::printable(path)),
          fmt::format("add one with: coffer key add {}", fs::shell_word(path))};
}

// The slot to change: the one asked for, else the one that was just opened, else the only one.
Outcome<std::uint32_t> choose_slot(const Options& options, const fs::VaultFolder& vault, const UnlockedBy& opened) {
  const crypto::VaultConfig& config = opened.unlocked.config;
  const auto is_password = [&config](std::uint32_t id) {
    const crypto::Slot* slot = find_slot(config, id);
    return slot != nullptr && slot->type == crypto::SlotType::kPassword;
  };
  const std::string list = fmt::format("see which there are: coffer key list {}", fs::shell_word(vault.path()));
  if (options.slot != 0) {
    if (is_password(options.slot)) return options.slot;
    return UserError{ExitCode::kUsage, fmt::format("slot {} is no password of this vault", options.slot), list};
  }
  if (opened.slot && is_password(*opened.slot)) return *opened.slot;
  if (count_slots(config, crypto::SlotType::kPassword) > 1) {
    return UserError{ExitCode::kUsage, "the vault has several passwords: say which one to change, with --slot", list};
  }
  for (const crypto::Slot& slot : config.slots) {
    if (slot.type == crypto::SlotType::kPassword) return slot.id;
  }
  return no_password(vault.path());
}

Done run(const Options& options) {
  Outcome<std::optional<crypto::PasswordCost>> cost = chosen_cost(options.cost);
  if (!cost) return cost.error();
  Outcome<fs::VaultFolder> vault = fs::VaultFolder::open(options.vault);
  if (!vault) return vault.error();
  if (count_slots(vault->unverified(), crypto::SlotType::kPassword) == 0) return no_password(vault->path());
  Outcome<UnlockedBy> opened = unlock(*vault, options.secret);
  if (!opened) return opened.error();
  Outcome<std::uint32_t> old_id = choose_slot(options, *vault, *opened);
  if (!old_id) return old_id.error();
  Outcome<crypto::SecretBuffer> password =
      new_password(options.new_password, fmt::format("New password for {}", fs::printable(vault->path())));
  if (!password) return password.error();

  crypto::VaultConfig config = opened->unlocked.config;
  const crypto::Slot old = *find_slot(config, *old_id);
  std::erase_if(config.slots, [&](const crypto::Slot& slot) { return slot.id == *old_id; });
  config.slots.push_back(crypto::make_password_slot(opened->unlocked.key, config.vault,
                                                    next_slot_id(opened->unlocked.config), password->view(),
                                                    *cost ? **cost : crypto::calibrate_password_cost(), old.label));
  if (Done done = vault->replace_config(opened->unlocked, std::move(config)); !done) return done;
  return print(fmt::format("The password of {} is changed.\n{}", fs::printable(vault->path()),
                           about_old_copies(fs::printable(vault->path()))));
}

}  // namespace

void add_passwd_command(CLI::App& program, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      program.add_subcommand("passwd", "Change a password; nothing is encrypted anew, also while mounted");
  command->add_option("VAULT", options->vault, "The vault's folder")->required();
  command->add_option("--slot", options->slot, "Which password, if there are several (see: coffer key list)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  add_secret_options(*command, options->secret);
  only_one_of(add_new_password_options(*command, options->new_password,
                                       "The new password (without any of these: asked twice on the terminal)"));
  add_cost_options(*command, options->cost);
  command->footer("Example:\n  coffer passwd ~/Dropbox/vault");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace coffer::mount
