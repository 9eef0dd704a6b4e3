#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "fs/user_text.h"
#include "mount/commands.h"
#include "mount/control.h"
#include "mount/running.h"
#include "mount/terminal.h"

namespace coffer::mount {
namespace {

using base::Result;
using fs::Done;
using fs::ExitCode;
using fs::UserError;
using nlohmann::json;

constexpr int kVersion = 1;  // of the JSON; keys are added, never changed or taken away

struct Options {
  std::string path;
  bool json = false;
};

// A line for each text in the array `key`.
std::string lines_of(const json& mount, const char* key, std::string_view prefix) {
  std::string lines;
  const auto found = mount.find(key);
  if (found == mount.end() || !found->is_array()) return lines;
  for (const json& line : *found) {
    if (line.is_string()) lines += fmt::format("{}{}\n", prefix, fs::printable(line.get<std::string>()));
  }
  return lines;
}

// What was found to be wrong with the vault's content since the mount.
std::string integrity_lines(const json& mount) {
  const std::uint64_t events = number_of(mount, "integrity_events");
  const std::uint64_t moved = number_of(mount, "files_moved");
  const std::uint64_t names = number_of(mount, "names_unreadable");
  const std::uint64_t aside = number_of(mount, "changes_set_aside");
  if (events + moved + names + aside == 0) return "  integrity   nothing suspicious seen\n";
  std::string lines =
      fmt::format("  integrity   {} damaged or incomplete, {} moved, {} unreadable names\n", events, moved, names);
  if (aside != 0) {
    lines += fmt::format(
        "              {} changes of a mount that died do not fit the vault any more: not made, kept in local state\n",
        aside);
  }
  return lines + lines_of(mount, "recent_events", "              ");
}

// How changes by others in the vault folder are noticed.
std::string watch_lines(const json& mount) {
  const std::string by = text_of(mount, "watched_by");
  if (by.empty()) {
    return fmt::format("  watching    not at all: {}; changes by others show after a second\n",
                       text_of(mount, "not_watched_because"));
  }
  const std::uint64_t refused = number_of(mount, "directories_refused");
  return fmt::format("  watching    {}, {} folders{}\n", by, number_of(mount, "directories_watched"),
                     refused == 0 ? "" : fmt::format("; {} more could not be", refused));
}

std::string unwritten_line(const json& mount) {
  const std::uint64_t files = number_of(mount, "dirty_files");
  const std::string error = text_of(mount, "write_error");
  return fmt::format("  unwritten   {} in {} file{}, {}\n", human_bytes(number_of(mount, "dirty_bytes")), files,
                     files == 1 ? "" : "s",
                     error.empty() ? "written within seconds" : "kept in memory and tried again each second: " + error);
}

std::string describe(const json& mount) {
  std::string text = fmt::format("{}\n  vault       {}\n", text_of(mount, "mount_point"), text_of(mount, "vault"));
  if (is_set(mount, "responding")) {
    text += fmt::format("  cipher      {}{}{}\n", text_of(mount, "cipher"),
                        is_set(mount, "read_only") ? ", read-only" : "", is_set(mount, "strict") ? ", strict" : "");
    text += fmt::format("  since       {} (process {})\n", text_of(mount, "since"), number_of(mount, "pid"));
    text += fmt::format("  open files  {}\n", number_of(mount, "open_files"));
    text +=
        is_set(mount, "written_out") ? "  unwritten   nothing: everything is in the vault\n" : unwritten_line(mount);
    text += watch_lines(mount);
    text += integrity_lines(mount);
    if (const std::string log = text_of(mount, "log"); !log.empty()) text += fmt::format("  log         {}\n", log);
  }
  return text + lines_of(mount, "warnings", "  warning     ");
}

Done run(const Options& options) {
  Result<std::vector<RunningMount>> mounts = running_mounts();
  if (!mounts) return fs::system_error(mounts.error(), "the mount table cannot be read");
  const RunningMount* wanted = options.path.empty() ? nullptr : find_mount(*mounts, options.path);
  json described = json::array();
  for (const RunningMount& mount : *mounts) {
    if (options.path.empty() || &mount == wanted) described.push_back(describe_mount(mount));
  }
  if (options.json) {
    if (Done done = print(to_line({{"version", kVersion}, {"mounts", described}})); !done) return done;
  } else {
    std::string text;
    for (const json& mount : described) text += (text.empty() ? "" : "\n") + describe(mount);
    if (options.path.empty() && text.empty()) text = "nothing is mounted\n";
    if (Done done = print(text); !done) return done;
  }
  if (!options.path.empty() && wanted == nullptr) {
    return UserError{ExitCode::kNotMounted, fmt::format("{} is not mounted", fs::printable(options.path)),
                     "coffer status without a path shows everything that is"};
  }
  return std::monostate{};
}

}  // namespace

void add_status_command(CLI::App& program, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("status", "What is mounted, and whether everything is written and well");
  command->add_option("PATH", options->path, "Only this one: a mount point, a vault, or something in a mount");
  command->add_flag("--json", options->json, "For programs; docs/CLI.md explains the keys");
  command->footer("Example:\n  coffer status\n  coffer status --json ~/Coffer");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace coffer::mount
