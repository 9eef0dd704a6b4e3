#include "fs/journaled_file.h"

#include <algorithm>

namespace coffer::fs {
namespace {

// Behind the committed end, what is small goes through the journal all the same: then one flush makes all durable.
constexpr std::size_t kSmall = 64 << 10;
// More will come, most likely, as long as the last came no longer ago.
constexpr auto kStreaming = std::chrono::seconds(2);
// But what is overwritten waits no longer.
constexpr auto kApplyAtLatest = std::chrono::seconds(5);
// Held in memory per file before it is applied.
constexpr std::uint64_t kOverlayMax = std::uint64_t{16} << 20;
// And by all files before small pieces are left in the journal, too.
constexpr std::uint64_t kOverlaysMax = std::uint64_t{64} << 20;

base::Bytes gather(const std::vector<iovec>& parts) {
  base::Bytes all;
  for (const iovec& part : parts) {
    const auto* from = static_cast<const base::Byte*>(part.iov_base);
    all.insert(all.end(), from, from + part.iov_len);
  }
  return all;
}

}  // namespace

JournaledFile::~JournaledFile() {
  // Pending entries are let go of only with a file that is gone, or one that somebody else has changed.
  if (journal_ == nullptr) return;
  give_up();
}

void JournaledFile::give_up() {
  overlay_.clear();
  length_ = below_;
  if (journal_ == nullptr) return;
  count_held();
  if (first_) journal_->end(*std::exchange(first_, std::nullopt));
  end_listing();
  release();
}

void JournaledFile::end_listing() {
  if (listed_) journal_->end(*std::exchange(listed_, std::nullopt));
}

void JournaledFile::count_held() {
  const std::uint64_t now = overlay_.bytes();
  journal_->add_held(static_cast<std::int64_t>(now - held_));
  held_ = now;
}

// Its listing is of no use any more: the entries stay until the disk has been synced, and so the removal, too.
void JournaledFile::unlinked() {
  unlinked_ = true;
  if (journal_ != nullptr) end_listing();
}

void JournaledFile::adopt(const JournalFile& file, const JournalVersion& version, std::uint64_t length, bool durable) {
  file_ = file;
  version_below_ = version_ = version;
  length_ = below_ = committed_end_ = length;
  has_header_ = true;
  unsynced_ = !durable;
}

void JournaledFile::start_new(const JournalFile& file, std::optional<std::uint64_t> listed) {
  file_ = file;
  version_ = {};
  version_below_.reset();
  length_ = below_ = committed_end_ = 0;
  has_header_ = false;
  unsynced_ = true;
  listed_ = listed;
}

void JournaledFile::forget() {
  removed_ = true;  // one that is still open may be written to for long
  if (journal_ == nullptr || (!first_ && !listed_)) return;
  static_cast<void>(journal_->append(JournalKind::kGone, file_, 0, 0, {}));
}

// The first entry for what is pending: says what the file looks like below it.
Status JournaledFile::begin() {
  if (first_) return base::ok();
  COFFER_ASSIGN_OR_RETURN(const std::uint64_t sequence, journal_->append(JournalKind::kBegin, file_, version_.number,
                                                                         committed_end_, version_.writer.view(), true));
  first_ = last_ = sequence;
  began_ = std::chrono::steady_clock::now();
  if (removed_) forget();
  return base::ok();
}

Status JournaledFile::reserve(std::uint64_t end) {
  if (end <= below_ + reserved_) return base::ok();
  const std::uint64_t more = end - below_ - reserved_;
  COFFER_RETURN_IF_ERROR(journal_->reserve(fd_, more));
  reserved_ += more;
  return base::ok();
}

void JournaledFile::release() {
  if (reserved_ != 0) journal_->release(std::exchange(reserved_, 0));
}

Status JournaledFile::log(JournalKind kind, std::uint64_t a, std::uint64_t b, ByteView payload) {
  COFFER_RETURN_IF_ERROR(begin());
  COFFER_ASSIGN_OR_RETURN(last_, journal_->append(kind, file_, a, b, payload));
  return base::ok();
}

// What changes bytes that count does go to the journal: there is one, and something that counts.
bool JournaledFile::is_journaled() const { return journal_ != nullptr && has_header_ && (!unlinked_ || pending()); }

bool JournaledFile::goes_to_journal(std::uint64_t offset, std::size_t size) const {
  if (!is_journaled()) return false;
  return offset < std::max(committed_end_, overlay_.end()) || overlay_.is_cut() || size <= kSmall;
}

Result<std::size_t> JournaledFile::pread(ByteSpan out, std::uint64_t offset) const {
  if (!pending()) return backing_.pread(fd_, out, offset);
  return overlay_.read(backing_, fd_, length_, out, offset);
}

Result<std::uint64_t> JournaledFile::seek_data(std::uint64_t offset) const { return seek(offset, SEEK_DATA); }

Result<std::uint64_t> JournaledFile::seek(std::uint64_t offset, int whence) const {
  if (!pending()) return backing_.seek(fd_, offset, whence);
  if (whence == SEEK_DATA) return overlay_.seek_data(backing_, fd_, offset);
  if (offset >= length_) return Errno(ENXIO);
  COFFER_ASSIGN_OR_RETURN(const std::uint64_t hole, overlay_.seek_hole(backing_, fd_, offset));
  return std::min(hole, length_);
}

Status JournaledFile::write_now(std::vector<iovec> parts, std::uint64_t offset) {
  std::uint64_t end = offset;
  for (const iovec& part : parts) end += part.iov_len;
  unsynced_ = true;
  ++writes_;
  written_ = std::chrono::steady_clock::now();
  Status written = backing_.pwritev(fd_, std::move(parts), offset);
  if (written) {
    length_ = std::max(length_, end);
    below_ = std::max(below_, end);
  } else if (end > length_) {
    static_cast<void>(backing_.truncate(fd_, length_));
  }
  return written;
}

Status JournaledFile::pwritev(std::vector<iovec> parts, std::uint64_t offset) {
  std::size_t size = 0;
  for (const iovec& part : parts) size += part.iov_len;
  if (!goes_to_journal(offset, size)) {
    if (journal_ != nullptr && has_header_ && !unlinked_) {
      // From now on the file is longer than its header says. Replay cuts that off, if it knows.
      COFFER_RETURN_IF_ERROR(begin());
      COFFER_RETURN_IF_ERROR(journal_->flush(*first_));
    }
    return write_now(std::move(parts), offset);
  }
  COFFER_RETURN_IF_ERROR(reserve(offset + size));
  COFFER_RETURN_IF_ERROR(begin());
  // Memory is for small pieces; others the journal keeps.
  if ((size > kSmall || journal_->held() > kOverlaysMax) && parts.size() == 1) {
    const ByteView data(static_cast<const base::Byte*>(parts[0].iov_base), size);
    COFFER_ASSIGN_OR_RETURN(const Journal::Appended there,
                            journal_->append_at(JournalKind::kWrite, file_, offset, 0, data));
    last_ = there.sequence;
    written_ = std::chrono::steady_clock::now();
    overlay_.write(offset, size, there.segment, there.payload_at);
  } else {
    base::Bytes data = gather(parts);
    COFFER_RETURN_IF_ERROR(log(JournalKind::kWrite, offset, 0, data));
    overlay_.write(offset, std::move(data));
  }
  count_held();
  length_ = std::max(length_, offset + size);
  return base::ok();
}

Status JournaledFile::truncate(std::uint64_t size) {
  if (!is_journaled()) {
    unsynced_ = true;
    ++writes_;
    COFFER_RETURN_IF_ERROR(backing_.truncate(fd_, size));
    below_ = size;
  } else {
    COFFER_RETURN_IF_ERROR(log(JournalKind::kTruncate, size, 0, {}));
    if (size < length_) overlay_.cut(size);
    count_held();
  }
  length_ = size;
  return base::ok();
}

Status JournaledFile::punch(std::uint64_t offset, std::uint64_t length) {
  if (!is_journaled()) {
    unsynced_ = true;
    ++writes_;
    return punch_hole(backing_, fd_, offset, length);
  }
  COFFER_RETURN_IF_ERROR(log(JournalKind::kPunch, offset, length, {}));
  overlay_.punch(offset, length);
  count_held();
  return base::ok();
}

Status JournaledFile::commit(const crypto::HeaderBytes& header, ByteView records, const JournalVersion& version,
                             std::uint64_t length) {
  if (!is_journaled()) {
    std::vector<iovec> parts{as_iovec(header)};
    if (!records.empty()) parts.push_back(as_iovec(records));
    COFFER_RETURN_IF_ERROR(write_now(std::move(parts), 0));
    has_header_ = true;
    version_below_ = version;
    end_listing();
  } else {
    COFFER_RETURN_IF_ERROR(log(JournalKind::kCommit, version.number, 0, header));
    overlay_.write(0, base::Bytes(header.begin(), header.end()));
    count_held();
  }
  version_ = version;
  committed_end_ = length;
  return base::ok();
}

bool JournaledFile::is_streaming() const {
  const auto now = std::chrono::steady_clock::now();
  return pending() && now - written_ < kStreaming && (unsynced_ || now - began_ < kApplyAtLatest);
}

bool JournaledFile::crowded() const { return overlay_.bytes() > kOverlayMax; }

Status JournaledFile::apply() {
  if (!pending()) return base::ok();
  if (failed_) return *failed_;
  if (unsynced_) {
    // What the new header counts must not reach the disk after it.
    if (Status synced = backing_.fdatasync(fd_); !synced) {
      failed_ = synced.error();
      return synced;
    }
    unsynced_ = false;
  }
  COFFER_RETURN_IF_ERROR(journal_->flush(last_));
  COFFER_RETURN_IF_ERROR(overlay_.apply(backing_, fd_, length_));
  overlay_.clear();
  count_held();
  below_ = length_;
  version_below_ = version_;
  release();
  // Of use to replay only; nothing is lost if it cannot be written.
  static_cast<void>(journal_->append(JournalKind::kApplied, file_, 0, 0, {}));
  journal_->end(*std::exchange(first_, std::nullopt));
  // Not known to be on the disk before the next sync of it; the journal's entries stay until then.
  return base::ok();
}

}  // namespace coffer::fs
