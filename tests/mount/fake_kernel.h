// The kernel's side of /dev/fuse on a socketpair: asks one request at a time and reads its answer. Everything happens
// in the calling thread.
#pragma once

#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/unique_fd.h"
#include "mount/fuse_api.h"

namespace coffer::test {

struct Answer {
  bool given = false;
  int error = 0;  // negative errno, as on the wire
  base::Bytes payload;

  template <class T>
  T as(std::size_t offset = 0) const {
    T value{};
    EXPECT_GE(payload.size(), offset + sizeof value);
    if (payload.size() >= offset + sizeof value) std::memcpy(&value, payload.data() + offset, sizeof value);
    return value;
  }
};

// Arguments that are all zero but for one field.
template <class Arguments, class Field, class Value>
Arguments with(Field Arguments::*field, Value value) {
  Arguments arguments{};
  arguments.*field = static_cast<Field>(value);
  return arguments;
}

class FakeKernel {
 public:
  static constexpr std::uint32_t kOffered = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DONT_MASK |
                                            FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_WRITEBACK_CACHE |
                                            FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_POSIX_ACL |
                                            FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_SETXATTR_EXT;

  // io: what the session uses to read and write; empty functions stand for read(2) and writev(2).
  FakeKernel(const fuse_lowlevel_ops& ops, void* userdata, fuse_custom_io io = {}, std::uint32_t offered = kOffered)
      : io_(io) {
    current_ = this;
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    ours_ = base::UniqueFd(ends[0]);
    fuse_args arguments{};
    fuse_opt_add_arg(&arguments, "test");
    session_ = fuse_session_new(&arguments, &ops, sizeof ops, userdata);
    fuse_opt_free_args(&arguments);
    fuse_custom_io hooks{};
    hooks.read = &FakeKernel::read_hook;
    hooks.writev = &FakeKernel::writev_hook;
    EXPECT_EQ(fuse_session_custom_io(session_, &hooks, ends[1]), 0);
    fuse_init_in in{};
    in.major = 7;
    in.minor = 38;
    in.max_readahead = 1 << 17;
    in.flags = offered;
    init_ = ask(FUSE_INIT, 0, in);
  }
  ~FakeKernel() {
    fuse_session_destroy(session_);
    std::free(buffer_.mem);
    current_ = nullptr;
  }
  FakeKernel(const FakeKernel&) = delete;
  FakeKernel& operator=(const FakeKernel&) = delete;

  const Answer& init() const { return init_; }
  void as_caller(uid_t uid, gid_t gid) { uid_ = uid, gid_ = gid; }
  // The next answer meets a kernel that has dropped the request.
  void refuse_next() { refuse_ = true; }

  template <class Arguments>
  Answer ask(fuse_opcode opcode, std::uint64_t node, const Arguments& arguments, std::string_view rest = {}) {
    base::Bytes bytes(sizeof arguments);
    std::memcpy(bytes.data(), &arguments, sizeof arguments);
    return ask_bytes(opcode, node, std::move(bytes), rest);
  }
  // A request of names only: each with its zero byte.
  Answer ask_names(fuse_opcode opcode, std::uint64_t node, std::string_view names) {
    return ask_bytes(opcode, node, {}, names);
  }

  Answer receive() {
    Answer answer;
    base::Bytes bytes(std::size_t{2} << 20);
    const ssize_t got = ::recv(ours_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < static_cast<ssize_t>(sizeof(fuse_out_header))) return answer;
    fuse_out_header header;
    std::memcpy(&header, bytes.data(), sizeof header);
    EXPECT_EQ(header.len, static_cast<std::uint32_t>(got));
    EXPECT_EQ(header.unique, unique_);
    answer.given = true;
    answer.error = header.error;
    answer.payload.assign(bytes.begin() + sizeof header, bytes.begin() + got);
    return answer;
  }
  bool nothing_more() { return !receive().given; }

 private:
  Answer ask_bytes(fuse_opcode opcode, std::uint64_t node, base::Bytes arguments, std::string_view rest) {
    fuse_in_header header{};
    header.len = static_cast<std::uint32_t>(sizeof header + arguments.size() + rest.size());
    header.opcode = static_cast<std::uint32_t>(opcode);
    header.unique = ++unique_;
    header.nodeid = node;
    header.uid = uid_;
    header.gid = gid_;
    header.pid = 4711;
    const auto part = [](const void* from, std::size_t size) { return iovec{const_cast<void*>(from), size}; };
    const iovec parts[] = {part(&header, sizeof header), part(arguments.data(), arguments.size()),
                           part(rest.data(), rest.size())};
    EXPECT_EQ(::writev(ours_.get(), parts, 3), static_cast<ssize_t>(header.len));
    EXPECT_GT(fuse_session_receive_buf(session_, &buffer_), 0);
    fuse_session_process_buf(session_, &buffer_);
    return receive();
  }

  static ssize_t read_hook(int fd, void* to, std::size_t size, void* userdata) {
    return current_->io_.read != nullptr ? current_->io_.read(fd, to, size, userdata) : ::read(fd, to, size);
  }
  static ssize_t writev_hook(int fd, iovec* parts, int count, void* userdata) {
    if (std::exchange(current_->refuse_, false)) {
      errno = ENOENT;
      return -1;
    }
    return current_->io_.writev != nullptr ? current_->io_.writev(fd, parts, count, userdata)
                                           : ::writev(fd, parts, count);
  }

  static inline FakeKernel* current_ = nullptr;
  fuse_custom_io io_;
  base::UniqueFd ours_;
  fuse_session* session_ = nullptr;
  fuse_buf buffer_{};
  std::uint64_t unique_ = 0;
  uid_t uid_ = ::geteuid();
  gid_t gid_ = ::getegid();
  bool refuse_ = false;
  Answer init_;
};

}  // namespace coffer::test
