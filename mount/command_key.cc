#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "crypto/random.h"
#include "fs/user_text.h"
#include "mount/commands.h"
#include "mount/control.h"
#include "mount/key_text.h"
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
using nlohmann::json;

constexpr std::size_t kNewKeyfileSize = 64;
constexpr std::size_t kSlotsMax = 64;  // FORMAT.md section 3

struct ShowOptions {
  std::string vault;
  SecretOptions secret;
};

Done show(const ShowOptions& options) {
  Outcome<fs::VaultFolder> vault = fs::VaultFolder::open(options.vault);
  if (!vault) return vault.error();
  Outcome<UnlockedBy> opened = unlock(*vault, options.secret);
  if (!opened) return opened.error();
  const fs::Unlocked& unlocked = opened->unlocked;
  if (Done done = print(fmt::format("Recovery sheet of the Coffer vault {}\nvault id {}, made {}\n\nVault key:\n\n",
                                    fs::printable(vault->path()), crypto::to_hex(unlocked.config.vault.view()),
                                    unlocked.config.created));
      !done) {
    return done;
  }
  if (Done done = print_vault_key(unlocked.key); !done) return done;
  return print(
      "\nThese 64 digits open the vault without a password:\n"
      "    coffer mount --key VAULT MOUNTPOINT\n"
      "Should coffer.json be lost, and its copy coffer-copy.json too, they still read every file:\n"
      "    scripts/coffer_reader.py --without-config, in the sources of Coffer\n"
      "Whoever has them can read everything. Keep this sheet on paper, away from the machine.\n");
}

struct ListOptions {
  std::string vault;
  bool json = false;
};

std::string slot_line(const crypto::Slot& slot) {
  const std::string cost = slot.type == crypto::SlotType::kPassword
                               ? fmt::format("{} MiB, {} pass{}", slot.cost.memory_kib / 1024, slot.cost.passes,
                                             slot.cost.passes == 1 ? "" : "es")
                               : "-";
  return fmt::format("{:>4}  {:<8}  {:<20}  {:<20}  {}\n", slot.id, slot_type_name(slot.type), slot.created, cost,
                     fs::printable(slot.label));
}

// Needs no secret, so what it shows is what coffer.json says, authentic or not.
Done list(const ListOptions& options) {
  Outcome<fs::VaultFolder> vault = fs::VaultFolder::open(options.vault);
  if (!vault) return vault.error();
  const crypto::VaultConfig& config = vault->unverified();
  if (options.json) {
    json slots = json::array();
    for (const crypto::Slot& slot : config.slots) {
      json entry{
          {"id", slot.id}, {"type", slot_type_name(slot.type)}, {"label", slot.label}, {"created", slot.created}};
      if (slot.type == crypto::SlotType::kPassword) {
        entry["memory_kib"] = slot.cost.memory_kib;
        entry["passes"] = slot.cost.passes;
      }
      slots.push_back(std::move(entry));
    }
    return print(to_line({{"version", 1}, {"vault_id", crypto::to_hex(config.vault.view())}, {"slots", slots}}));
  }
  if (config.slots.empty()) return print("no slots: only the 64 digits of the vault key open this vault\n");
  std::string text =
      fmt::format("{:>4}  {:<8}  {:<20}  {:<20}  {}\n", "slot", "type", "added", "cost of a guess", "label");
  for (const crypto::Slot& slot : config.slots) text += slot_line(slot);
  return print(text + "and the 64 digits of the vault key\n");
}

struct AddOptions {
  std::string vault;
  std::string label;
  std::string keyfile;
  std::string new_keyfile;
  bool password = false;
  SecretOptions secret;
  NewPasswordOptions new_password;
  CostOptions cost;
};

// The keyfile to add: an existing one, or a new one of random bytes.
Outcome<crypto::SecretBuffer> keyfile_content(const AddOptions& options) {
  if (!options.keyfile.empty()) return read_keyfile(options.keyfile);
  crypto::SecretBuffer content(kNewKeyfileSize);
  crypto::random_bytes(content.span());
  // Written before the slot: a slot for a keyfile that is nowhere would be of no use to anybody.
  if (Done written = write_secret_file(options.new_keyfile, content.view(), /*newline=*/false); !written) {
    return written.error();
  }
  return content;
}

Outcome<crypto::Slot> make_slot(const AddOptions& options, const fs::VaultFolder& vault, const fs::Unlocked& unlocked,
                                const std::optional<crypto::PasswordCost>& cost) {
  const std::uint32_t id = next_slot_id(unlocked.config);
  if (!options.keyfile.empty() || !options.new_keyfile.empty()) {
    Outcome<crypto::SecretBuffer> content = keyfile_content(options);
    if (!content) return content.error();
    return crypto::make_keyfile_slot(unlocked.key, unlocked.config.vault, id, content->view(),
                                     options.label.empty() ? "keyfile" : options.label);
  }
  Outcome<crypto::SecretBuffer> password =
      new_password(options.new_password, fmt::format("Further password for {}", fs::printable(vault.path())));
  if (!password) return password.error();
  return crypto::make_password_slot(unlocked.key, unlocked.config.vault, id, password->view(),
                                    cost ? *cost : crypto::calibrate_password_cost(),
                                    options.label.empty() ? "password" : options.label);
}

Done add(const AddOptions& options) {
  if (!options.label.empty() && !crypto::is_slot_label(options.label)) {
    return UserError{ExitCode::kUsage, "--label takes at most 64 bytes of text without control characters", ""};
  }
  Outcome<std::optional<crypto::PasswordCost>> cost = chosen_cost(options.cost);
  if (!cost) return cost.error();
  Outcome<fs::VaultFolder> vault = fs::VaultFolder::open(options.vault);
  if (!vault) return vault.error();
  if (vault->unverified().slots.size() >= kSlotsMax) {
    return UserError{ExitCode::kOther, fmt::format("the vault has {} slots, and no more fit", kSlotsMax),
                     fmt::format("remove one first: coffer key remove {} SLOT", fs::shell_word(vault->path()))};
  }
  if (!options.new_keyfile.empty()) {
    if (Done may = may_write_secret_file(options.new_keyfile); !may) return may;
  }
  Outcome<UnlockedBy> opened = unlock(*vault, options.secret);
  if (!opened) return opened.error();
  Outcome<crypto::Slot> slot = make_slot(options, *vault, opened->unlocked, *cost);
  if (!slot) return slot.error();
  const std::string text =
      fmt::format("Added slot {}: {} \"{}\".\n", slot->id, slot_type_name(slot->type), fs::printable(slot->label));
  crypto::VaultConfig config = opened->unlocked.config;
  config.slots.push_back(*std::move(slot));
  if (Done done = vault->replace_config(opened->unlocked, std::move(config)); !done) return done;
  return print(text);
}

struct RemoveOptions {
  std::string vault;
  std::uint32_t slot = 0;
  bool yes = false;
  SecretOptions secret;
};

Done confirm(const RemoveOptions& options, const crypto::Slot& slot, bool is_last) {
  if (options.yes) return std::monostate{};
  Outcome<Terminal> terminal = Terminal::open("say so beforehand, with --yes");
  if (!terminal) return terminal.error();
  if (is_last) {
    terminal->say(
        "This is the last slot. Without it only the 64 digits of the vault key open the vault; if you do not have\n"
        "them (coffer key show), everything in it is lost.");
  }
  Outcome<std::string> answer =
      terminal->ask_line(fmt::format("Remove slot {} ({} \"{}\", added {})? Type yes: ", slot.id,
                                     slot_type_name(slot.type), fs::printable(slot.label), slot.created));
  if (!answer) return answer.error();
  if (*answer == "yes") return std::monostate{};
  return UserError{ExitCode::kInterrupted, "nothing was removed", ""};
}

Done remove(const RemoveOptions& options) {
  Outcome<fs::VaultFolder> vault = fs::VaultFolder::open(options.vault);
  if (!vault) return vault.error();
  const auto not_there = [&]() -> UserError {
    return {ExitCode::kNotFound, fmt::format("the vault has no slot {}", options.slot),
            fmt::format("see which there are: coffer key list {}", fs::shell_word(vault->path()))};
  };
  if (find_slot(vault->unverified(), options.slot) == nullptr) return not_there();
  Outcome<UnlockedBy> opened = unlock(*vault, options.secret);
  if (!opened) return opened.error();
  crypto::VaultConfig config = opened->unlocked.config;
  const crypto::Slot* slot = find_slot(config, options.slot);
  if (slot == nullptr) return not_there();
  const bool is_last = config.slots.size() == 1;
  if (Done confirmed = confirm(options, *slot, is_last); !confirmed) return confirmed;
  std::erase_if(config.slots, [&](const crypto::Slot& s) { return s.id == options.slot; });
  if (Done done = vault->replace_config(opened->unlocked, std::move(config)); !done) return done;
  return print(fmt::format("Removed slot {}.\n{}{}", options.slot,
                           is_last ? "From now on only the 64 digits of the vault key open the vault.\n" : "",
                           about_old_copies(fs::printable(vault->path()))));
}

void add_show(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<ShowOptions>();
  CLI::App* command = group.add_subcommand("show", "Print the vault key: the recovery sheet");
  command->add_option("VAULT", options->vault, "The vault's folder")->required();
  add_secret_options(*command, options->secret);
  command->footer("Example:\n  coffer key show ~/Dropbox/vault | lp");
  command->callback([options, &chosen] { chosen = [options] { return show(*options); }; });
}

void add_list(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* command = group.add_subcommand("list", "What opens the vault: its slots, as coffer.json has them");
  command->add_option("VAULT", options->vault, "The vault's folder")->required();
  command->add_flag("--json", options->json, "For programs; docs/CLI.md explains the keys");
  command->footer("Example:\n  coffer key list ~/Dropbox/vault");
  command->callback([options, &chosen] { chosen = [options] { return list(*options); }; });
}

void add_add(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<AddOptions>();
  CLI::App* command = group.add_subcommand("add", "Add a password or a keyfile; works while the vault is mounted");
  command->add_option("VAULT", options->vault, "The vault's folder")->required();
  command->add_option("--label", options->label, "A name for it, seen in coffer key list by anybody")
      ->type_name("TEXT");
  const std::string title = "What to add (without any of these: a password, asked twice on the terminal)";
  std::vector<CLI::Option*> kinds = add_new_password_options(*command, options->new_password, title);
  kinds.push_back(command->add_flag("--new-password", options->password, "A password, asked twice on the terminal"));
  kinds.push_back(command->add_option("--new-keyfile", options->new_keyfile, "A keyfile of random bytes, made there")
                      ->type_name("FILE"));
  kinds.push_back(command->add_option("--keyfile", options->keyfile, "An existing keyfile, of 32 bytes to 1 MiB")
                      ->type_name("FILE"));
  for (CLI::Option* kind : kinds) kind->group(title);
  only_one_of(kinds);
  add_secret_options(*command, options->secret);
  add_cost_options(*command, options->cost);
  command->footer(
      "Example:\n  coffer key add ~/Dropbox/vault --label 'spouse'\n  coffer key add ~/Dropbox/vault --new-keyfile "
      "/media/stick/coffer.keyfile");
  command->callback([options, &chosen] { chosen = [options] { return add(*options); }; });
}

void add_remove(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<RemoveOptions>();
  CLI::App* command = group.add_subcommand("remove", "Remove a slot; works while the vault is mounted");
  command->add_option("VAULT", options->vault, "The vault's folder")->required();
  command->add_option("SLOT", options->slot, "Its number in coffer key list")->required();
  command->add_flag("--yes", options->yes, "Do not ask, not even before the last one goes");
  add_secret_options(*command, options->secret);
  command->footer("Example:\n  coffer key remove ~/Dropbox/vault 2");
  command->callback([options, &chosen] { chosen = [options] { return remove(*options); }; });
}

}  // namespace

void add_key_commands(CLI::App& program, Action& chosen) {
  CLI::App* group = program.add_subcommand("key", "The vault key, and the passwords and keyfiles that open the vault");
  group->require_subcommand(1);
  group->footer("Example:\n  coffer key list ~/Dropbox/vault");
  add_show(*group, chosen);
  add_add(*group, chosen);
  add_remove(*group, chosen);
  add_list(*group, chosen);
}

}  // namespace coffer::mount
