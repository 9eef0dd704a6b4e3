#include "mount/option_help.h"

namespace coffer::mount {

HelpFormatter::HelpFormatter() {
  column_width(32);
  label("Positionals", "Arguments");
  label("Subcommands", "Commands");
  label("SUBCOMMAND", "COMMAND");
  label("SUBCOMMANDS", "COMMANDS");
  label("OPTIONS", "OPTION");
}

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  // A flag has no value; an argument is named by itself.
  if (option->get_items_expected_max() == 0 || option->get_positional()) return "";
  const std::string type = option->get_type_name();
  return " " +
         type.substr(0, type.find(':'));  // behind the colon: what a validator says, which the description does too
}

std::string HelpFormatter::make_usage(const CLI::App* app, std::string name) const {
  // The command as it is typed ("coffer key add"), with what is optional in brackets.
  std::string text = "Usage: " + name + " [OPTION]...";
  for (const CLI::Option* option : app->get_options()) {
    if (!option->get_positional()) continue;
    std::string word = option->get_name(true);
    if (option->get_expected_max() > 1) word += "...";
    text += option->get_required() ? " " + word : " [" + word + "]";
  }
  if (app->get_require_subcommand_min() > 0) text += " COMMAND";
  return text + "\n";
}

void only_one_of(const std::vector<CLI::Option*>& options) {
  for (CLI::Option* one : options) {
    for (CLI::Option* other : options) {
      if (one < other) one->excludes(other);
    }
  }
}

}  // namespace coffer::mount
