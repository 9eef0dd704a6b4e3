#include "mount/device_io.h"

#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "mount/mount_context.h"
#include "mount/wire.h"

namespace coffer::mount {
namespace {

int device_of(const ServingThread& thread, int named_by_libfuse) {
  return thread.device >= 0 ? thread.device : named_by_libfuse;
}

bool is(const RequestNotes& notes, Opcode opcode) { return notes.opcode == static_cast<std::uint32_t>(opcode); }

ssize_t read_request(int fd, void* buffer, size_t size, void* userdata) {
  auto& context = *static_cast<MountContext*>(userdata);
  ServingThread& thread = this_thread();
  const ssize_t got = ::read(device_of(thread, fd), buffer, size);
  if (got <= 0) return got;
  base::ByteSpan request(static_cast<base::Byte*>(buffer), static_cast<std::size_t>(got));
  thread.notes = parse_request(request);
  if (is(thread.notes, Opcode::kInit)) context.features = parse_init_request(request);
  if (is(thread.notes, Opcode::kSetxattr) && context.features.setxattr_ext) {
    return static_cast<ssize_t>(shorten_setxattr(request));
  }
  return got;
}

// libfuse sends a successful INIT reply as two parts: struct fuse_out_header, struct fuse_init_out.
bool is_init_reply(const RequestNotes& notes, const iovec* parts, int count) {
  if (!is(notes, Opcode::kInit) || count != 2 || parts[0].iov_len != sizeof(fuse_out_header)) return false;
  fuse_out_header header;
  std::memcpy(&header, parts[0].iov_base, sizeof header);
  return header.unique == notes.unique && header.error == 0;
}

ssize_t write_init_reply(int fd, const iovec* parts, MountContext& context) {
  std::array<base::Byte, sizeof(fuse_init_out)> out{};
  if (parts[1].iov_len > out.size()) {
    errno = EINVAL;
    return -1;
  }
  std::memcpy(out.data(), parts[1].iov_base, parts[1].iov_len);
  if (!add_features({out.data(), parts[1].iov_len}, context.features)) context.features = {};
  context.initialised.store(true, std::memory_order_release);
  const std::array<iovec, 2> patched{parts[0], iovec{.iov_base = out.data(), .iov_len = parts[1].iov_len}};
  return ::writev(fd, patched.data(), static_cast<int>(patched.size()));
}

ssize_t write_reply(int fd, iovec* parts, int count, void* userdata) {
  const ServingThread& thread = this_thread();
  const int device = device_of(thread, fd);
  if (is_init_reply(thread.notes, parts, count)) {
    return write_init_reply(device, parts, *static_cast<MountContext*>(userdata));
  }
  return ::writev(device, parts, count);
}

}  // namespace

fuse_custom_io device_io() {
  fuse_custom_io io{};
  io.read = read_request;
  io.writev = write_reply;
  return io;
}

}  // namespace coffer::mount
