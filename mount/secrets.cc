#include "mount/secrets.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/sys.h"
#include "crypto/keys.h"
#include "fs/durable_file.h"
#include "fs/user_text.h"
#include "mount/option_help.h"
#include "mount/secret_source.h"
#include "mount/terminal.h"

namespace coffer::mount {
namespace {

using crypto::SecretBuffer;
using fs::ExitCode;
using fs::Outcome;
using fs::UserError;

constexpr int kTries = 3;
constexpr const char* kOtherWays =
    "give the password with --password-file, --password-command or --password-stdin, or the 64 digits with --key-file";

// Everything but the terminal, in the order in which it counts. nullopt: nothing is given.
Outcome<std::optional<SecretBuffer>> given_password(const SecretOptions& options, bool use_environment) {
  std::string file = options.password_file;
  std::string command = options.password_command;
  std::string what = "--password-file";
  if (file.empty() && command.empty() && !options.password_stdin && use_environment) {
    if (const char* from = std::getenv("COFFER_PASSWORD_FILE"); from != nullptr && *from != '\0') {
      file = from;
      what = "COFFER_PASSWORD_FILE";
    } else if (from = std::getenv("COFFER_PASSWORD_COMMAND"); from != nullptr && *from != '\0') {
      command = from;
    }
  }
  const auto finish = [](Outcome<SecretBuffer> secret,
                         const std::string& source) -> Outcome<std::optional<SecretBuffer>> {
    if (!secret) return secret.error();
    Outcome<SecretBuffer> password = to_password(*std::move(secret), source);
    if (!password) return password.error();
    return std::optional(*std::move(password));
  };
  if (!file.empty()) return finish(read_secret_file(file), fmt::format("{} ({})", fs::printable(file), what));
  if (!command.empty()) return finish(read_secret_command(command), "the password command");
  if (options.password_stdin) return finish(read_secret(base::FdRef(STDIN_FILENO), "standard input"), "standard input");
  return std::optional<SecretBuffer>();
}

bool has_slot(const crypto::VaultConfig& config, crypto::SlotType type) {
  return std::any_of(config.slots.begin(), config.slots.end(),
                     [type](const crypto::Slot& slot) { return slot.type == type; });
}

// Which slot it was. Only worth asking where there are several: each try may cost a second.
std::optional<std::uint32_t> slot_opened_by(const crypto::VaultConfig& config, crypto::SlotType type,
                                            base::ByteView secret) {
  std::vector<const crypto::Slot*> candidates;
  for (const crypto::Slot& slot : config.slots) {
    if (slot.type == type) candidates.push_back(&slot);
  }
  if (candidates.size() == 1) return candidates.front()->id;
  for (const crypto::Slot* slot : candidates) {
    if (crypto::open_slot(*slot, config.vault, secret)) return slot->id;
  }
  return std::nullopt;
}

Outcome<UnlockedBy> unlock_with_password(const fs::VaultFolder& vault, base::ByteView password) {
  Outcome<fs::Unlocked> unlocked = vault.unlock_with_password(password);
  if (!unlocked) return unlocked.error();
  const auto slot = slot_opened_by(unlocked->config, crypto::SlotType::kPassword, password);
  return UnlockedBy{*std::move(unlocked), slot};
}

Outcome<UnlockedBy> unlock_with_key(const fs::VaultFolder& vault, crypto::VaultKey key) {
  Outcome<fs::Unlocked> unlocked = vault.unlock_with_vault_key(std::move(key));
  if (!unlocked) return unlocked.error();
  return UnlockedBy{*std::move(unlocked), std::nullopt};
}

Outcome<UnlockedBy> unlock_with_key_file(const fs::VaultFolder& vault, const std::string& path) {
  Outcome<SecretBuffer> content = read_secret_file(path);
  if (!content) return content.error();
  if (std::optional<crypto::VaultKey> key = crypto::parse_vault_key(content->view())) {
    return unlock_with_key(vault, *std::move(key));
  }
  if (!crypto::is_keyfile_size(content->size())) {
    return UserError{ExitCode::kNoSecret,
                     fmt::format("{} holds neither the 64 digits of a vault key nor a keyfile", fs::printable(path)),
                     "a keyfile has 32 bytes to 1 MiB; of the vault key all 64 digits are needed"};
  }
  Outcome<fs::Unlocked> unlocked = vault.unlock_with_keyfile(content->view());
  if (!unlocked) return unlocked.error();
  const auto slot = slot_opened_by(unlocked->config, crypto::SlotType::kKeyfile, content->view());
  return UnlockedBy{*std::move(unlocked), slot};
}

std::size_t count_digits(base::ByteView text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](base::Byte c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  }));
}

Outcome<UnlockedBy> ask_for_key(const fs::VaultFolder& vault, Terminal& terminal) {
  UserError last;
  for (int i = 0; i < kTries; ++i) {
    Outcome<SecretBuffer> line = terminal.ask_secret(fmt::format(
        "Vault key of {} (64 digits; not shown, spaces and dashes do not matter): ", fs::printable(vault.path())));
    if (!line) return line.error();
    std::optional<crypto::VaultKey> key = crypto::parse_vault_key(line->view());
    if (!key) {
      last = {ExitCode::kWrongSecret,
              fmt::format("that has {} digits of 0-9 and a-f, not 64 and nothing else", count_digits(line->view())),
              "type it group by group, or put it into a file for --key-file"};
    } else {
      Outcome<UnlockedBy> unlocked = unlock_with_key(vault, *std::move(key));
      if (unlocked || unlocked.error().code != ExitCode::kWrongSecret) return unlocked;
      last = unlocked.error();
    }
    if (i + 1 < kTries) terminal.say("coffer: " + last.message);
  }
  return last;
}

Outcome<UnlockedBy> ask_for_password(const fs::VaultFolder& vault, Terminal& terminal) {
  UserError last;
  for (int i = 0; i < kTries; ++i) {
    Outcome<SecretBuffer> password = terminal.ask_secret(fmt::format("Password of {}: ", fs::printable(vault.path())));
    if (!password) return password.error();
    if (password->size() == 0) {
      last = {ExitCode::kNoSecret, "an empty password is never accepted", ""};
    } else {
      Outcome<UnlockedBy> unlocked = unlock_with_password(vault, password->view());
      if (unlocked || unlocked.error().code != ExitCode::kWrongSecret) return unlocked;
      last = unlocked.error();
    }
    if (i + 1 < kTries) terminal.say("coffer: " + last.message);
  }
  return last;
}

Outcome<SecretBuffer> ask_twice(const std::string& prompt, std::string_view hint) {
  Outcome<Terminal> terminal = Terminal::open(hint);
  if (!terminal) return terminal.error();
  for (int i = 0; i < kTries; ++i) {
    Outcome<SecretBuffer> first = terminal->ask_secret(prompt + ": ");
    if (!first) return first;
    if (first->size() == 0) {
      terminal->say("coffer: an empty password is never accepted");
      continue;
    }
    Outcome<SecretBuffer> second = terminal->ask_secret(prompt + ", again: ");
    if (!second) return second;
    if (base::as_text(first->view()) == base::as_text(second->view())) return first;
    terminal->say("coffer: these were not the same");
  }
  return UserError{ExitCode::kNoSecret, "no password was chosen", ""};
}

}  // namespace

std::vector<CLI::Option*> add_password_options(CLI::App& command, SecretOptions& options, const std::string& title) {
  std::vector<CLI::Option*> ways{
      command.add_option("--password-file", options.password_file, "The password is the content of this file")
          ->type_name("FILE"),
      command.add_option("--password-command", options.password_command, "The password is what this command prints")
          ->type_name("CMD"),
      command.add_flag("--password-stdin", options.password_stdin, "The password comes from standard input")};
  for (CLI::Option* way : ways) way->group(title);
  return ways;
}

void add_secret_options(CLI::App& command, SecretOptions& options) {
  const std::string title = "How to unlock it (without any of these: asked on the terminal)";
  std::vector<CLI::Option*> ways = add_password_options(command, options, title);
  ways.push_back(
      command
          .add_option("--key-file", options.key_file, "This file has the 64 digits of the vault key, or is a keyfile")
          ->type_name("FILE"));
  ways.push_back(
      command.add_flag("--key", options.ask_key, "Ask for the 64 digits of the vault key, not for a password"));
  for (CLI::Option* way : ways) way->group(title);
  only_one_of(ways);
}

std::vector<CLI::Option*> add_new_password_options(CLI::App& command, NewPasswordOptions& options,
                                                   const std::string& title) {
  std::vector<CLI::Option*> ways{
      command.add_option("--new-password-file", options.file, "The new password is the content of this file")
          ->type_name("FILE"),
      command.add_option("--new-password-command", options.command, "The new password is what this command prints")
          ->type_name("CMD")};
  for (CLI::Option* way : ways) way->group(title);
  return ways;
}

Outcome<UnlockedBy> unlock(const fs::VaultFolder& vault, const SecretOptions& options) {
  if (!options.key_file.empty()) return unlock_with_key_file(vault, options.key_file);
  if (!options.ask_key) {
    Outcome<std::optional<SecretBuffer>> given = given_password(options, true);
    if (!given) return given.error();
    if (*given) return unlock_with_password(vault, (*given)->view());
  }
  Outcome<Terminal> terminal = Terminal::open(kOtherWays);
  if (!terminal) return terminal.error();
  if (options.ask_key) return ask_for_key(vault, *terminal);
  if (!has_slot(vault.unverified(), crypto::SlotType::kPassword)) {
    terminal->say("This vault has no password.");
    return ask_for_key(vault, *terminal);
  }
  return ask_for_password(vault, *terminal);
}

Outcome<SecretBuffer> first_password(const SecretOptions& options, const std::string& prompt) {
  Outcome<std::optional<SecretBuffer>> given = given_password(options, true);
  if (!given) return given.error();
  if (*given) return **std::move(given);
  return ask_twice(prompt, "give it with --password-file, --password-command or --password-stdin");
}

Outcome<SecretBuffer> new_password(const NewPasswordOptions& options, const std::string& prompt) {
  SecretOptions source;
  source.password_file = options.file;
  source.password_command = options.command;
  Outcome<std::optional<SecretBuffer>> given = given_password(source, false);
  if (!given) return given.error();
  if (*given) return **std::move(given);
  return ask_twice(prompt, "give it with --new-password-file or --new-password-command");
}

Outcome<SecretBuffer> read_keyfile(const std::string& path) {
  Outcome<SecretBuffer> content = read_secret_file(path);
  if (!content) return content;
  if (!crypto::is_keyfile_size(content->size())) {
    return UserError{ExitCode::kNoSecret,
                     fmt::format("{} cannot be a keyfile: it has {} bytes", fs::printable(path), content->size()),
                     "a keyfile has 32 bytes to 1 MiB; make one with --new-keyfile"};
  }
  // --key-file takes such a file for the vault key itself, so as a keyfile it would never be tried.
  if (crypto::parse_vault_key(content->view())) {
    return UserError{
        ExitCode::kNoSecret,
        fmt::format("{} cannot be a keyfile: it holds 64 digits, as a vault key does", fs::printable(path)),
        "use another file, or make one with --new-keyfile"};
  }
  return content;
}

namespace {

// "a/b" as ("a", "b"), "b" as (".", "b").
std::pair<std::string, std::string> split_path(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {path.substr(0, std::max<std::size_t>(slash, 1)), path.substr(slash + 1)};
}

Outcome<base::UniqueFd> open_folder_of(const std::string& path) {
  const auto [folder, name] = split_path(path);
  base::UniqueFd dir(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.valid()) return fs::system_error(base::Errno::last(), fs::printable(folder));
  return dir;
}

UserError exists_already(const std::string& path) {
  return {ExitCode::kNotEmpty, fmt::format("{} exists already", fs::printable(path)),
          "name a new file: secrets are never written over anything"};
}

}  // namespace

fs::Done may_write_secret_file(const std::string& path) {
  Outcome<base::UniqueFd> dir = open_folder_of(path);
  if (!dir) return dir.error();
  const std::string name = split_path(path).second;
  if (name.empty() || base::sys::statx(*dir, name.c_str())) return exists_already(path);
  if (::faccessat(dir->get(), ".", W_OK, AT_EACCESS) != 0) {
    return fs::write_error(base::Errno::last(), fs::printable(path));
  }
  return std::monostate{};
}

fs::Done write_secret_file(const std::string& path, base::ByteView content, bool newline) {
  Outcome<base::UniqueFd> dir = open_folder_of(path);
  if (!dir) return dir.error();
  SecretBuffer text(content.size() + (newline ? 1 : 0));
  std::copy(content.begin(), content.end(), text.span().begin());
  if (newline) text.span().back() = '\n';
  base::Status written = fs::write_durably(*dir, split_path(path).second, text.view(), 0600, fs::IfExists::kFail);
  if (written) return std::monostate{};
  if (written.error().code() == EEXIST) return exists_already(path);
  return fs::write_error(written.error(), fs::printable(path));
}

}  // namespace coffer::mount
