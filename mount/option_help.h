// How options look in --help, and options of which only one may be given.
#pragma once

#include <CLI/CLI.hpp>
#include <vector>

namespace coffer::mount {

// Options with the name of their value and nothing else (no "TEXT REQUIRED", no "Excludes: ..."). Commands inherit the
// formatter of the program, so it is set before they are added.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter();
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_usage(const CLI::App* app, std::string name) const override;
};

void only_one_of(const std::vector<CLI::Option*>& options);

}  // namespace coffer::mount
