#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "mount/commands.h"
#include "mount/terminal.h"

namespace coffer::mount {
namespace {

using fs::Done;
using fs::ExitCode;
using fs::UserError;

// The help of the command that `words` name, one within the other; of the program if there are none.
Done help(const CLI::App& program, const std::vector<std::string>& words) {
  const CLI::App* command = &program;
  std::string before;
  for (const std::string& word : words) {
    const auto found = command->get_subcommands([&word](const CLI::App* sub) { return sub->check_name(word); });
    if (found.empty()) {
      return UserError{ExitCode::kUsage, fmt::format("there is no command {}", word), "coffer --help lists all"};
    }
    before += (before.empty() ? "" : " ") + command->get_name();
    command = found.front();
  }
  // Not App::help(): it would describe the one that was called, which is `help`.
  return print(command->get_formatter()->make_help(
      command, before.empty() ? command->get_name() : before + " " + command->get_name(), CLI::AppFormatMode::Normal));
}

}  // namespace

void add_help_commands(CLI::App& program, Action& chosen) {
  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* help_command = program.add_subcommand("help", "Help on a command");
  help_command->add_option("COMMAND", *words, "Its name; default: all commands");
  help_command->footer("Example:\n  coffer help key add");
  help_command->callback([&program, words, &chosen] { chosen = [&program, words] { return help(program, *words); }; });

  CLI::App* version = program.add_subcommand("version", "Which Coffer this is, and the vault format it writes");
  version->footer("Example:\n  coffer version");
  version->callback([&chosen] { chosen = [] { return print("coffer " COFFER_VERSION ", vault format 0\n"); }; });
}

}  // namespace coffer::mount
