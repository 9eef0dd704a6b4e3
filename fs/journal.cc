#include "fs/journal.h"

#include <algorithm>

#include "base/log.h"
#include "crypto/random.h"

namespace coffer::fs {
namespace {

// A segment grows by so much at a time, and keeps its length when it is reset: a flush that changes no metadata costs
// ext4 and xfs half of one that does.
constexpr std::uint64_t kGrowBy = std::uint64_t{1} << 20;
constexpr std::uint64_t kKeptMax = std::uint64_t{4} << 20;
// The disk is set to work on so much at a time, while more is being encrypted.
constexpr std::uint64_t kWriteAhead = std::uint64_t{2} << 20;
constexpr auto kPatience = std::chrono::seconds(10);

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(Backing& backing, FdRef state, const Limits& limits) {
  std::unique_ptr<Journal> journal(new Journal(backing, limits));
  base::MutexLock lock(journal->mutex_);
  journal->next_ = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
  for (int number = 0; number < kJournalSegments; ++number) {
    Segment& segment = journal->segments_[static_cast<std::size_t>(number)];
    COFFER_ASSIGN_OR_RETURN(segment.fd, backing.open(state, journal_segment_name(number), O_RDWR | O_CREAT, 0600));
    COFFER_ASSIGN_OR_RETURN(sys::Stat stat, backing.stat(segment.fd));
    segment.size = stat.size;
    // Higher than any before, so that leftovers are older: also where the clock went back.
    COFFER_ASSIGN_OR_RETURN(const auto left, read_journal_segment(backing, segment.fd, number));
    segment.unflushed = left.size() > 1;
    if (!left.empty()) journal->next_ = std::max(journal->next_, left.back().head.sequence + 1);
  }
  for (Segment& segment : journal->segments_) {
    COFFER_RETURN_IF_ERROR(journal->reset(segment));
    // What has been replayed is not to come back.
    if (std::exchange(segment.unflushed, false)) COFFER_RETURN_IF_ERROR(backing.fdatasync(segment.fd));
  }
  COFFER_RETURN_IF_ERROR(backing.fsync(state));  // their names
  return journal;
}

void Journal::on_crowded(std::function<void()> call) {
  base::MutexLock lock(mutex_);
  crowded_ = std::move(call);
}

Status Journal::write(Segment& segment, JournalHead head, ByteView payload) {
  head.run = segment.run;
  head.sequence = next_;
  const JournalHeadBytes bytes = encode_journal_head(head, payload);
  std::vector<iovec> parts{as_iovec(bytes)};
  if (!payload.empty()) parts.push_back(as_iovec(payload));
  COFFER_RETURN_IF_ERROR(backing_.pwritev(segment.fd, std::move(parts), segment.end));
  ++next_;
  segment.end += bytes.size() + payload.size();
  segment.size = std::max(segment.size, segment.end);
  return base::ok();
}

// An empty run. It need not be flushed: what was in the segment before can be done twice. The sum covers the random run
// number, so no leftover of another run fits behind it.
Status Journal::reset(Segment& segment) {
  const std::uint64_t run = segment.run;
  const std::uint64_t end = std::exchange(segment.end, 0);
  base::ByteArray<8> random;
  crypto::random_bytes(random);
  segment.run = base::load_le<std::uint64_t>(random.data());
  JournalHead head;
  head.kind = JournalKind::kReset;
  if (Status begun = write(segment, head, {}); !begun) {
    // Goes on where it was: entries without a head of their own run would never be read.
    segment.run = run;
    segment.end = end;
    return begun;
  }
  segment.begun = 0;
  segment.last = 0;
  if (segment.size <= kKeptMax) return base::ok();
  segment.size = segment.room = kKeptMax;
  return backing_.truncate(segment.fd, kKeptMax);
}

Result<std::uint64_t> Journal::append(JournalKind kind, const JournalFile& file, std::uint64_t a, std::uint64_t b,
                                      ByteView payload, bool live) {
  COFFER_ASSIGN_OR_RETURN(const Appended appended, append_at(kind, file, a, b, payload, live));
  return appended.sequence;
}

Result<Journal::Appended> Journal::append_at(JournalKind kind, const JournalFile& file, std::uint64_t a,
                                             std::uint64_t b, ByteView payload, bool live) {
  JournalHead head;
  head.kind = kind;
  head.file = file;
  head.a = a;
  head.b = b;
  base::MutexLock lock(mutex_);
  if (broken_) return *broken_;
  if (payload.size() > kJournalPayloadMax) return Errno(EFBIG);
  if (bytes_locked() + kJournalHeadSize + payload.size() > limits_.full) return Errno(ENOSPC);
  Segment& segment = segments_[static_cast<std::size_t>(current_)];
  if (Status written = write(segment, head, payload); !written) {
    // The disk is full: what is in here can be applied, and then makes room.
    if (written.error() == Errno(ENOSPC) || written.error() == Errno(EDQUOT)) full_ = segment.last != 0;
    return written.error();
  }
  segment.last = next_ - 1;
  segment.unflushed = true;
  if (segment.end - segment.begun >= kWriteAhead) {
    backing_.start_writing(segment.fd, segment.begun, segment.end - segment.begun);
    segment.begun = segment.end;
  }
  if (live) live_.insert(segment.last);
  return Appended{segment.last, FdRef(segment.fd), segment.end - payload.size()};
}

void Journal::end(std::uint64_t sequence) {
  base::MutexLock lock(mutex_);
  live_.erase(sequence);
}

Status Journal::flush(std::uint64_t sequence) {
  {
    base::MutexLock lock(mutex_);
    if (durable_ >= sequence) return base::ok();
  }
  base::MutexLock one_at_a_time(flush_mutex_);
  std::uint64_t through = 0;
  std::vector<FdRef> segments;
  {
    base::MutexLock lock(mutex_);
    if (durable_ >= sequence) return base::ok();  // somebody else's flush took it along
    if (broken_) return *broken_;
    through = next_ - 1;
    for (Segment& segment : segments_) {
      if (!std::exchange(segment.unflushed, false)) continue;
      segments.emplace_back(segment.fd);
      if (segment.room < segment.end) make_room(segment);
    }
  }
  for (FdRef segment : segments) {
    Status flushed = backing_.fdatasync(segment);
    if (flushed) continue;
    base::MutexLock lock(mutex_);
    base::log(base::LogLevel::kError,
              "the crash journal cannot be flushed (error {}); changes in place fail until the "
              "next mount",
              flushed.error().code());
    broken_ = flushed.error();
    return flushed;
  }
  base::MutexLock lock(mutex_);
  durable_ = std::max(durable_, through);
  return base::ok();
}

// More than is needed now, so that the next flushes find it there.
void Journal::make_room(Segment& segment) {
  const std::uint64_t room = (segment.end / kGrowBy + 1) * kGrowBy;
  // Without it, a flush is slower: no more.
  if (room <= kKeptMax && write_zeros(backing_, segment.fd, segment.size, room))
    segment.size = std::max(segment.size, room);
  segment.room = std::max(segment.size, room);
}

Status Journal::flush_all() {
  std::uint64_t newest;
  {
    base::MutexLock lock(mutex_);
    newest = next_ - 1;
  }
  return flush(newest);
}

std::uint64_t Journal::ended_before() const {
  base::MutexLock lock(mutex_);
  return live_.empty() ? next_ : *live_.begin();
}

void Journal::keep_all() {
  base::MutexLock lock(mutex_);
  keep_ = true;
}

void Journal::retire(std::uint64_t sequence) {
  base::MutexLock lock(mutex_);
  if (keep_) return;
  for (Segment& segment : segments_) {
    if (segment.last == 0 || segment.last >= sequence) continue;
    Status done = reset(segment);
    if (!done) base::log(base::LogLevel::kWarning, "the crash journal: reset failed, error {}", done.error().code());
  }
  const int other = 1 - current_;
  if (segments_[static_cast<std::size_t>(other)].last == 0) current_ = other;
  full_ = false;
  if (!is_crowded_locked()) room_.notify_all();
}

Status Journal::reserve(FdRef fd, std::uint64_t bytes) {
  const std::uint64_t wanted = reserved_ += bytes;
  auto below = sys::fstatvfs(fd);
  if (!below || wanted <= std::uint64_t{below->f_bavail} * below->f_frsize) return base::ok();
  reserved_ -= bytes;
  return Errno(ENOSPC);
}

void Journal::wait_for_room() {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (is_crowded() && std::chrono::steady_clock::now() < until) {
    std::function<void()> call;
    {
      base::MutexLock lock(mutex_);
      if (broken_ || keep_) return;
      call = crowded_;
    }
    if (call) call();
    base::MutexLock lock(mutex_);
    if (is_crowded_locked()) room_.wait_for(mutex_, std::chrono::milliseconds(100));
  }
}

bool Journal::is_crowded() const {
  base::MutexLock lock(mutex_);
  return is_crowded_locked();
}

}  // namespace coffer::fs
