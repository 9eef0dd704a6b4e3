// The content sum of a whole file against what is stored. FORMAT.md 4.3, design 3.8.
#include <fmt/format.h>

#include <algorithm>

#include "fs/file_state.h"

namespace coffer::fs {
namespace {

constexpr std::uint64_t kRecordsPerRead = 16;

}  // namespace

bool FileState::needs_background_check() const { return trust_ == Trust::kUnconfirmed && size() > kCheckFirstMax; }

Status FileState::confirm() {
  if (trust_ == Trust::kConfirmed) return base::ok();
  base::MutexLock one_at_a_time(confirm_mutex_);
  if (trust_ == Trust::kConfirmed) return base::ok();
  if (trust_ == Trust::kPoisoned) return Errno(EIO);
  base::ReaderLock lock(mutex_);
  COFFER_ASSIGN_OR_RETURN(crypto::Sums stored, stored_sums());
  if (stored.content != sums_.content) {
    trust_ = Trust::kPoisoned;
    return blame();
  }
  if (stored.keyless != sums_.keyless) {
    trust_ = Trust::kPoisoned;
    return damaged("keyless sum is wrong");
  }
  trust_ = Trust::kConfirmed;
  auto now = context_.backing.stat(fd_);
  if (now && is_own_state(*now)) {
    context_.known_good.insert(*now);
  }
  return base::ok();
}

Errno FileState::blame() {
  const crypto::Geometry geometry = cipher_->geometry;
  base::Bytes plain;
  for (std::uint64_t index = 0; index < geometry.chunk_count(stored_size_); ++index) {
    auto hole = is_hole(index);
    if (!hole) return hole.error();
    if (*hole) {
      auto data = below_.seek_data(geometry.record_begin({index}).value);
      if (!data) break;
      index = std::max(index, geometry.chunk_of_cipher({*data}).value);
    }
    plain.resize(geometry.chunk_length({index}, stored_size_));
    Status opened = read_stored(index, index, index * geometry.chunk_size(), plain);
    // EAGAIN: a hole, which cannot be told from a zeroed record.
    if (!opened && opened.error() != Errno(EAGAIN)) return opened.error();
  }
  return damaged("content sum is wrong: chunks are missing, zeroed or from an older version");
}

Result<crypto::Sums> FileState::stored_sums() {
  const crypto::Geometry geometry = cipher_->geometry;
  crypto::Sums sums;
  const std::uint64_t count = geometry.chunk_count(stored_size_);
  base::Bytes buffer;
  for (std::uint64_t first = 0; first < count;) {
    if (context_.stopping) return Errno(EINTR);
    std::uint64_t begin = geometry.record_begin({first}).value;
    if (prefetched_.size() < own_stat_.size) {
      // A hole of the file below holds only hole records: jump over it.
      auto data = below_.seek_data(begin);
      if (!data && data.error() == Errno(ENXIO)) break;
      if (data && *data > begin) first = std::max(first, geometry.chunk_of_cipher({*data}).value);
    }
    std::uint64_t last = std::min(count, first + kRecordsPerRead) - 1;
    begin = geometry.record_begin({first}).value;
    std::uint64_t end =
        geometry.record_begin({last}).value + geometry.chunk_length({last}, stored_size_) + geometry.overhead();
    buffer.resize(static_cast<std::size_t>(end - begin));
    COFFER_ASSIGN_OR_RETURN(std::size_t got, stored_bytes(begin, buffer));
    if (got != buffer.size()) return damaged("shorter than when it was opened");
    for (std::uint64_t index = first; index <= last; ++index) {
      std::size_t at = static_cast<std::size_t>(geometry.record_begin({index}).value - begin) +
                       geometry.chunk_length({index}, stored_size_) + geometry.overhead() - crypto::kTrailerSize;
      ByteView trailer = ByteView(buffer).subspan(at, crypto::kTrailerSize);
      if (!base::all_zero(trailer)) sums.add(cipher_->chunks.terms({index}, trailer));
    }
    first = last + 1;
  }
  return sums;
}

}  // namespace coffer::fs
