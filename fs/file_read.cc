// Reading: from what is held in memory, else from stored records, never a byte that does not authenticate.
#include <fmt/format.h>

#include <algorithm>

#include "fs/file_state.h"

namespace coffer::fs {
namespace {

// Records read and opened at once.
constexpr std::uint64_t kRecordsPerRead = 64;

}  // namespace

Result<std::size_t> FileState::read(std::uint64_t offset, ByteSpan out) {
  COFFER_RETURN_IF_ERROR(check_not_lost());
  if (trust_ == Trust::kPoisoned) return Errno(EIO);
  if (trust_ == Trust::kUnconfirmed && size() <= kCheckFirstMax) COFFER_RETURN_IF_ERROR(confirm());
  for (;;) {
    Result<std::size_t> result = Errno(EIO);
    {
      base::ReaderLock lock(mutex_);
      result = read_locked(offset, out);
    }
    // A hole may be served only once the whole sum has been checked.
    if (result || result.error() != Errno(EAGAIN)) return result;
    COFFER_RETURN_IF_ERROR(confirm());
  }
}

Result<std::size_t> FileState::read_locked(std::uint64_t offset, ByteSpan out) {
  const std::uint64_t file_size = size_;
  if (offset >= file_size) return std::size_t{0};
  out = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), file_size - offset)));
  if (out.empty()) return std::size_t{0};
  const std::uint64_t chunk_size = cipher_->geometry.chunk_size();
  const std::uint64_t stored_chunks = cipher_->geometry.chunk_count(stored_size_);
  const std::uint64_t last = (offset + out.size() - 1) / chunk_size;
  for (std::uint64_t index = offset / chunk_size; index <= last;) {
    // The part of `out` from here to the end of chunk `to`.
    auto part = [&](std::uint64_t to) {
      std::uint64_t begin = std::max(offset, index * chunk_size);
      std::uint64_t end = std::min(offset + out.size(), (to + 1) * chunk_size);
      return out.subspan(static_cast<std::size_t>(begin - offset), static_cast<std::size_t>(end - begin));
    };
    auto held = dirty_.lower_bound(index);
    if (held != dirty_.end() && held->first == index) {
      ByteSpan to = part(index);
      const base::Bytes& data = held->second.data;
      std::size_t skip = static_cast<std::size_t>(std::max(offset, index * chunk_size) - index * chunk_size);
      std::size_t have = data.size() > skip ? std::min(to.size(), data.size() - skip) : 0;
      std::copy_n(data.data() + skip, have, to.data());
      std::fill(to.begin() + static_cast<std::ptrdiff_t>(have), to.end(), base::Byte{0});
      ++index;
      continue;
    }
    std::uint64_t run_end = held == dirty_.end() ? last : std::min(last, held->first - 1);
    if (index >= stored_chunks) {
      ByteSpan to = part(run_end);
      std::fill(to.begin(), to.end(), base::Byte{0});
    } else {
      run_end = std::min({run_end, stored_chunks - 1, index + kRecordsPerRead - 1});
      COFFER_RETURN_IF_ERROR(read_stored(index, run_end, std::max(offset, index * chunk_size), part(run_end)));
    }
    index = run_end + 1;
  }
  return out.size();
}

Result<std::size_t> FileState::stored_bytes(std::uint64_t offset, ByteSpan out) {
  if (offset + out.size() <= prefetched_.size()) {
    std::copy_n(prefetched_.data() + offset, out.size(), out.data());
    return out.size();
  }
  return below_.pread(out, offset);
}

// Chunks first to last, of which `out` wants the bytes from plaintext offset `offset` on.
Status FileState::read_stored(std::uint64_t first, std::uint64_t last, std::uint64_t offset, ByteSpan out) {
  const crypto::Geometry& geometry = cipher_->geometry;
  const std::uint64_t chunk_size = geometry.chunk_size();
  const std::uint64_t begin = geometry.record_begin({first}).value;
  const std::size_t want = static_cast<std::size_t>(geometry.record_begin({last}).value - begin) +
                           geometry.chunk_length({last}, stored_size_) + geometry.overhead();
  base::Scratch records(want);
  COFFER_ASSIGN_OR_RETURN(std::size_t got, stored_bytes(begin, records.span()));
  if (got != want) return damaged(fmt::format("chunk {}: the file is shorter than when it was opened", last));
  for (std::uint64_t index = first; index <= last; ++index) {
    const std::uint32_t length = geometry.chunk_length({index}, stored_size_);
    ByteView record = records.view().subspan(static_cast<std::size_t>(geometry.record_begin({index}).value - begin),
                                             length + geometry.overhead());
    const std::uint64_t chunk_begin = index * chunk_size;
    const std::uint64_t from = std::max(offset, chunk_begin);
    const std::uint64_t to = std::min(offset + out.size(), chunk_begin + chunk_size);
    ByteSpan target = out.subspan(static_cast<std::size_t>(from - offset), static_cast<std::size_t>(to - from));
    if (from == chunk_begin && target.size() == length) {
      COFFER_RETURN_IF_ERROR(open_record(index, record, target));
      continue;
    }
    base::Scratch whole(length);  // of which only a part is wanted
    COFFER_RETURN_IF_ERROR(open_record(index, record, whole.span()));
    // A stored record may be shorter than its chunk has become: the rest is zeros.
    std::size_t skip = static_cast<std::size_t>(from - chunk_begin);
    std::size_t have = length > skip ? std::min<std::size_t>(target.size(), length - skip) : 0;
    std::copy_n(whole.view().data() + skip, have, target.data());
    std::fill(target.begin() + static_cast<std::ptrdiff_t>(have), target.end(), base::Byte{0});
  }
  return base::ok();
}

Status FileState::open_record(std::uint64_t index, ByteView record, ByteSpan plain) {
  // A record whose nonce is zero is a hole or forged: one nonce in 2^96 is zero by chance.
  if (base::all_zero(record.first(12)) && base::all_zero(record)) {
    if (trust_ != Trust::kConfirmed) return Errno(EAGAIN);
    std::fill(plain.begin(), plain.end(), base::Byte{0});
    return base::ok();
  }
  if (!cipher_->chunks.open({index}, record, plain)) {
    return damaged_chunk(index);
  }
  return base::ok();
}

Result<bool> FileState::is_hole(std::uint64_t index) {
  const crypto::Geometry& geometry = cipher_->geometry;
  base::ByteArray<crypto::kTrailerSize> trailer;
  std::uint64_t at = geometry.record_begin({index}).value + geometry.chunk_length({index}, stored_size_) +
                     geometry.overhead() - crypto::kTrailerSize;
  COFFER_ASSIGN_OR_RETURN(std::size_t got, stored_bytes(at, trailer));
  if (got != trailer.size())
    return damaged(fmt::format("chunk {}: the file is shorter than when it was opened", index));
  return base::all_zero(trailer);
}

Result<std::uint64_t> FileState::seek(std::uint64_t offset, int whence) {
  // A hole is a claim about content like any other: zeroed records must not pass for holes.
  if (trust_ == Trust::kPoisoned) return Errno(EIO);
  if (trust_ == Trust::kUnconfirmed && size() <= kCheckFirstMax) COFFER_RETURN_IF_ERROR(confirm());
  // So that the answers to one question after the other agree. If it fails, all is data.
  if (writable_ && is_unwritten()) static_cast<void>(write_out());
  base::ReaderLock lock(mutex_);
  const std::uint64_t file_size = size_;
  if (offset >= file_size) return Errno(ENXIO);
  const bool want_data = whence == SEEK_DATA;
  if (!want_data && whence != SEEK_HOLE) return Errno(EINVAL);
  // What is stored is not all, or is not yet to be believed: all is data.
  if (header_dirty_ || trust_ != Trust::kConfirmed) return want_data ? offset : file_size;
  const crypto::Geometry& geometry = cipher_->geometry;
  const std::uint64_t chunk_size = geometry.chunk_size();
  const std::uint64_t count = geometry.chunk_count(stored_size_);
  for (std::uint64_t index = offset / chunk_size; index < count; ++index) {
    // The file below knows its own holes; they are finer than ours, so what it names is only a place to look.
    auto below = below_.seek(geometry.record_begin({index}).value, whence);
    if (!below && below.error() == Errno(ENXIO)) break;
    if (!below) return below.error();
    std::uint64_t candidate = geometry.chunk_of_cipher({*below}).value;
    // Its hole may begin inside a data record: then the next one is the first that can be a hole.
    index = std::max(index, candidate);
    if (index >= count) break;
    COFFER_ASSIGN_OR_RETURN(bool hole, is_hole(index));
    if (hole != want_data) return std::max(offset, index * chunk_size);
  }
  if (want_data) return Errno(ENXIO);
  return file_size;
}

}  // namespace coffer::fs
