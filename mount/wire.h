// The bytes between the kernel and libfuse, where libfuse 3.14.0 leaves something out.
//
// Three wishes of the kernel about suid and sgid never reach libfuse's operations, two features are accepted by its API
// but never sent in the INIT reply, and one request layout it cannot parse. We stand between: every request is looked
// at right after it was read, the INIT reply right before it is written. (libfuse 3.14.0, lib/fuse_lowlevel.c:
// do_setattr, do_write_buf, do_open, do_create, do_setxattr, do_init.)
//
// Numbers and layouts: include/uapi/linux/fuse.h of the kernel.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace coffer::mount {

// What a request says beyond what libfuse tells its operation.
struct RequestNotes {
  std::uint32_t opcode = 0;
  std::uint64_t unique = 0;
  pid_t caller = 0;           // its thread; 0: nobody waits for the answer
  std::size_t length = 0;     // of the request or, for READ, of what it asks for
  bool kill_suidgid = false;  // SETATTR, WRITE, OPEN, CREATE: clear suid and sgid, security.capability too
  bool kill_sgid = false;     // SETXATTR of an ACL: clear sgid only
};

// The features that libfuse does not negotiate by itself.
struct KernelFeatures {
  bool parallel_dirops = false;
  bool handle_killpriv_v2 = false;
  bool setxattr_ext = false;
};

// What the kernel's INIT request offers; everything false for anything that is not a whole INIT request.
KernelFeatures parse_init_request(base::ByteView request);

// The notes of one request. Never reads outside it: a truncated one yields what its header says, a shorter one nothing.
RequestNotes parse_request(base::ByteView request);

// With FUSE_SETXATTR_EXT a SETXATTR carries 8 bytes more between its arguments and the name, which libfuse would take
// for the name. Takes them out in place; returns the request's new length (also written into its header).
std::size_t shorten_setxattr(base::ByteSpan request);

// Adds `features` to the flags of a successful INIT reply `reply` (struct fuse_init_out, as libfuse made it). False,
// and nothing changed: too short to hold flags.
bool add_features(base::ByteSpan init_out, const KernelFeatures& features);

// The opcodes that the session must know by number.
enum class Opcode : std::uint32_t {
  kRead = 15,
  kWrite = 16,
  kFsync = 20,
  kSetxattr = 21,
  kInit = 26,
  kFsyncdir = 30,
  kFallocate = 43,
  kLseek = 46,
  kCopyFileRange = 47,
};

}  // namespace coffer::mount
