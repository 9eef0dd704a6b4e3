#include "mount/mount_table.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <future>
#include <memory>
#include <system_error>
#include <thread>

#include "base/unique_fd.h"

extern char** environ;

namespace coffer::mount {
namespace {

using base::Errno;
using base::Result;
using base::Status;

constexpr auto kStalePatience = std::chrono::seconds(1);

// The next word of `rest`, which loses it. Words are separated by one space (fs/proc_namespace.c, show_mountinfo).
std::optional<std::string_view> take_word(std::string_view& rest) {
  if (rest.empty()) return std::nullopt;
  const std::size_t end = rest.find(' ');
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return word;
}

template <class T>
std::optional<T> to_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_octal(char c) { return c >= '0' && c <= '7'; }

// Space, tab, newline and backslash are written as three octal digits after a backslash (fs/proc_namespace.c, mangle).
std::string unescape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); i++) {
    const bool escape = text[i] == '\\' && text.size() - i > 3 && text[i + 1] <= '3' && is_octal(text[i + 1]) &&
                        is_octal(text[i + 2]) && is_octal(text[i + 3]);
    if (!escape) {
      out.push_back(text[i]);
      continue;
    }
    out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
    i += 3;
  }
  return out;
}

std::optional<dev_t> to_device(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto major_number = to_number<unsigned>(text.substr(0, colon));
  const auto minor_number = to_number<unsigned>(text.substr(colon + 1));
  if (!major_number || !minor_number) return std::nullopt;
  return makedev(*major_number, *minor_number);
}

// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue": any number of optional fields stand
// before the "-".
std::optional<MountEntry> parse_line(std::string_view line) {
  const auto id = take_word(line);
  const auto parent = take_word(line);
  const auto device = take_word(line);
  const auto root = take_word(line);
  const auto mount_point = take_word(line);
  const auto options = take_word(line);
  if (!id || !parent || !device || !root || !mount_point || !options) return std::nullopt;
  auto field = take_word(line);
  while (field && *field != "-") field = take_word(line);
  const auto type = take_word(line);
  const auto source = take_word(line);
  const auto id_number = to_number<std::uint64_t>(*id);
  const auto device_number = to_device(*device);
  if (!field || !type || !source || !id_number || !device_number) return std::nullopt;
  return MountEntry{.id = *id_number,
                    .device = *device_number,
                    .mount_point = unescape(*mount_point),
                    .type = unescape(*type),
                    .source = unescape(*source),
                    .options = unescape(*options)};
}

// `path` made absolute, links resolved up to its last component: that one may be a dead mount, which cannot be looked
// at.
std::string absolute(const std::string& path) {
  const auto resolve = [](const std::string& what) -> std::optional<std::string> {
    const std::unique_ptr<char, decltype(&std::free)> real(::realpath(what.c_str(), nullptr), &std::free);
    if (real == nullptr) return std::nullopt;
    return std::string(real.get());
  };
  if (const auto whole = resolve(path)) return *whole;
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  const std::size_t slash = trimmed.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : trimmed.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? trimmed : trimmed.substr(slash + 1);
  const auto folder = resolve(parent);
  if (!folder) return trimmed;
  return *folder == "/" ? "/" + name : *folder + "/" + name;
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 512> piece{};
  while (true) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
}

// fusermount3 is set-uid root and says what went wrong in words only; it never calls setlocale(3), so the words are
// fixed.
Status run_fusermount(const std::string& mount_point, bool lazy) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Errno::last();
  const base::UniqueFd from(ends[0]);
  base::UniqueFd to(ends[1]);
  std::array<const char*, 6> arguments{"fusermount3", "-u", "--", mount_point.c_str(), nullptr, nullptr};
  if (lazy) arguments = {"fusermount3", "-u", "-z", "--", mount_point.c_str(), nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, to.get(), STDERR_FILENO);
  pid_t child = 0;
  const int error =
      ::posix_spawnp(&child, "fusermount3", &actions, nullptr, const_cast<char* const*>(arguments.data()), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Errno(error);
  to.reset();
  const std::string said = read_all(from.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return base::ok();
  if (said.find("busy") != std::string::npos) return Errno(EBUSY);
  if (said.find("not found in") != std::string::npos || said.find("Invalid argument") != std::string::npos) {
    return Errno(EINVAL);
  }
  return Errno(EPERM);
}

}  // namespace

std::vector<MountEntry> parse_mountinfo(std::string_view text) {
  std::vector<MountEntry> entries;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (auto entry = parse_line(text.substr(0, end))) entries.push_back(std::move(*entry));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return entries;
}

Result<std::vector<MountEntry>> read_mount_table() {
  const base::UniqueFd file(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return Errno::last();
  return parse_mountinfo(read_all(file.get()));
}

bool is_coffer(const MountEntry& entry) { return entry.type == "fuse.coffer"; }

Result<std::vector<MountEntry>> coffer_mounts() {
  COFFER_ASSIGN_OR_RETURN(std::vector<MountEntry> entries, read_mount_table());
  std::erase_if(entries, [](const MountEntry& entry) { return !is_coffer(entry); });
  return entries;
}

Result<std::optional<MountEntry>> mount_at(const std::string& path) {
  COFFER_ASSIGN_OR_RETURN(const std::vector<MountEntry> entries, read_mount_table());
  const std::string wanted = absolute(path);
  std::optional<MountEntry> topmost;  // mounts on one path are listed in the order in which they were made
  for (const MountEntry& entry : entries) {
    if (entry.mount_point == wanted) topmost = entry;
  }
  return topmost;
}

bool is_mount_at(const std::string& path, dev_t device) {
  const auto top = mount_at(path);
  return top && *top && (*top)->device == device;
}

bool is_stale(const std::string& mount_point) {
  // In a thread of its own, which is left behind if need be: a daemon that hangs never answers.
  auto asked = std::make_shared<std::promise<bool>>();
  std::future<bool> answer = asked->get_future();
  try {
    std::thread([asked, mount_point] {
      // statfs, since attributes may be answered from the kernel's cache although the daemon is gone.
      struct statfs room {};
      asked->set_value(::statfs(mount_point.c_str(), &room) != 0 && (errno == ENOTCONN || errno == ECONNABORTED));
    }).detach();
  } catch (const std::system_error&) {
    return false;
  }
  return answer.wait_for(kStalePatience) == std::future_status::ready && answer.get();
}

Status unmount(const std::string& mount_point, bool lazy) {
  const int flags = UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0);
  if (::umount2(mount_point.c_str(), flags) == 0) return base::ok();
  if (errno != EPERM) return Errno::last();
  return run_fusermount(mount_point, lazy);
}

Status abort_connection(const std::string& mount_point, dev_t device) {
  // Named by the device number as the kernel has it, which for file systems without a device is its minor part
  // (fs/fuse/control.c, fuse_ctl_add_conn).
  const std::string path = fmt::format("/sys/fs/fuse/connections/{}/abort", minor(device));
  const base::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file.valid() && ::write(file.get(), "1", 1) == 1) return base::ok();
  // Without that file system: MNT_FORCE aborts, too; the last resort only detaches, which aborts unless files are open.
  if (::umount2(mount_point.c_str(), UMOUNT_NOFOLLOW | MNT_FORCE | MNT_DETACH) == 0) return base::ok();
  if (errno != EPERM) return Errno::last();
  return run_fusermount(mount_point, true);
}

}  // namespace coffer::mount
