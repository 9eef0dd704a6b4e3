#include <dirent.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>

#include "crypto/keys.h"
#include "fs/user_text.h"
#include "mount/commands.h"
#include "mount/control.h"
#include "mount/terminal.h"
#include "mount/vault_reader.h"

namespace coffer::mount {
namespace {

using fs::Done;
using fs::ExitCode;
using fs::Outcome;
using fs::UserError;
using nlohmann::json;

struct Options {
  std::string vault;
  std::string path;
  bool detailed = false;
  bool recursive = false;
  bool json = false;
  SecretOptions secret;
};

// Anything but a file, as the first letter of ls -l and in JSON.
struct TypeName {
  mode_t type;
  char letter;
  const char* name;
};
constexpr std::array<TypeName, 7> kTypes{{{S_IFREG, '-', "file"},
                                          {S_IFDIR, 'd', "directory"},
                                          {S_IFLNK, 'l', "symlink"},
                                          {S_IFIFO, 'p', "fifo"},
                                          {S_IFSOCK, 's', "socket"},
                                          {S_IFCHR, 'c', "character device"},
                                          {S_IFBLK, 'b', "block device"}}};

TypeName type_of(mode_t mode) {
  const auto found =
      std::find_if(kTypes.begin(), kTypes.end(), [mode](const TypeName& type) { return (mode & S_IFMT) == type.type; });
  return found == kTypes.end() ? kTypes.front() : *found;
}

std::string mode_text(mode_t mode) {
  std::string text(1, type_of(mode).letter);
  for (int shift : {6, 3, 0}) {
    text += (mode >> shift) & 4 ? 'r' : '-';
    text += (mode >> shift) & 2 ? 'w' : '-';
    text += (mode >> shift) & 1 ? 'x' : '-';
  }
  const auto special = [&text](std::size_t at, char letter) {
    text[at] = text[at] == 'x' ? letter : static_cast<char>(letter - 'a' + 'A');
  };
  if (mode & S_ISUID) special(3, 's');
  if (mode & S_ISGID) special(6, 's');
  if (mode & S_ISVTX) special(9, 't');
  return text;
}

std::string user_name(uid_t uid) {
  const passwd* entry = ::getpwuid(uid);
  return entry == nullptr ? std::to_string(uid) : entry->pw_name;
}

std::string group_name(gid_t gid) {
  const group* entry = ::getgrgid(gid);
  return entry == nullptr ? std::to_string(gid) : entry->gr_name;
}

std::string local_time(const timespec& time) {
  std::tm local{};
  ::localtime_r(&time.tv_sec, &local);
  std::array<char, 32> text;
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &local);
  return text.data();
}

std::string utc_time(const timespec& time) {
  std::tm utc{};
  ::gmtime_r(&time.tv_sec, &utc);
  std::array<char, 32> text;
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:09}Z", text.data(), time.tv_nsec);
}

bool is_utf8(const std::string& text) {
  // What the JSON library would have to replace. Its own check is the one that counts.
  return json(text).dump(-1, ' ', false, json::error_handler_t::ignore) ==
         json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

class Listing {
 public:
  Listing(VaultReader& reader, const Options& options)
      : reader_(reader), options_(options), to_terminal_(is_terminal(STDOUT_FILENO)) {}

  Done run() {
    Outcome<fs::Attr> top = reader_.find(options_.path);
    if (!top) return top.error();
    Done done =
        S_ISDIR(top->mode) ? list_folder(*top, trimmed(options_.path)) : show(*top, options_.path, options_.path);
    if (done && options_.json) done = print(to_line({{"version", 1}, {"entries", entries_}}));
    if (!done) return done;
    if (failed_) return *failed_;
    return std::monostate{};
  }

 private:
  static std::string trimmed(std::string path) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    return path == "." ? "" : path;
  }

  static std::string join(const std::string& folder, const std::string& name) {
    return folder.empty() ? name : folder + "/" + name;
  }

  // An entry that cannot be shown does not keep the others from being; the exit code remembers it.
  void remember(const UserError& error) {
    note("coffer: " + error.message);
    if (!failed_) failed_ = error;
  }

  Done list_folder(const fs::Attr& folder, const std::string& path) {
    Outcome<std::vector<Child>> children = reader_.children(folder.id, path.empty() ? "/" : path);
    if (!children) {
      remember(children.error());
      return std::monostate{};
    }
    if (options_.recursive && !options_.json) {
      if (Done done = print(fmt::format("{}{}:\n", started_ ? "\n" : "", for_output(path.empty() ? "." : path)));
          !done) {
        return done;
      }
      started_ = true;
    }
    std::vector<std::string> folders;
    for (const Child& child : *children) {
      if (Done done = list_child(folder, path, child, folders); !done) return done;
    }
    for (const std::string& name : folders) {
      Outcome<fs::Attr> sub = reader_.child(folder.id, name, join(path, name));
      if (!sub) {
        remember(sub.error());
        continue;
      }
      Done done = list_folder(*sub, join(path, name));
      reader_.forget(*sub);
      if (!done) return done;
    }
    return std::monostate{};
  }

  Done list_child(const fs::Attr& folder, const std::string& path, const Child& child,
                  std::vector<std::string>& folders) {
    // Names alone need no attributes, and so no look at the entry.
    if (!options_.detailed && !options_.json) {
      if (options_.recursive && child.type == DT_DIR) folders.push_back(child.name);
      return print(for_output(child.name) + "\n");
    }
    Outcome<fs::Attr> attr = reader_.child(folder.id, child.name, join(path, child.name));
    if (!attr) {
      remember(attr.error());
      return std::monostate{};
    }
    if (options_.recursive && S_ISDIR(attr->mode)) folders.push_back(child.name);
    Done shown = show(*attr, child.name, join(path, child.name));
    reader_.forget(*attr);
    return shown;
  }

  Done show(const fs::Attr& attr, const std::string& name, const std::string& path) {
    std::string target;
    if (S_ISLNK(attr.mode)) {
      base::Result<std::string> link = reader_.files().readlink(attr.id);
      if (link) {
        target = *std::move(link);
      } else {
        remember(read_error(link.error(), path));
      }
    }
    if (options_.json) {
      entries_.push_back(entry_of(attr, path, target));
      return std::monostate{};
    }
    if (!options_.detailed) return print(for_output(name) + "\n");
    const bool device = S_ISCHR(attr.mode) || S_ISBLK(attr.mode);
    const std::string size =
        device ? fmt::format("{}, {}", major(attr.rdev), minor(attr.rdev)) : std::to_string(attr.size);
    return print(fmt::format("{} {:>3} {:<8} {:<8} {:>12} {} {}{}\n", mode_text(attr.mode), attr.nlink,
                             user_name(attr.uid), group_name(attr.gid), size, local_time(attr.mtime), for_output(name),
                             target.empty() ? "" : " -> " + for_output(target)));
  }

  static json entry_of(const fs::Attr& attr, const std::string& path, const std::string& target) {
    json entry{{"path", path},
               {"type", type_of(attr.mode).name},
               {"mode", fmt::format("{:04o}", attr.mode & 07777)},
               {"uid", attr.uid},
               {"gid", attr.gid},
               {"size", attr.size},
               {"links", attr.nlink},
               {"mtime", utc_time(attr.mtime)}};
    if (!target.empty()) entry["target"] = target;
    if (!is_utf8(path)) entry["path_hex"] = crypto::to_hex(base::as_bytes(path));
    return entry;
  }

  // A terminal would obey control characters in a name; a file or a pipe gets the bytes.
  std::string for_output(const std::string& name) const { return to_terminal_ ? fs::printable(name) : name; }

  VaultReader& reader_;
  const Options& options_;
  const bool to_terminal_;
  bool started_ = false;
  json entries_ = json::array();
  std::optional<UserError> failed_;
};

Done run(const Options& options) {
  Outcome<VaultReader> reader = VaultReader::open(options.vault, options.secret);
  if (!reader) return reader.error();
  return Listing(*reader, options).run();
}

}  // namespace

void add_ls_command(CLI::App& program, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("ls", "List what is in a vault, without mounting it");
  command->add_option("VAULT", options->vault, "The vault's folder")->required();
  command->add_option("PATH", options->path, "A path as in the mount; default: the top");
  command->add_flag("-l", options->detailed, "Mode, owner, size, time");
  command->add_flag("-R,--recursive", options->recursive, "Everything below, too");
  command->add_flag("--json", options->json, "For programs; docs/CLI.md explains the keys");
  add_secret_options(*command, options->secret);
  command->footer("Example:\n  coffer ls -l ~/Dropbox/vault Documents");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace coffer::mount
