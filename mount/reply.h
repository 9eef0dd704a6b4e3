// The answer to one request: given exactly once, whatever happens.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "mount/fuse_api.h"

namespace coffer::mount {

// Move-only. Answering twice is a bug and aborts (the second answer would go to freed memory). A Reply that dies
// unanswered answers EIO: a request without an answer is a process that hangs.
//
// Answers that hand something over (a lookup count, a handle) return whether the kernel took it. It does not when the
// request was aborted in the meantime (ENOENT from the device); then the giver takes it back.
class Reply {
 public:
  explicit Reply(fuse_req_t request) noexcept : request_(request) {}
  Reply(Reply&& other) noexcept;
  Reply& operator=(Reply&&) = delete;
  ~Reply();

  bool answered() const noexcept { return request_ == nullptr; }
  fuse_req_t request() const noexcept { return request_; }  // for libfuse's helpers; nullptr once answered

  void error(base::Errno error) noexcept;
  void ok() noexcept;    // success without a value
  void none() noexcept;  // for FORGET, which gets no answer

  [[nodiscard]] bool entry(const fuse_entry_param& entry) noexcept;
  [[nodiscard]] bool created(const fuse_entry_param& entry, const fuse_file_info& file) noexcept;
  [[nodiscard]] bool opened(const fuse_file_info& file) noexcept;
  [[nodiscard]] bool listing(base::ByteView entries) noexcept;  // of readdirplus: carries lookup counts

  void attributes(const struct stat& attr, double trust_s) noexcept;
  void link_target(const std::string& target) noexcept;
  void data(base::ByteView bytes) noexcept;
  void written(std::size_t count) noexcept;
  void room(const struct statvfs& room) noexcept;
  void xattr_size(std::size_t size) noexcept;
  void offset(std::uint64_t offset) noexcept;

 private:
  fuse_req_t take() noexcept;  // marks as answered

  fuse_req_t request_;
};

}  // namespace coffer::mount
