// How content leaves memory: records, length, header, in this order.
#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "crypto/random.h"
#include "fs/file_state.h"

namespace coffer::fs {
namespace {

// Chunks sealed into one write, and bytes: an entry of the journal takes no more.
constexpr std::uint64_t kChunksPerStore = 64;
constexpr std::uint64_t kBytesPerStore = std::uint64_t{4} << 20;
// GCM with random nonces stays safe up to 2^32 seals of one key (NIST SP 800-38D, 8.3).
constexpr std::uint64_t kSealsMax = std::uint64_t{1} << 32;
// A last chunk up to this size stays in memory while the file is open.
constexpr std::size_t kTailMax = 64 << 10;

}  // namespace

FileState::Records FileState::seal(std::shared_ptr<const FileCipher> cipher, std::uint64_t first,
                                   std::span<const ByteView> chunks) {
  const crypto::Geometry& geometry = cipher->geometry;
  const std::size_t nonce = crypto::nonce_size(cipher->chunks.suite());
  std::size_t length = chunks.size() * geometry.overhead();
  for (ByteView chunk : chunks) length += chunk.size();
  Records records;
  records.first = first;
  records.bytes = base::Scratch(length);
  records.terms.reserve(chunks.size());
  base::Bytes nonces(chunks.size() * nonce);
  crypto::random_bytes(nonces);  // one call for all: a system call each would be a tenth of the time
  std::size_t at = 0;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    ByteSpan record = records.bytes.span().subspan(at, chunks[i].size() + geometry.overhead());
    records.terms.push_back(
        cipher->chunks.seal({first + i}, ByteView(nonces).subspan(i * nonce, nonce), chunks[i], record));
    at += record.size();
  }
  records.cipher = std::move(cipher);
  return records;
}

// What the record on disk adds to sums_; nothing where there is none or a hole.
Result<std::optional<crypto::SumTerms>> FileState::counted_terms(std::uint64_t index) {
  const crypto::Geometry& geometry = cipher_->geometry;
  const std::uint32_t length = geometry.chunk_length({index}, stored_size_);
  if (length == 0) return std::optional<crypto::SumTerms>{};
  if (tail_ && tail_->index == index) return std::optional(tail_->terms);
  base::ByteArray<crypto::kTrailerSize> trailer;
  const std::uint64_t end = geometry.record_begin({index}).value + length + geometry.overhead();
  COFFER_ASSIGN_OR_RETURN(std::size_t got, stored_bytes(end - trailer.size(), trailer));
  if (got != trailer.size())
    return damaged(fmt::format("chunk {}: the file is shorter than when it was opened", index));
  if (base::all_zero(trailer)) return std::optional<crypto::SumTerms>{};
  return std::optional(cipher_->chunks.terms({index}, trailer));
}

Status FileState::store_sealed(const Records& records, ByteView plain, bool patient) {
  const crypto::Geometry& geometry = cipher_->geometry;
  const std::uint64_t count = records.terms.size();
  const std::uint64_t end = records.first + count;
  if (header_.seals + count > kSealsMax) return Errno(EFBIG);
  COFFER_RETURN_IF_ERROR(subtract_range(records.first, end));
  for (auto held = dirty_.lower_bound(records.first); held != dirty_.end() && held->first < end;) drop_dirty(held++);
  header_.seals += count;
  Status written = below_.pwritev({as_iovec(records.bytes.view())}, geometry.record_begin({records.first}).value);
  if (written) {
    for (const crypto::SumTerms& terms : records.terms) sums_.add(terms);
    stored_size_ = std::max(stored_size_, end * geometry.chunk_size());
    return base::ok();
  }
  // What lies there now is unknown and counts in no sum: keep the plaintext, all of it.
  for (std::uint64_t i = 0; i < count; ++i) {
    ByteView chunk = plain.subspan(static_cast<std::size_t>(i * geometry.chunk_size()), geometry.chunk_size());
    dirty_[records.first + i] = DirtyChunk{base::Bytes(chunk.begin(), chunk.end()), std::nullopt};
    held_bytes_ += chunk.size();
    context_.dirty_bytes += chunk.size();
  }
  if (patient && context_.dirty_bytes <= context_.dirty_bytes_max) return base::ok();
  return written;
}

// Takes the records of chunks [begin, end) out of the sums, those held in memory and those only on disk.
Status FileState::subtract_range(std::uint64_t begin, std::uint64_t end) {
  const crypto::Geometry& geometry = cipher_->geometry;
  const std::uint64_t stored_end = std::min(end, geometry.chunk_count(stored_size_));
  crypto::Sums gone;
  for (std::uint64_t index = begin; index < stored_end; ++index) {
    if (dirty_.count(index) != 0) continue;
    COFFER_ASSIGN_OR_RETURN(std::optional<crypto::SumTerms> counted, counted_terms(index));
    if (counted) {
      gone.add(*counted);
      continue;
    }
    // A hole, often a long one: jump to where the file below has data again.
    auto data = below_.seek_data(geometry.record_begin({index}).value);
    if (!data && data.error() == Errno(ENXIO)) break;
    if (data && geometry.chunk_of_cipher({*data}).value > index + 1)
      index = geometry.chunk_of_cipher({*data}).value - 1;
  }
  for (auto held = dirty_.lower_bound(begin); held != dirty_.end() && held->first < end; ++held) {
    if (held->second.counted) gone.add(*held->second.counted);
    held->second.counted.reset();
  }
  if (tail_ && begin <= tail_->index && tail_->index < end) tail_.reset();
  sums_.content.value -= gone.content.value;
  sums_.keyless -= gone.keyless;
  return base::ok();
}

Status FileState::store_dirty() {
  Status first_error = base::ok();
  const std::uint64_t record_size = cipher_->geometry.chunk_size() + cipher_->geometry.overhead();
  const std::uint64_t count_max = std::min(kChunksPerStore, kBytesPerStore / record_size);
  for (auto at = dirty_.begin(); at != dirty_.end();) {
    const std::uint64_t first = at->first;
    std::uint64_t count = 0;
    const bool counted = cipher_->geometry.record_begin({first}).value < below_.committed_end();
    while (at != dirty_.end() && at->first == first + count && count < count_max) {
      ++at, ++count;
      // What goes through the journal apart from what need not.
      if (counted && cipher_->geometry.record_begin({first + count}).value >= below_.committed_end()) break;
    }
    Status stored = store_run(first, count);
    if (!stored && first_error) first_error = stored;
  }
  return first_error;
}

std::vector<ByteView> FileState::held_chunks(std::uint64_t first, std::uint64_t count) {
  std::vector<ByteView> chunks;
  chunks.reserve(static_cast<std::size_t>(count));
  auto held = dirty_.find(first);
  for (std::uint64_t i = 0; i < count; ++i, ++held) {
    DirtyChunk& chunk = held->second;
    const std::size_t length = cipher_->geometry.chunk_length({first + i}, size_);
    if (chunk.data.size() < length) resize_held(chunk, length);
    chunks.push_back(ByteView(chunk.data).first(length));
  }
  return chunks;
}

void FileState::stored_held(const Records& records) {
  for (std::uint64_t i = 0; i < records.terms.size(); ++i) {
    auto held = dirty_.find(records.first + i);
    const std::size_t length = cipher_->geometry.chunk_length({held->first}, size_);
    if (length < cipher_->geometry.chunk_size() && length <= kTailMax) {
      ByteView data = ByteView(held->second.data).first(length);
      tail_ = Tail{held->first, base::Bytes(data.begin(), data.end()), records.terms[i]};
    }
    drop_dirty(held);
  }
}

// `count` neighbouring chunks, all held in memory.
Status FileState::store_run(std::uint64_t first, std::uint64_t count) {
  const crypto::Geometry& geometry = cipher_->geometry;
  if (header_.seals + count > kSealsMax) return Errno(EFBIG);
  Records records = seal(cipher_, first, held_chunks(first, count));
  header_.seals += count;
  for (std::uint64_t i = 0; i < count; ++i) {
    DirtyChunk& chunk = dirty_.at(first + i);
    if (chunk.counted) sums_.subtract(*chunk.counted);
    chunk.counted.reset();  // from here on what lies on disk is unknown
  }
  COFFER_RETURN_IF_ERROR(below_.pwritev({as_iovec(records.bytes.view())}, geometry.record_begin({first}).value));
  for (const crypto::SumTerms& terms : records.terms) sums_.add(terms);
  const std::uint64_t end = std::min((first + count) * geometry.chunk_size(), size_.load());
  stored_size_ = std::max(stored_size_, end);
  stored_held(records);
  return base::ok();
}

// A new file that is still all in memory: header and records in one write.
Status FileState::store_new_file() {
  Records records = seal(cipher_, 0, held_chunks(0, dirty_.size()));
  crypto::Sums before = std::exchange(sums_, {});
  for (const crypto::SumTerms& terms : records.terms) sums_.add(terms);
  header_.seals += records.terms.size();
  crypto::HeaderBytes header = next_header();
  Status written =
      below_.commit(header, records.bytes.view(), {header_.version, header_.writer}, header_.clear.cipher_length);
  if (!written) {
    sums_ = before;
    return written;
  }
  stored_size_ = size_;
  stored_held(records);
  return base::ok();
}

Status FileState::store_length() {
  if (stored_size_ == size_) return base::ok();
  COFFER_RETURN_IF_ERROR(below_.truncate(cipher_->geometry.cipher_length(size_)));
  stored_size_ = size_;
  return base::ok();
}

crypto::HeaderBytes FileState::next_header() {
  header_.plain_size = size_;
  header_.content_sum = sums_.content;
  header_.clear.keyless_sum = sums_.keyless;
  header_.clear.cipher_length = cipher_->geometry.cipher_length(size_);
  header_.version += 1;
  header_.writer = context_.writer;
  header_.mtime = {mtime_.tv_sec, static_cast<std::uint32_t>(mtime_.tv_nsec)};
  return crypto::encode(header_, cipher_->keys);
}

Status FileState::store_header() {
  crypto::HeaderBytes header = next_header();
  return below_.commit(header, {}, {header_.version, header_.writer}, header_.clear.cipher_length);
}

Status FileState::stored_all() {
  header_stored_ = true;
  header_dirty_ = false;
  return below_.pending() ? base::ok() : reached_file();
}

// Everything is in the ciphertext file: set the mtime that people see, and remember the state as good.
Status FileState::reached_file() {
  dirty_since_.reset();
  const timespec times[2] = {{0, UTIME_OMIT}, mtime_};
  COFFER_RETURN_IF_ERROR(context_.backing.utimens(fd_, times));
  COFFER_ASSIGN_OR_RETURN(sys::Stat stat, context_.backing.stat(fd_));
  own_stat_ = stat;
  if (trust_ == Trust::kConfirmed && !discarded_) context_.known_good.insert(stat);
  return base::ok();
}

// Nothing of it reaches the disk any more, so nothing waits for that.
Status FileState::give_up_if_lost() {
  if (!lost_) return base::ok();
  below_.give_up();
  dirty_since_.reset();
  return Errno(EIO);
}

Status FileState::write_out_locked() {
  if (!header_dirty_ || discarded_) return base::ok();
  COFFER_RETURN_IF_ERROR(give_up_if_lost());
  const std::uint64_t chunks = cipher_->geometry.chunk_count(size_);
  if (!header_stored_ && stored_size_ == 0 && dirty_.size() == chunks && chunks <= kChunksPerStore) {
    COFFER_RETURN_IF_ERROR(store_new_file());
    return stored_all();
  }
  COFFER_RETURN_IF_ERROR(store_dirty());
  COFFER_RETURN_IF_ERROR(store_length());
  COFFER_RETURN_IF_ERROR(store_header());
  return stored_all();
}

Status FileState::write_out() {
  if (!writable_) return base::ok();
  base::WriterLock lock(mutex_);
  return write_out_locked();
}

Status FileState::apply_locked() {
  COFFER_RETURN_IF_ERROR(write_out_locked());
  if (!below_.pending()) return base::ok();
  COFFER_RETURN_IF_ERROR(give_up_if_lost());
  COFFER_RETURN_IF_ERROR(below_.apply());
  return reached_file();
}

Status FileState::apply() {
  if (!writable_) return base::ok();
  base::WriterLock lock(mutex_);
  return apply_locked();
}

// A change that is in the journal whole needs no more than that; what went into the file at once, and what is known of
// it besides content, needs the file, and before the header that counts it.
Status FileState::sync(bool data_only) {
  JournaledFile::Unsynced needs;
  std::uint64_t attributes = 0;
  {
    base::WriterLock lock(mutex_);
    if (writable_) COFFER_RETURN_IF_ERROR(write_out_locked());
    needs = below_.unsynced();
    // Also for fdatasync: a file that was renamed is of no use under neither name.
    attributes = attribute_changes_;
    needs.file = needs.file || attributes != attribute_changes_synced_;
    data_only = data_only && attributes == attribute_changes_synced_;
  }
  if (needs.file) {
    Status synced = data_only ? context_.backing.fdatasync(fd_) : context_.backing.fsync(fd_);
    COFFER_RETURN_IF_ERROR(synced);
    base::WriterLock lock(mutex_);
    attribute_changes_synced_ = std::max(attribute_changes_synced_, attributes);
    below_.synced(needs);
  }
  return needs.journal == 0 ? base::ok() : context_.journal->flush(needs.journal);
}

// Whole chunks become holes.
Status FileState::punch_chunks(std::uint64_t begin, std::uint64_t end) {
  const crypto::Geometry& geometry = cipher_->geometry;
  COFFER_RETURN_IF_ERROR(subtract_range(begin, end));
  for (auto held = dirty_.lower_bound(begin); held != dirty_.end() && held->first < end;) drop_dirty(held++);
  const std::uint64_t stored_end = std::min(end, geometry.chunk_count(stored_size_));
  if (begin >= stored_end) return base::ok();
  const std::uint64_t from = geometry.record_begin({begin}).value;
  const std::uint64_t to = geometry.record_begin({stored_end - 1}).value +
                           geometry.chunk_length({stored_end - 1}, stored_size_) + geometry.overhead();
  Status punched = below_.punch(from, to - from);
  if (!punched) {
    // Some may be zero and some not: hold zeros for all of them, to be stored as records at the next write_out().
    for (std::uint64_t index = begin; index < stored_end; ++index) dirty_[index] = DirtyChunk{};
  }
  return punched;
}

}  // namespace coffer::fs
