#include "mount/wire.h"

#include <linux/fuse.h>

#include <algorithm>
#include <cstring>

namespace coffer::mount {
namespace {

using base::ByteSpan;
using base::ByteView;

static_assert(sizeof(fuse_in_header) == 40 && sizeof(fuse_setxattr_in) == 16 && sizeof(fuse_write_in) == 40);

constexpr bool same(Opcode ours, fuse_opcode theirs) { return static_cast<std::uint32_t>(ours) == theirs; }
static_assert(same(Opcode::kRead, FUSE_READ) && same(Opcode::kWrite, FUSE_WRITE) && same(Opcode::kFsync, FUSE_FSYNC));
static_assert(same(Opcode::kSetxattr, FUSE_SETXATTR) && same(Opcode::kInit, FUSE_INIT));
static_assert(same(Opcode::kFsyncdir, FUSE_FSYNCDIR) && same(Opcode::kFallocate, FUSE_FALLOCATE));
static_assert(same(Opcode::kCopyFileRange, FUSE_COPY_FILE_RANGE));

// A copy of the structure at `offset`; all zero where the bytes end before it does.
template <class T>
T load(ByteView bytes, std::size_t offset) {
  T value{};
  if (bytes.size() >= offset && bytes.size() - offset >= sizeof value) {
    std::memcpy(&value, bytes.data() + offset, sizeof value);
  }
  return value;
}

template <class T>
T arguments(ByteView request) {
  return load<T>(request, sizeof(fuse_in_header));
}

}  // namespace

KernelFeatures parse_init_request(ByteView request) {
  if (load<fuse_in_header>(request, 0).opcode != FUSE_INIT) return {};
  // Kernels before 7.36 send the first 16 bytes of fuse_init_in only; the flags wanted here are in them.
  if (request.size() < sizeof(fuse_in_header) + 16) return {};
  const auto flags = load<std::uint32_t>(request, sizeof(fuse_in_header) + offsetof(fuse_init_in, flags));
  return {.parallel_dirops = (flags & FUSE_PARALLEL_DIROPS) != 0,
          .handle_killpriv_v2 = (flags & FUSE_HANDLE_KILLPRIV_V2) != 0,
          .setxattr_ext = (flags & FUSE_SETXATTR_EXT) != 0};
}

RequestNotes parse_request(ByteView request) {
  const auto header = load<fuse_in_header>(request, 0);
  RequestNotes notes{.opcode = header.opcode,
                     .unique = header.unique,
                     .caller = static_cast<pid_t>(header.pid),
                     .length = request.size()};
  switch (header.opcode) {
    case FUSE_SETATTR:
      notes.kill_suidgid = (arguments<fuse_setattr_in>(request).valid & FATTR_KILL_SUIDGID) != 0;
      break;
    case FUSE_READ:
      notes.length = std::max<std::size_t>(notes.length, arguments<fuse_read_in>(request).size);
      break;
    case FUSE_WRITE:
      notes.kill_suidgid = (arguments<fuse_write_in>(request).write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
      break;
    case FUSE_OPEN:
      notes.kill_suidgid = (arguments<fuse_open_in>(request).open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
      break;
    case FUSE_CREATE:
      notes.kill_suidgid = (arguments<fuse_create_in>(request).open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
      break;
    case FUSE_SETXATTR:
      notes.kill_sgid = (arguments<fuse_setxattr_in>(request).setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) != 0;
      break;
    default:
      break;
  }
  return notes;
}

std::size_t shorten_setxattr(ByteSpan request) {
  constexpr std::size_t kKept = sizeof(fuse_in_header) + FUSE_COMPAT_SETXATTR_IN_SIZE;
  constexpr std::size_t kExtra = sizeof(fuse_setxattr_in) - FUSE_COMPAT_SETXATTR_IN_SIZE;
  if (request.size() < kKept + kExtra) return request.size();
  std::memmove(request.data() + kKept, request.data() + kKept + kExtra, request.size() - kKept - kExtra);
  const std::size_t length = request.size() - kExtra;
  base::store_le(request.data() + offsetof(fuse_in_header, len), static_cast<std::uint32_t>(length));
  return length;
}

bool add_features(ByteSpan init_out, const KernelFeatures& features) {
  constexpr std::size_t kFlags = offsetof(fuse_init_out, flags);
  if (init_out.size() < kFlags + sizeof(std::uint32_t)) return false;
  auto flags = base::load_le<std::uint32_t>(init_out.data() + kFlags);
  if (features.parallel_dirops) flags |= FUSE_PARALLEL_DIROPS;
  if (features.handle_killpriv_v2) flags |= FUSE_HANDLE_KILLPRIV_V2;
  if (features.setxattr_ext) flags |= FUSE_SETXATTR_EXT;
  base::store_le(init_out.data() + kFlags, flags);
  return true;
}

}  // namespace coffer::mount
