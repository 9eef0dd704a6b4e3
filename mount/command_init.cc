#include <fmt/format.h>

#include <memory>

#include "crypto/keys.h"
#include "fs/user_text.h"
#include "fs/vault_maker.h"
#include "mount/commands.h"
#include "mount/key_text.h"
#include "mount/option_help.h"
#include "mount/password_cost.h"
#include "mount/secrets.h"
#include "mount/sizes.h"
#include "mount/suites.h"
#include "mount/terminal.h"

namespace coffer::mount {
namespace {

using fs::Done;
using fs::ExitCode;
using fs::Outcome;
using fs::UserError;

struct Options {
  std::string vault;
  std::string cipher;
  std::string chunk_size;
  std::string key_output;
  std::uint16_t name_max = crypto::kDefaultNameMax;
  bool key_only = false;
  CostOptions cost;
  SecretOptions secret;
};

Outcome<fs::NewVault> describe_vault(const Options& options) {
  fs::NewVault vault;
  vault.suite = options.cipher.empty() ? suite_for_this_machine() : *suite_by_name(options.cipher);
  vault.name_max = options.name_max;
  if (!options.chunk_size.empty()) {
    const std::optional<std::uint64_t> size = parse_size(options.chunk_size);
    if (!size || *size < crypto::kMinChunkSize || *size > crypto::kMaxChunkSize || (*size & (*size - 1)) != 0) {
      return UserError{ExitCode::kUsage,
                       fmt::format("--chunk-size {} is no power of two from 4K to 1M", options.chunk_size),
                       "the default, 16K, suits most"};
    }
    vault.chunk_size = static_cast<std::uint32_t>(*size);
  }
  return vault;
}

// If the file cannot be written, the terminal gets the key after all: there is no other copy of it.
Done show_key(const Options& options, const fs::Unlocked& made) {
  Done written = std::monostate{};
  if (!options.key_output.empty()) {
    const crypto::SecretBuffer text = crypto::format_vault_key(made.key);
    written = write_secret_file(options.key_output, text.view(), /*newline=*/true);
    if (written) {
      return print(fmt::format("The vault key is in {}. Keep it somewhere safe, and not in the vault.\n",
                               fs::printable(options.key_output)));
    }
  }
  if (Done done = print("\nThe vault key, shown this once:\n\n"); !done) return done;
  if (Done done = print_vault_key(made.key); !done) return done;
  Done shown =
      print(options.key_only
                ? "\nWrite it down and keep it away from this machine. There is no password: without these 64 digits\n"
                  "the files are lost for good, and nobody can help.\n"
                : "\nWrite it down and keep it away from this machine. It opens the vault without the password. "
                  "Without both\n"
                  "of them the files are lost for good, and nobody can help.\n");
  return written ? shown : written;
}

Done run(const Options& options) {
  Outcome<fs::NewVault> vault = describe_vault(options);
  if (!vault) return vault.error();
  Outcome<std::optional<crypto::PasswordCost>> cost = chosen_cost(options.cost);
  if (!cost) return cost.error();
  if (Done may = fs::may_become_vault(options.vault); !may) return may;
  // Found out now rather than when the vault is made and its key has nowhere to go.
  if (!options.key_output.empty()) {
    if (Done may = may_write_secret_file(options.key_output); !may) return may;
  }

  std::optional<crypto::SecretBuffer> password;
  if (!options.key_only) {
    Outcome<crypto::SecretBuffer> asked =
        first_password(options.secret, fmt::format("New password for {}", fs::printable(options.vault)));
    if (!asked) return asked.error();
    password = *std::move(asked);
  }
  if (password && !*cost) *cost = crypto::calibrate_password_cost();
  Outcome<fs::Unlocked> made =
      fs::VaultFolder::create(options.vault, *vault, password ? std::optional(password->view()) : std::nullopt,
                              cost->value_or(crypto::PasswordCost{}));
  if (!made) return made.error();
  if (Done done =
          print(fmt::format("Made the vault {} ({}).\n", fs::printable(options.vault), suite_name(vault->suite)));
      !done) {
    return done;
  }
  if (Done done = show_key(options, *made); !done) return done;
  return print(fmt::format("\nOpen it with: coffer mount {} MOUNTPOINT\n", fs::shell_word(options.vault)));
}

}  // namespace

void add_init_command(CLI::App& program, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      program.add_subcommand("init", "Make a new vault: asks a password twice, prints the vault key once");
  command->add_option("VAULT", options->vault, "Folder to make, or an empty one")->required();
  auto* key_only =
      command->add_flag("--key-only", options->key_only, "No password: only the vault key opens the vault");
  command->add_option("--cipher", options->cipher, "aes-256-gcm or xchacha20-poly1305; default: what is faster here")
      ->type_name("NAME")
      ->check(CLI::IsMember({"aes-256-gcm", "xchacha20-poly1305"}));
  command->add_option("--chunk-size", options->chunk_size, "Unit of encryption, 4K to 1M; default 16K")
      ->type_name("SIZE");
  command->add_option("--name-max", options->name_max, "Longest name in the vault, 132 to 255; default 200")
      ->type_name("N")
      ->check(CLI::Range(crypto::kMinNameMax, crypto::kMaxNameMax));
  command->add_option("--key-output", options->key_output, "Write the vault key to this new file, not to the terminal")
      ->type_name("FILE");
  add_cost_options(*command, options->cost);
  std::vector<CLI::Option*> ways = add_password_options(
      *command, options->secret, "The password (without any of these: asked twice on the terminal)");
  ways.push_back(key_only);
  only_one_of(ways);
  command->footer("Example:\n  coffer init ~/Dropbox/vault");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace coffer::mount
