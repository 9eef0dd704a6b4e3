// Changing content: in memory, with the sums kept in step. What goes to disk when is in file_store.cc.
#include <algorithm>

#include "fs/file_state.h"

namespace coffer::fs {
namespace {

// Writes from this size on are sealed at once, before the file's lock is taken: the kernel's writeback comes in
// requests of up to 1 MiB, several at a time, and so uses both cores. Smaller ones wait in memory for their neighbours.
constexpr std::size_t kSealAtOnceMin = 128 << 10;
// Held back per file before it is stored, header aside.
constexpr std::uint64_t kHeldPerFileMax = 1 << 20;

}  // namespace

Status FileState::write(std::uint64_t offset, ByteView data, bool patient) {
  COFFER_RETURN_IF_ERROR(check_not_lost());
  if (!writable_) return Errno(EBADF);
  if (data.empty()) return base::ok();
  if (offset > crypto::kMaxPlainSize || data.size() > crypto::kMaxPlainSize - offset) return Errno(EFBIG);
  COFFER_RETURN_IF_ERROR(confirm());
  std::optional<Records> sealed;
  if (data.size() >= kSealAtOnceMin) {
    std::shared_ptr<const FileCipher> cipher;
    {
      base::ReaderLock lock(mutex_);
      cipher = cipher_;
    }
    const std::uint64_t chunk_size = cipher->geometry.chunk_size();
    const std::uint64_t first = (offset + chunk_size - 1) / chunk_size;
    const std::uint64_t end = (offset + data.size()) / chunk_size;
    if (end > first) {
      std::vector<ByteView> chunks;
      chunks.reserve(static_cast<std::size_t>(end - first));
      for (std::uint64_t index = first; index < end; ++index) {
        chunks.push_back(data.subspan(static_cast<std::size_t>(index * chunk_size - offset), chunk_size));
      }
      sealed = seal(std::move(cipher), first, chunks);
    }
  }
  base::WriterLock lock(mutex_);
  return write_locked(offset, data, sealed ? &*sealed : nullptr, patient);
}

Status FileState::write_locked(std::uint64_t offset, ByteView data, Records* sealed, bool patient) {
  const std::uint64_t end = offset + data.size();
  if (end > size_) COFFER_RETURN_IF_ERROR(grow(end));
  touch();
  if (sealed != nullptr && sealed->cipher == cipher_) {
    const std::uint64_t chunk_size = cipher_->geometry.chunk_size();
    const std::size_t head = static_cast<std::size_t>(sealed->first * chunk_size - offset);
    const std::size_t middle = static_cast<std::size_t>(sealed->terms.size() * chunk_size);
    COFFER_RETURN_IF_ERROR(hold(offset, data.first(head)));
    COFFER_RETURN_IF_ERROR(store_sealed(*sealed, data.subspan(head, middle), patient));
    COFFER_RETURN_IF_ERROR(hold(offset + head + middle, data.subspan(head + middle)));
  } else {
    COFFER_RETURN_IF_ERROR(hold(offset, data));
  }
  // What the journal has is safe; what cannot be applied now is tried again by the settler.
  if (below_.crowded()) static_cast<void>(apply_locked());
  const bool memory_full = context_.dirty_bytes > context_.dirty_bytes_max;
  if (held_bytes_ <= kHeldPerFileMax && !memory_full) return base::ok();
  Status stored = store_dirty();
  // What could not be stored is kept; only when memory runs out too must the caller hear of it now.
  if (!stored && patient && context_.dirty_bytes <= context_.dirty_bytes_max) return base::ok();
  return stored;
}

Status FileState::hold(std::uint64_t offset, ByteView data) {
  const std::uint64_t chunk_size = cipher_->geometry.chunk_size();
  while (!data.empty()) {
    const std::uint64_t index = offset / chunk_size;
    const std::size_t skip = static_cast<std::size_t>(offset % chunk_size);
    const std::size_t length = std::min<std::size_t>(data.size(), static_cast<std::size_t>(chunk_size) - skip);
    // Nothing of the old chunk survives: it need not be read.
    const bool whole = skip == 0 && (length == chunk_size || offset + length >= size_);
    COFFER_ASSIGN_OR_RETURN(DirtyChunk * chunk, dirty_chunk(index, !whole));
    if (chunk->data.size() < skip + length) resize_held(*chunk, skip + length);
    std::copy_n(data.data(), length, chunk->data.data() + skip);
    data = data.subspan(length);
    offset += length;
  }
  return base::ok();
}

Result<FileState::DirtyChunk*> FileState::dirty_chunk(std::uint64_t index, bool load) {
  auto present = dirty_.find(index);
  if (present != dirty_.end()) return &present->second;
  DirtyChunk chunk;
  const crypto::Geometry& geometry = cipher_->geometry;
  if (tail_ && tail_->index == index) {
    chunk = {std::move(tail_->data), tail_->terms};
    tail_.reset();
  } else if (index < geometry.chunk_count(stored_size_)) {
    COFFER_ASSIGN_OR_RETURN(chunk.counted, counted_terms(index));
    if (load && chunk.counted) {
      chunk.data.resize(geometry.chunk_length({index}, stored_size_));
      COFFER_RETURN_IF_ERROR(read_stored(index, index, index * geometry.chunk_size(), chunk.data));
    }
  }
  held_bytes_ += chunk.data.size();
  context_.dirty_bytes += chunk.data.size();
  return &dirty_.emplace(index, std::move(chunk)).first->second;
}

void FileState::resize_held(DirtyChunk& chunk, std::size_t size) {
  held_bytes_ += size - chunk.data.size();
  context_.dirty_bytes += size - chunk.data.size();
  chunk.data.resize(size);
}

void FileState::drop_dirty(std::map<std::uint64_t, DirtyChunk>::iterator chunk) {
  held_bytes_ -= chunk->second.data.size();
  context_.dirty_bytes -= chunk->second.data.size();
  dirty_.erase(chunk);
}

// Makes the file `size` bytes long, more than now; what comes between reads as zeros.
Status FileState::grow(std::uint64_t size) {
  // An earlier cut that failed on disk must be made good before its records could come back into view.
  if (stored_size_ > size_) COFFER_RETURN_IF_ERROR(store_length());
  const std::uint64_t chunk_size = cipher_->geometry.chunk_size();
  const std::uint64_t last = size_ / chunk_size;
  if (size_ % chunk_size != 0 && dirty_.find(last) == dirty_.end() && size_ == stored_size_) {
    // The last record is sealed at its old length; it has to be sealed again.
    COFFER_ASSIGN_OR_RETURN(std::optional<crypto::SumTerms> counted, counted_terms(last));
    if (counted) COFFER_RETURN_IF_ERROR(dirty_chunk(last, true));
  }
  size_ = size;
  return base::ok();
}

Status FileState::truncate(std::uint64_t size) {
  COFFER_RETURN_IF_ERROR(check_not_lost());
  if (!writable_) return Errno(EBADF);
  if (size > crypto::kMaxPlainSize) return Errno(EFBIG);
  if (size != 0) COFFER_RETURN_IF_ERROR(confirm());
  base::WriterLock lock(mutex_);
  if (size == size_ && trust_ == Trust::kConfirmed) return base::ok();
  touch();
  if (size > size_) return grow(size);
  return shrink(size);
}

Status FileState::shrink(std::uint64_t size) {
  const crypto::Geometry& geometry = cipher_->geometry;
  const std::uint64_t keep = geometry.chunk_count(size);
  if (size == 0) {
    sums_ = {};
    tail_.reset();
    while (!dirty_.empty()) drop_dirty(dirty_.begin());
    trust_ = Trust::kConfirmed;  // nothing is left that could be wrong
  } else {
    if (size % geometry.chunk_size() != 0) {
      COFFER_ASSIGN_OR_RETURN(DirtyChunk * last, dirty_chunk(keep - 1, true));
      const std::size_t length = geometry.chunk_length({keep - 1}, size);
      if (last->data.size() > length) resize_held(*last, length);
    }
    COFFER_RETURN_IF_ERROR(subtract_range(keep, geometry.chunk_count(stored_size_)));
    while (!dirty_.empty() && dirty_.rbegin()->first >= keep) drop_dirty(std::prev(dirty_.end()));
  }
  size_ = size;
  COFFER_RETURN_IF_ERROR(store_dirty());
  return store_length();
}

Status FileState::zero(std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t chunk_size = cipher_->geometry.chunk_size();
  const base::Bytes zeros(static_cast<std::size_t>(std::min(length, chunk_size)));
  while (length > 0) {
    std::uint64_t part = std::min({length, chunk_size - offset % chunk_size, std::uint64_t{zeros.size()}});
    COFFER_RETURN_IF_ERROR(hold(offset, ByteView(zeros).first(static_cast<std::size_t>(part))));
    offset += part;
    length -= part;
  }
  return base::ok();
}

Status FileState::punch(std::uint64_t offset, std::uint64_t length) {
  COFFER_RETURN_IF_ERROR(check_not_lost());
  if (!writable_) return Errno(EBADF);
  COFFER_RETURN_IF_ERROR(confirm());
  base::WriterLock lock(mutex_);
  if (offset >= size_) return base::ok();
  const std::uint64_t end = length > size_ - offset ? size_.load() : offset + length;
  const std::uint64_t chunk_size = cipher_->geometry.chunk_size();
  const std::uint64_t first = (offset + chunk_size - 1) / chunk_size;
  const std::uint64_t last = end == size_ ? cipher_->geometry.chunk_count(end) : end / chunk_size;
  touch();
  if (first >= last) return zero(offset, end - offset);
  if (first * chunk_size > offset) COFFER_RETURN_IF_ERROR(zero(offset, first * chunk_size - offset));
  if (last * chunk_size < end) COFFER_RETURN_IF_ERROR(zero(last * chunk_size, end - last * chunk_size));
  return punch_chunks(first, last);
}

Status FileState::allocate(std::uint64_t offset, std::uint64_t length, bool keep_size) {
  COFFER_RETURN_IF_ERROR(check_not_lost());
  if (!writable_) return Errno(EBADF);
  if (offset > crypto::kMaxPlainSize || length > crypto::kMaxPlainSize - offset) return Errno(EFBIG);
  COFFER_RETURN_IF_ERROR(confirm());
  base::WriterLock lock(mutex_);
  const crypto::Geometry& geometry = cipher_->geometry;
  const std::uint64_t end = offset + length;
  const std::uint64_t begin_below = geometry.record_begin(geometry.chunk_at({offset})).value;
  const std::uint64_t end_below = geometry.cipher_length(end);
  COFFER_RETURN_IF_ERROR(context_.backing.fallocate(fd_, FALLOC_FL_KEEP_SIZE, begin_below, end_below - begin_below));
  if (keep_size || end <= size_) return base::ok();
  COFFER_RETURN_IF_ERROR(grow(end));
  touch();
  return base::ok();
}

}  // namespace coffer::fs
