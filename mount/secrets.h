// Where secrets come from: the terminal, files, commands, standard input; never the command line.
//
// A password is the bytes of the file, of the command's output or of standard input without one trailing newline. Empty
// ones are refused everywhere: they are the mark of a file not yet written or a command that failed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crypto/secret.h"
#include "crypto/vault_config.h"
#include "fs/user_error.h"
#include "fs/vault_folder.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace coffer::mount {

// How the options say that a vault is to be unlocked. At most one is set; with none the environment counts
// (COFFER_PASSWORD_FILE, else COFFER_PASSWORD_COMMAND), then the terminal.
struct SecretOptions {
  std::string password_file;
  std::string password_command;
  bool password_stdin = false;
  std::string key_file;  // the 64 digits, or a keyfile
  bool ask_key = false;  // the 64 digits, from the terminal
};
void add_secret_options(CLI::App& command, SecretOptions& options);
// Those of a new vault: no key, as there is none yet.
std::vector<CLI::Option*> add_password_options(CLI::App& command, SecretOptions& options, const std::string& title);

// How a new password comes.
struct NewPasswordOptions {
  std::string file;
  std::string command;
};
std::vector<CLI::Option*> add_new_password_options(CLI::App& command, NewPasswordOptions& options,
                                                   const std::string& title);

// An open vault and the slot whose secret opened it (none: the vault key itself).
struct UnlockedBy {
  fs::Unlocked unlocked;
  std::optional<std::uint32_t> slot;
};

// Asks as often as makes sense: on a terminal a wrong password three times. A vault without password slots asks for the
// 64 digits straight away. Errors: those of VaultFolder, kNoSecret.
fs::Outcome<UnlockedBy> unlock(const fs::VaultFolder& vault, const SecretOptions& options);

// The password for a new vault: from `options` or the environment, else the terminal (`prompt`), typed twice.
fs::Outcome<crypto::SecretBuffer> first_password(const SecretOptions& options, const std::string& prompt);
// The password for a further slot: never from the environment, which has the one that is in use.
fs::Outcome<crypto::SecretBuffer> new_password(const NewPasswordOptions& options, const std::string& prompt);

// The bytes of a keyfile. Errors: kNoSecret (not there, not of 32 bytes to 1 MiB).
fs::Outcome<crypto::SecretBuffer> read_keyfile(const std::string& path);

// Creates `path` with `content` and a newline if asked for, mode 0600, durable. Errors: kNotEmpty (it exists), others.
fs::Done write_secret_file(const std::string& path, base::ByteView content, bool newline);
// What of that can be said beforehand, without touching anything.
fs::Done may_write_secret_file(const std::string& path);

}  // namespace coffer::mount
