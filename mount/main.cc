// The program: finds the command, runs it, and turns its error into a sentence, a hint and an exit code.
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <new>
#include <string>

#include "crypto/random.h"
#include "fs/user_error.h"
#include "fs/user_text.h"
#include "mount/commands.h"
#include "mount/hardening.h"
#include "mount/option_help.h"
#include "mount/terminal.h"

namespace coffer::mount {
namespace {

using fs::Done;
using fs::ExitCode;
using fs::UserError;

void add_commands(CLI::App& program, Action& chosen) {
  program.name("coffer");
  program.set_help_flag("-h,--help", "This help");
  program.set_version_flag("--version", "coffer " COFFER_VERSION, "Which Coffer this is");
  program.formatter(std::make_shared<HelpFormatter>());
  program.require_subcommand(1);
  program.footer(
      "Example:\n"
      "  coffer init ~/Dropbox/vault            makes a vault and prints its key: write it down\n"
      "  mkdir ~/Coffer\n"
      "  coffer mount ~/Dropbox/vault ~/Coffer  your files go into ~/Coffer, ciphertext into the vault\n"
      "  coffer lock ~/Coffer                   when you are done\n\n"
      "coffer COMMAND --help explains a command; coffer(1) everything.");
  add_init_command(program, chosen);
  add_mount_command(program, chosen);
  add_lock_command(program, chosen);
  add_status_command(program, chosen);
  add_passwd_command(program, chosen);
  add_key_commands(program, chosen);
  add_ls_command(program, chosen);
  add_cat_command(program, chosen);
  add_speed_command(program, chosen);
  add_help_commands(program, chosen);
}

// "coffer key add": what was called, as far as it was recognised.
std::string called_command(const CLI::App& program) {
  std::string text = program.get_name();
  for (const CLI::App* at = &program; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    text += " " + at->get_name();
  }
  return text;
}

// What the library says is meant for programmers where the command itself is missing or wrong.
UserError usage_error(const CLI::App& program, const CLI::ParseError& wrong, int argc, char** argv) {
  const std::string called = called_command(program);
  UserError error{ExitCode::kUsage, wrong.what(), called + " --help shows what it takes"};
  if (error.message.find("subcommand") == std::string::npos) return error;
  const int words = 1 + static_cast<int>(std::count(called.begin(), called.end(), ' '));
  error.message = words < argc ? fmt::format("{} has no command {}", called, fs::printable(argv[words]))
                               : fmt::format("{} needs a command", called);
  error.hint = called + " --help shows which there are";
  return error;
}

int report(const UserError& error) {
  note("coffer: " + error.message);
  if (!error.hint.empty()) note("hint: " + error.hint);
  return static_cast<int>(error.code);
}

int run(int argc, char** argv) {
  CLI::App program("Coffer: files in a mounted folder, only ciphertext in another one that any sync client may have.");
  Action chosen;
  add_commands(program, chosen);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& wrong) {
    if (wrong.get_exit_code() == 0) return program.exit(wrong);  // --help, --version
    return report(usage_error(program, wrong, argc, argv));
  }
  Done done = chosen();
  return done ? 0 : report(done.error());
}

}  // namespace
}  // namespace coffer::mount

int main(int argc, char** argv) {
  namespace mount = coffer::mount;
  using coffer::fs::ExitCode;
  mount::harden_process();
  try {
    coffer::crypto::init();
    return mount::run(argc, argv);
  } catch (const std::bad_alloc&) {
    return mount::report({ExitCode::kOther, "not enough memory",
                          "a password needs as much as it was made with (coffer key list shows it); close programs, or "
                          "unlock with --key-file"});
  } catch (const std::exception& error) {
    return mount::report({ExitCode::kOther, error.what(), ""});
  }
}
