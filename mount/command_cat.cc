#include <fcntl.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <vector>

#include "fs/user_text.h"
#include "mount/commands.h"
#include "mount/terminal.h"
#include "mount/vault_reader.h"

namespace coffer::mount {
namespace {

using fs::Done;
using fs::ExitCode;
using fs::Outcome;
using fs::UserError;

constexpr std::size_t kBufferSize = std::size_t{1} << 20;

struct Options {
  std::string vault;
  std::vector<std::string> paths;
  SecretOptions secret;
};

Done copy_out(fs::Filesystem& files, fs::HandleId handle, const std::string& path) {
  std::vector<base::Byte> buffer(kBufferSize);
  for (std::uint64_t offset = 0;;) {
    base::Result<std::size_t> n = files.read(handle, offset, buffer);
    if (!n) return read_error(n.error(), path);
    if (*n == 0) return std::monostate{};
    if (Done done = print(base::as_text(base::ByteView(buffer).first(*n))); !done) return done;
    offset += *n;
  }
}

Done cat_one(VaultReader& reader, const std::string& path) {
  Outcome<fs::Attr> file = reader.find(path);
  if (!file) return file.error();
  const std::string shown = fs::printable(path);
  if (S_ISDIR(file->mode)) {
    return UserError{ExitCode::kOther, fmt::format("{} is a folder", shown), "coffer ls shows what is in it"};
  }
  if (!S_ISREG(file->mode)) {
    return UserError{ExitCode::kOther, fmt::format("{} is no file with content", shown),
                     "coffer ls -l shows what it is"};
  }
  base::Result<fs::Opened> opened = reader.files().open_file(file->id, O_RDONLY, false);
  if (!opened) return read_error(opened.error(), path);
  Done done = copy_out(reader.files(), opened->handle, path);
  reader.files().release(opened->handle);
  reader.forget(*file);
  return done;
}

Done run(const Options& options) {
  Outcome<VaultReader> reader = VaultReader::open(options.vault, options.secret);
  if (!reader) return reader.error();
  for (const std::string& path : options.paths) {
    if (Done done = cat_one(*reader, path); !done) return done;
  }
  return std::monostate{};
}

}  // namespace

void add_cat_command(CLI::App& program, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("cat", "Write files of a vault to standard output, without mounting it");
  command->add_option("VAULT", options->vault, "The vault's folder")->required();
  command->add_option("PATH", options->paths, "Paths as in the mount")->required();
  add_secret_options(*command, options->secret);
  command->footer("Example:\n  coffer cat ~/Dropbox/vault Documents/will.pdf > will.pdf");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace coffer::mount
