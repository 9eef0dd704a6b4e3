#include "mount/mounter.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "mount/fuse_api.h"
#include "mount/fuse_log.h"
#include "mount/fuse_ops.h"
#include "mount/mount_table.h"

namespace coffer::mount {
namespace {

using base::Errno;
using base::Status;
using base::UniqueFd;
using fs::ExitCode;
using fs::Outcome;
using fs::UserError;

UserError bad_mount_point(const std::string& mount_point, int error) {
  if (error == ENOTCONN || error == ECONNABORTED) {
    return {.code = ExitCode::kMountPoint,
            .message = fmt::format("{} is a mount whose daemon is gone", mount_point),
            .hint = fmt::format("free it with: coffer lock {}", mount_point)};
  }
  return {.code = ExitCode::kMountPoint,
          .message = fmt::format("cannot mount on {}: {}", mount_point, std::strerror(error)),
          .hint = error == ENOENT ? "make the folder first" : ""};
}

// libfuse takes commas for separators and backslashes for escapes (lib/fuse_opt.c, process_opt_sep_arg).
std::string escape_option(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == ',' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

std::vector<std::string> option_list(const SessionOptions& options) {
  // An empty fsname is EINVAL to mount(2).
  const std::string source = options.source.empty() ? "coffer" : escape_option(options.source);
  std::vector<std::string> list{"fsname=" + source, "subtype=coffer", "default_permissions"};
  if (options.read_only) list.emplace_back("ro");
  if (options.allow_other) list.emplace_back("allow_other");
  if (options.allow_root) list.emplace_back("allow_root");
  list.insert(list.end(), options.fuse_options.begin(), options.fuse_options.end());
  return list;
}

UserError cannot_mount(const std::string& mount_point) {
  if (::access("/dev/fuse", F_OK) != 0) {
    return {.code = ExitCode::kNoFuse,
            .message = "this system has no /dev/fuse",
            .hint = "load it with: modprobe fuse (a container must be given the device)"};
  }
  return {.code = ExitCode::kMountPoint,
          .message = fmt::format("cannot mount on {}: {}", mount_point, last_fuse_log()),
          .hint = ::geteuid() == 0 ? "" : "unless you are root, the package fuse3 must be installed (fusermount3)"};
}

// libfuse unmounts when it lets go of a mount, unless it finds the connection dead (lib/mount.c, fuse_kern_unmount). It
// gets to see the end of a pipe that nobody reads instead.
void let_go_of_mount(fuse_session* session) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return;  // it stays as it is and costs a few bytes
  const UniqueFd in(ends[1]);
  ::close(ends[0]);
  if (::dup3(in.get(), fuse_session_fd(session), O_CLOEXEC) < 0) return;
  fuse_session_unmount(session);
}

}  // namespace

Outcome<std::string> resolve_mount_point(const std::string& mount_point) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(mount_point.c_str(), nullptr), &std::free);
  if (real == nullptr) return bad_mount_point(mount_point, errno);
  struct stat attr {};
  if (::stat(real.get(), &attr) != 0) return bad_mount_point(mount_point, errno);
  if (!S_ISDIR(attr.st_mode)) return bad_mount_point(mount_point, ENOTDIR);
  return std::string(real.get());
}

void SessionDeleter::operator()(fuse_session* session) const noexcept { fuse_session_destroy(session); }

Outcome<SessionPtr> new_fuse_session(const SessionOptions& options, void* context) {
  fuse_args arguments{};
  bool ok = fuse_opt_add_arg(&arguments, "coffer") == 0;
  for (const std::string& option : option_list(options)) {
    ok = ok && fuse_opt_add_arg(&arguments, ("-o" + option).c_str()) == 0;
  }
  SessionPtr session;
  if (ok) session.reset(fuse_session_new(&arguments, &operations(), sizeof(fuse_lowlevel_ops), context));
  fuse_opt_free_args(&arguments);
  if (session == nullptr) {
    return UserError{.code = ExitCode::kUsage,
                     .message = fmt::format("the mount options are not accepted: {}", last_fuse_log()),
                     .hint = "coffer mount --help lists what -o takes"};
  }
  return session;
}

Outcome<UniqueFd> MounterHere::mount() {
  take_fuse_log();
  auto session = new_fuse_session(options_, nullptr);
  if (!session) return session.error();
  if (fuse_session_mount(session->get(), mount_point_.c_str()) != 0) return cannot_mount(mount_point_);
  if (const auto entry = mount_at(mount_point_); entry && *entry) device_ = (*entry)->device;
  UniqueFd device(::fcntl(fuse_session_fd(session->get()), F_DUPFD_CLOEXEC, 3));
  if (!device.valid()) {
    fuse_session_unmount(session->get());
    return UserError{.code = ExitCode::kOther, .message = "out of descriptors", .hint = ""};
  }
  let_go_of_mount(session->get());
  return device;
}

bool MounterHere::is_ours_on_top() const { return is_mount_at(mount_point_, device_); }

Status MounterHere::unmount(bool lazy) {
  if (!is_ours_on_top()) return Errno(EINVAL);
  return mount::unmount(mount_point_, lazy);
}

Status MounterHere::write_back() {
  const UniqueFd folder(::open(mount_point_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat attr {};
  if (!folder.valid() || ::fstat(folder.get(), &attr) != 0) return Errno::last();
  if (attr.st_dev != device_ || ::syncfs(folder.get()) == 0) return base::ok();
  return Errno::last();
}

Status MounterHere::abort() { return abort_connection(mount_point_, device_); }

}  // namespace coffer::mount
