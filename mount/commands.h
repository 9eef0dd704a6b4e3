// The commands of the program. Each function adds one to it, with its options and its help; if that is the one on the
// command line, `chosen` becomes what it does.
#pragma once

#include <functional>

#include "fs/vault_folder.h"

namespace CLI {
class App;
}

namespace coffer::mount {

using Action = std::function<fs::Done()>;

void add_init_command(CLI::App& program, Action& chosen);
void add_mount_command(CLI::App& program, Action& chosen);
void add_lock_command(CLI::App& program, Action& chosen);
void add_status_command(CLI::App& program, Action& chosen);
void add_passwd_command(CLI::App& program, Action& chosen);
void add_key_commands(CLI::App& program, Action& chosen);
void add_ls_command(CLI::App& program, Action& chosen);
void add_cat_command(CLI::App& program, Action& chosen);
void add_speed_command(CLI::App& program, Action& chosen);
void add_help_commands(CLI::App& program, Action& chosen);  // help and version

}  // namespace coffer::mount
