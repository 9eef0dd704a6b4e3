#include "mount/processes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>
#include <fstream>
#include <sstream>
#include <string_view>

#include "base/sys.h"
#include "fs/user_text.h"

namespace coffer::mount {
namespace {

using base::FdRef;
using base::Result;
using base::UniqueFd;

constexpr std::size_t kNamed = 5;

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  Result<UniqueFd> fd = base::sys::openat(FdRef(AT_FDCWD), folder.c_str(), O_RDONLY | O_DIRECTORY);
  if (!fd) return names;
  Result<std::vector<base::sys::DirEntry>> entries = base::sys::read_directory(*fd);
  if (!entries) return names;
  for (base::sys::DirEntry& entry : *entries) names.push_back(std::move(entry.name));
  return names;
}

std::string link_target(const std::string& link) {
  std::array<char, PATH_MAX> target;
  const ssize_t n = ::readlink(link.c_str(), target.data(), target.size());
  return n > 0 ? std::string(target.data(), static_cast<std::size_t>(n)) : "";
}

bool lies_at_or_in(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

// The file mapped into memory from below `mount_point`; empty: none.
std::string mapped_file(const std::string& process, const std::string& mount_point) {
  std::ifstream maps(process + "/maps");
  for (std::string line; std::getline(maps, line);) {
    const std::size_t slash = line.find('/');
    if (slash != std::string::npos && lies_at_or_in(std::string_view(line).substr(slash), mount_point)) {
      return line.substr(slash);
    }
  }
  return "";
}

std::optional<Holder> holder(pid_t pid, const std::string& mount_point) {
  const std::string process = fmt::format("/proc/{}", pid);
  const auto found = [&](std::string_view why, std::string path) {
    return Holder{pid, process_name(pid), std::string(why), std::move(path)};
  };
  for (const char* link : {"/cwd", "/root"}) {
    std::string target = link_target(process + link);
    if (lies_at_or_in(target, mount_point)) return found("is in", std::move(target));
  }
  for (const std::string& number : names_in(process + "/fd")) {
    std::string target = link_target(process + "/fd/" + number);
    if (lies_at_or_in(target, mount_point)) return found("has open", std::move(target));
  }
  std::string program = link_target(process + "/exe");
  if (lies_at_or_in(program, mount_point)) return found("runs", std::move(program));
  if (std::string file = mapped_file(process, mount_point); !file.empty()) return found("has mapped", std::move(file));
  return std::nullopt;
}

}  // namespace

std::vector<pid_t> all_processes() {
  std::vector<pid_t> processes;
  for (const std::string& name : names_in("/proc")) {
    pid_t pid = 0;
    const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (failure == std::errc() && end == name.data() + name.size()) processes.push_back(pid);
  }
  return processes;
}

std::string process_name(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/comm", pid));
  std::string name;
  std::getline(file, name);
  return name;
}

std::optional<uid_t> process_user(pid_t pid) {
  // The folder's owner will not do: those of a process that cannot be dumped belong to root.
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("Uid:")) continue;
    std::istringstream fields(line.substr(4));
    uid_t real = 0;
    uid_t effective = 0;
    if (fields >> real >> effective) return effective;
  }
  return std::nullopt;
}

std::vector<Holder> holders_of(const std::string& mount_point) {
  std::vector<Holder> holders;
  for (pid_t pid : all_processes()) {
    std::optional<Holder> found = holder(pid, mount_point);
    // Ours has it open for a moment while it has the kernel's pages written back.
    if (found && found->name != kMounterName) holders.push_back(*std::move(found));
  }
  return holders;
}

std::string describe(const std::vector<Holder>& holders) {
  std::string text;
  for (std::size_t i = 0; i < std::min(holders.size(), kNamed); ++i) {
    const Holder& h = holders[i];
    text += fmt::format("{}process {} ({}) {} {}", i == 0 ? "" : "; ", h.pid, fs::printable(h.name), h.why,
                        fs::printable(h.path));
  }
  if (holders.size() > kNamed) text += fmt::format("; and {} more", holders.size() - kNamed);
  return text;
}

base::UniqueFd watch_process(pid_t pid) { return base::UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }

bool has_ended(base::FdRef process, std::chrono::milliseconds patience) {
  pollfd end{.fd = process.get(), .events = POLLIN, .revents = 0};
  return ::poll(&end, 1, static_cast<int>(patience.count())) > 0;
}

}  // namespace coffer::mount
