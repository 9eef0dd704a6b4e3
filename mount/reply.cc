#include "mount/reply.h"

#include <utility>

#include "base/check.h"

namespace coffer::mount {

Reply::Reply(Reply&& other) noexcept : request_(std::exchange(other.request_, nullptr)) {}

Reply::~Reply() {
  if (request_ != nullptr) fuse_reply_err(take(), EIO);
}

fuse_req_t Reply::take() noexcept {
  COFFER_CHECK(request_ != nullptr);  // answered twice: libfuse has freed the request
  return std::exchange(request_, nullptr);
}

// libfuse's results are negative errnos; failures to hand over nothing concern nobody but a caller who is gone.
void Reply::error(base::Errno error) noexcept { fuse_reply_err(take(), error.code()); }
void Reply::ok() noexcept { fuse_reply_err(take(), 0); }
void Reply::none() noexcept { fuse_reply_none(take()); }

bool Reply::entry(const fuse_entry_param& entry) noexcept { return fuse_reply_entry(take(), &entry) == 0; }
bool Reply::created(const fuse_entry_param& entry, const fuse_file_info& file) noexcept {
  return fuse_reply_create(take(), &entry, &file) == 0;
}
bool Reply::opened(const fuse_file_info& file) noexcept { return fuse_reply_open(take(), &file) == 0; }
bool Reply::listing(base::ByteView entries) noexcept {
  return fuse_reply_buf(take(), base::as_text(entries).data(), entries.size()) == 0;
}

void Reply::attributes(const struct stat& attr, double trust_s) noexcept { fuse_reply_attr(take(), &attr, trust_s); }
void Reply::link_target(const std::string& target) noexcept { fuse_reply_readlink(take(), target.c_str()); }
void Reply::data(base::ByteView bytes) noexcept { fuse_reply_buf(take(), base::as_text(bytes).data(), bytes.size()); }
void Reply::written(std::size_t count) noexcept { fuse_reply_write(take(), count); }
void Reply::room(const struct statvfs& room) noexcept { fuse_reply_statfs(take(), &room); }
void Reply::xattr_size(std::size_t size) noexcept { fuse_reply_xattr(take(), size); }
void Reply::offset(std::uint64_t offset) noexcept { fuse_reply_lseek(take(), static_cast<off_t>(offset)); }

}  // namespace coffer::mount
