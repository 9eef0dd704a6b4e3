#include "fs/replayed_file.h"

#include <fmt/format.h>

#include <algorithm>

namespace coffer::fs {
namespace {

constexpr std::uint64_t kRecordsPerRead = 16;

}  // namespace

std::optional<crypto::FileHeader> ReplayedFile::decode(ByteView bytes) const {
  if (bytes.size() != crypto::kHeaderSize) return std::nullopt;
  const std::span<const base::Byte, crypto::kHeaderSize> header(bytes.data(), crypto::kHeaderSize);
  auto clear = crypto::decode_clear(header);
  if (!clear) return std::nullopt;
  const FileCipher cipher(context_.keys, *clear);
  auto whole = crypto::decode(header, context_.config.vault, cipher.keys);
  if (!whole || whole->clear.file != id_) return std::nullopt;
  return *whole;
}

Result<base::Bytes> ReplayedFile::payload(const JournalEntry& entry) {
  return read_journal_payload(context_.backing, segments_[static_cast<std::size_t>(entry.segment)], entry);
}

Result<std::vector<ReplayedFile::Session>> ReplayedFile::sessions() {
  std::vector<Session> sessions;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const JournalHead& head = entries_[i].head;
    if (head.kind == JournalKind::kBegin) {
      COFFER_ASSIGN_OR_RETURN(const base::Bytes writer, payload(entries_[i]));
      Session session{i, {head.a, {}}, {}};
      if (writer.size() == session.before.writer.bytes.size())
        std::copy(writer.begin(), writer.end(), session.before.writer.bytes.begin());
      sessions.push_back(std::move(session));
    }
    if (head.kind == JournalKind::kCommit && !sessions.empty()) {
      COFFER_ASSIGN_OR_RETURN(const base::Bytes bytes, payload(entries_[i]));
      if (const auto header = decode(bytes)) sessions.back().made.push_back({header->version, header->writer});
    }
  }
  return sessions;
}

bool ReplayedFile::Session::knows(const JournalVersion& version) const {
  return version == before || std::find(made.begin(), made.end(), version) != made.end();
}

// What the header says need not be true of the records: of what was put into the file and not yet flushed, any part may
// be missing. So everything that led to it is done again.
Result<std::optional<std::size_t>> ReplayedFile::start_for(const JournalVersion& version) {
  COFFER_ASSIGN_OR_RETURN(const std::vector<Session> all, sessions());
  auto at = std::find_if(all.begin(), all.end(), [&](const Session& session) { return session.knows(version); });
  if (at == all.end()) return std::optional<std::size_t>{};
  while (at != all.begin() && std::prev(at)->after() == at->before) --at;
  return std::optional(at->first);
}

std::vector<std::size_t> ReplayedFile::commits_from(std::size_t start) const {
  std::vector<std::size_t> commits;
  for (std::size_t i = start; i < entries_.size(); ++i) {
    if (entries_[i].head.kind == JournalKind::kCommit) commits.push_back(i);
  }
  return commits;
}

Status ReplayedFile::add(State& state, const JournalEntry& entry) {
  const JournalHead& head = entry.head;
  switch (head.kind) {
    case JournalKind::kWrite:
      if (head.a > crypto::kMaxPlainSize) return Errno(EIO);
      state.length = std::max(state.length, head.a + head.payload_size);
      state.overlay.write(head.a, head.payload_size, segments_[static_cast<std::size_t>(entry.segment)],
                          entry.payload_offset);
      break;
    case JournalKind::kCommit: {
      COFFER_ASSIGN_OR_RETURN(base::Bytes bytes, payload(entry));
      state.header = decode(bytes);
      state.length = std::max<std::uint64_t>(state.length, bytes.size());
      state.overlay.write(0, std::move(bytes));
      break;
    }
    case JournalKind::kTruncate:
      if (head.a < state.length) state.overlay.cut(head.a);
      state.length = head.a;
      break;
    case JournalKind::kPunch:
      if (head.a > crypto::kMaxPlainSize || head.b > crypto::kMaxPlainSize) return Errno(EIO);
      state.overlay.punch(head.a, head.b);
      break;
    case JournalKind::kReset:
    case JournalKind::kNew:
    case JournalKind::kBegin:
    case JournalKind::kGone:
    case JournalKind::kReplace:
    case JournalKind::kApplied:
      break;
  }
  return base::ok();
}

Result<ReplayedFile::State> ReplayedFile::compose(std::size_t start, std::size_t commit, bool keep_cuts) {
  State state;
  state.length = state.unproven = entries_[start].head.b;
  for (std::size_t i = start; i <= commit; ++i) {
    if (!keep_cuts && entries_[i].head.kind == JournalKind::kBegin) state.overlay.uncut();
    COFFER_RETURN_IF_ERROR(add(state, entries_[i]));
  }
  // What was written behind the end at once, without an entry, is there or is not.
  if (state.header) state.length = std::max(state.length, state.header->clear.cipher_length);
  return state;
}

Result<bool> ReplayedFile::is_whole(const State& state) {
  if (!state.header || state.length != state.header->clear.cipher_length) return false;
  const FileCipher cipher(context_.keys, state.header->clear);
  const crypto::Geometry& geometry = cipher.geometry;
  if (geometry.plain_size(state.length) != state.header->plain_size) return false;
  const std::uint64_t count = geometry.chunk_count(state.header->plain_size);
  crypto::Sums sums;
  base::Bytes buffer;
  base::Bytes plain;
  for (std::uint64_t first = 0; first < count;) {
    auto data = state.overlay.seek_data(context_.backing, fd_, geometry.record_begin({first}).value);
    if (!data && data.error() == Errno(ENXIO)) break;
    if (data) first = std::max(first, geometry.chunk_of_cipher({*data}).value);
    if (first >= count) break;
    const std::uint64_t end = std::min(count, first + kRecordsPerRead);
    const std::uint64_t begin = geometry.record_begin({first}).value;
    buffer.resize(static_cast<std::size_t>(std::min(state.length, geometry.record_begin({end}).value) - begin));
    COFFER_ASSIGN_OR_RETURN(const std::size_t got,
                            state.overlay.read(context_.backing, fd_, state.length, buffer, begin));
    if (got != buffer.size()) return false;
    for (; first < end; ++first) {
      const std::size_t at = static_cast<std::size_t>(geometry.record_begin({first}).value - begin);
      const std::size_t size = geometry.chunk_length({first}, state.header->plain_size) + geometry.overhead();
      const ByteView record = ByteView(buffer).subspan(at, size);
      const ByteView trailer = record.last(crypto::kTrailerSize);
      if (base::all_zero(trailer)) {
        if (!base::all_zero(record)) return false;  // a hole in name only: what was cut there is still there
        continue;
      }
      sums.add(cipher.chunks.terms({first}, trailer));
      plain.resize(size - geometry.overhead());
      if (begin + at + size > state.unproven && !cipher.chunks.open({first}, record, plain)) return false;
    }
  }
  return sums.content == state.header->content_sum && sums.keyless == state.header->clear.keyless_sum;
}

// What people see as its time of modification, and all of it durable.
Status ReplayedFile::finish(const crypto::FileHeader& header) {
  const timespec times[2] = {{0, UTIME_OMIT}, {header.mtime.seconds, static_cast<long>(header.mtime.nanoseconds)}};
  COFFER_RETURN_IF_ERROR(context_.backing.utimens(fd_, times));
  return context_.backing.fsync(fd_);
}

Result<ReplayedFile::Outcome> ReplayedFile::empty_new_file() {
  const auto header = decode(empty_);
  if (!header || header->clear.cipher_length != crypto::kHeaderSize)
    return Outcome{What::kSetAside, "its list entry does not authenticate"};
  COFFER_RETURN_IF_ERROR(context_.backing.truncate(fd_, 0));
  COFFER_RETURN_IF_ERROR(context_.backing.pwritev(fd_, {as_iovec(empty_)}, 0));
  COFFER_RETURN_IF_ERROR(finish(*header));
  return Outcome{What::kEmptied, {}};
}

// Nothing came of it yet but zeros, or a part of its own header.
bool ReplayedFile::is_blank(ByteView begin) const {
  constexpr std::size_t kIdAt = 32;  // FORMAT.md 4.1
  if (base::all_zero(begin)) return true;
  return begin.size() >= kIdAt + id_.bytes.size() &&
         std::equal(id_.bytes.begin(), id_.bytes.end(), begin.begin() + kIdAt);
}

// No commit is whole: the state that its header names, without what was being appended.
Result<ReplayedFile::Outcome> ReplayedFile::cut_back(const crypto::FileHeader& header) {
  const std::uint64_t length = header.clear.cipher_length;
  State state;
  state.length = std::min(length, stat_.size);
  state.header = header;
  COFFER_ASSIGN_OR_RETURN(const bool whole, is_whole(state));
  if (!whole && !empty_.empty()) return empty_new_file();  // its content did not come, or not all
  if (entries_.empty()) return Outcome{};
  if (!whole && entries_.back().head.kind != JournalKind::kApplied)
    return Outcome{What::kSetAside, "neither what it was nor what it was to become is there whole"};
  if (stat_.size <= length) return Outcome{};
  COFFER_RETURN_IF_ERROR(context_.backing.truncate(fd_, length));
  COFFER_RETURN_IF_ERROR(finish(header));
  return Outcome{What::kCut, {}};
}

// The newest commit that is whole. Cuts of earlier sessions: what was written behind them at once, without an entry,
// lies where they cut, so mostly they are not to be done again; where they never reached the disk, they are.
Result<ReplayedFile::Outcome> ReplayedFile::complete(std::size_t start, const crypto::FileHeader& header) {
  const std::vector<std::size_t> commits = commits_from(start);
  const auto cut = std::find_if(entries_.begin() + static_cast<std::ptrdiff_t>(start), entries_.end(),
                                [](const JournalEntry& entry) { return entry.head.kind == JournalKind::kTruncate; });
  const std::size_t first_cut = static_cast<std::size_t>(cut - entries_.begin());
  for (auto commit = commits.rbegin(); commit != commits.rend(); ++commit) {
    for (const bool keep_cuts : {false, true}) {
      if (keep_cuts && first_cut > *commit) continue;  // nothing else than before
      COFFER_ASSIGN_OR_RETURN(const State state, compose(start, *commit, keep_cuts));
      COFFER_ASSIGN_OR_RETURN(const bool whole, is_whole(state));
      if (!whole) continue;
      COFFER_RETURN_IF_ERROR(state.overlay.apply(context_.backing, fd_, state.length));
      COFFER_RETURN_IF_ERROR(finish(*state.header));
      return Outcome{What::kCompleted, {}};
    }
  }
  return cut_back(header);
}

Result<ReplayedFile::Outcome> ReplayedFile::run() {
  crypto::HeaderBytes bytes;
  COFFER_ASSIGN_OR_RETURN(const std::size_t got, context_.backing.pread(fd_, bytes, 0));
  const ByteView begin = ByteView(bytes).first(got);
  const std::optional<crypto::FileHeader> header = decode(begin);
  if (!header) {
    if (!empty_.empty() && is_blank(begin)) return empty_new_file();
    if (entries_.empty()) return Outcome{};  // another file than the one that was to be made
    return Outcome{What::kSetAside, "its header does not authenticate"};
  }
  if (entries_.empty()) return cut_back(*header);
  COFFER_ASSIGN_OR_RETURN(const auto start, start_for({header->version, header->writer}));
  if (!start && entries_.back().head.kind == JournalKind::kApplied) return Outcome{};  // all was in the file once
  if (!start)
    return Outcome{What::kSetAside, fmt::format("another version came meanwhile (number {}; ours began with {})",
                                                header->version, entries_.front().head.a)};
  return complete(*start, *header);
}

}  // namespace coffer::fs
