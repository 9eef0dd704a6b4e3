#include "fs/file_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "base/log.h"
#include "crypto/random.h"

namespace coffer::fs {
namespace {

crypto::Timestamp to_timestamp(const timespec& t) { return {t.tv_sec, static_cast<std::uint32_t>(t.tv_nsec)}; }

void set_facts(const HeaderFacts& facts, crypto::FileHeader& header) {
  header.mode = facts.mode;
  header.uid = facts.uid;
  header.gid = facts.gid;
  header.rdev = facts.rdev;
  header.kind = facts.kind;
  header.parent = facts.parent;
  header.name = facts.name;
}

// Of an empty file that nobody has written to.
crypto::FileHeader new_header(const FileContext& context, const crypto::FileId& id, const HeaderFacts& facts) {
  crypto::FileHeader header;
  header.clear.suite = context.config.suite;
  header.clear.chunk_size = context.config.chunk_size;
  header.clear.name_max = context.config.name_max;
  header.clear.vault = context.config.vault;
  header.clear.key_epoch = context.config.key_epoch;
  header.clear.file = id;
  set_facts(facts, header);
  return header;
}

const char* explain(crypto::HeaderError error) {
  switch (error) {
    case crypto::HeaderError::kNotOurs:
      return "has no Coffer header (incomplete, or not ours)";
    case crypto::HeaderError::kNewer:
      return "was written by a newer version of Coffer";
    case crypto::HeaderError::kDamaged:
      return "has a damaged header";
    case crypto::HeaderError::kForged:
      return "has a header that does not authenticate";
    case crypto::HeaderError::kOtherVault:
      return "belongs to another vault";
  }
  return "has a damaged header";
}

}  // namespace

FileState::FileState(FileContext& context, UniqueFd fd, std::string label, bool writable)
    : context_(context),
      fd_(std::move(fd)),
      label_(std::move(label)),
      writable_(writable),
      below_(context.backing, writable ? context.journal : nullptr, fd_),
      size_(0) {}

FileState::~FileState() {
  base::WriterLock lock(mutex_);
  context_.dirty_bytes -= held_bytes_;
  if (dirty_since_ && writable_ && !discarded_ && !lost_) {
    base::log(base::LogLevel::kError, "{}: closed with unwritten changes", label_);
  }
}

FileState::Listing FileState::list(FileContext& context, std::uint64_t directory, std::string_view entry,
                                   const HeaderFacts& facts) {
  return list(context, JournalFile(), directory, entry, facts);
}

FileState::Listing FileState::list(FileContext& context, const sys::Stat& stat, const HeaderFacts& facts) {
  return list(context, {{}, stat.ino, sys::nanoseconds(stat.btime)}, 0, {}, facts);
}

FileState::Listing FileState::list(FileContext& context, JournalFile file, std::uint64_t directory,
                                   std::string_view entry, const HeaderFacts& facts) {
  Listing listing{crypto::random_id<crypto::FileId>(), std::nullopt};
  file.id = listing.id;
  if (context.journal == nullptr) return listing;
  const timespec now = sys::file_clock();
  crypto::FileHeader empty = new_header(context, listing.id, facts);
  empty.birth = empty.mtime = to_timestamp(now);
  empty.version = 1;
  const FileCipher cipher(context.keys, empty.clear);
  const crypto::HeaderBytes header = crypto::encode(empty, cipher.keys);
  base::Bytes payload(header.begin(), header.end());
  payload.insert(payload.end(), entry.begin(), entry.end());
  auto listed = context.journal->append(JournalKind::kNew, file, directory,
                                        static_cast<std::uint64_t>(sys::nanoseconds(now)), payload, true);
  if (listed) {
    listing.sequence = *listed;
  } else {
    base::log(base::LogLevel::kWarning, "crash journal: a new file is not listed, error {}", listed.error().code());
  }
  return listing;
}

void FileState::unlist(FileContext& context, const Listing& listing) {
  if (!listing.sequence) return;
  static_cast<void>(context.journal->append(JournalKind::kGone, {listing.id, 0, 0}, 0, 0, {}));
  context.journal->end(*listing.sequence);
}

std::shared_ptr<FileState> FileState::create(FileContext& context, UniqueFd fd, const sys::Stat& stat,
                                             std::string label, const HeaderFacts& facts, const Listing& listing) {
  std::shared_ptr<FileState> file(new FileState(context, std::move(fd), std::move(label), true));
  base::WriterLock lock(file->mutex_);
  file->start_anew(facts, stat, listing);
  return file;
}

Result<std::shared_ptr<FileState>> FileState::open(FileContext& context, UniqueFd fd, const sys::Stat& stat,
                                                   crypto::Kind kind, std::string label, bool writable,
                                                   const HeaderFacts* replace) {
  auto read = read_header(context, fd, stat, kind, label);
  if (!read && !(replace != nullptr && writable && read.error() == Errno(EIO))) return read.error();
  std::shared_ptr<FileState> file(new FileState(context, std::move(fd), std::move(label), writable));
  base::WriterLock lock(file->mutex_);
  if (read) {
    file->adopt(*std::move(read), stat);
  } else {
    // Unreadable, and about to be emptied: what lies there is cut off together with the old id.
    const Listing listing = list(context, stat, *replace);
    if (Status emptied = context.backing.truncate(file->fd_, 0); !emptied) {
      unlist(context, listing);
      return emptied.error();
    }
    file->start_anew(*replace, stat, listing);
  }
  return file;
}

void FileState::start_anew(const HeaderFacts& facts, const sys::Stat& stat, const Listing& listing) {
  header_ = new_header(context_, listing.id, facts);
  header_.birth = to_timestamp(stat.btime);
  header_.mtime = to_timestamp(stat.mtime);
  cipher_ = std::make_shared<FileCipher>(context_.keys, header_.clear);
  below_.start_new({listing.id, stat.ino, sys::nanoseconds(stat.btime)}, listing.sequence);
  trust_ = Trust::kConfirmed;
  header_stored_ = false;
  mtime_ = stat.mtime;  // of its creation, which is the one that the kernel has been told
  header_dirty_ = true;
  dirty_since_ = Clock::now();
}

void FileState::adopt(HeaderRead read, const sys::Stat& stat) {
  header_ = std::move(read.header);
  cipher_ = std::move(read.cipher);
  prefetched_ = std::move(read.prefetched);
  sums_ = {header_.content_sum, header_.clear.keyless_sum};
  size_ = stored_size_ = header_.plain_size;
  header_stored_ = true;
  header_dirty_ = false;
  mtime_ = stat.mtime;
  own_stat_ = stat;
  tail_.reset();
  trust_ = context_.known_good.contains(stat) ? Trust::kConfirmed : Trust::kUnconfirmed;
  below_.adopt({header_.clear.file, stat.ino, sys::nanoseconds(stat.btime)}, {header_.version, header_.writer},
               stat.size, sys::nanoseconds(stat.ctime) < context_.synced_before_ns);
}

Result<FileState::HeaderRead> FileState::read_header(FileContext& context, FdRef fd, const sys::Stat& stat,
                                                     crypto::Kind kind, const std::string& label) {
  // Header and first record in one read: for most files that is all there is.
  crypto::Geometry usual(context.config.suite, context.config.chunk_size);
  std::size_t want =
      static_cast<std::size_t>(std::min<std::uint64_t>(stat.size, crypto::kHeaderSize + usual.record_size()));
  HeaderRead result;
  result.prefetched.resize(want);
  COFFER_ASSIGN_OR_RETURN(std::size_t got, context.backing.pread(fd, result.prefetched, 0));
  result.prefetched.resize(got);
  auto fail = [&](const std::string& what) {
    context.events.report(EventKind::kIntegrity, fmt::format("{}: {}", label, what));
    return Errno(EIO);
  };
  if (got < crypto::kHeaderSize) return fail(fmt::format("incomplete: {} bytes, less than a header", stat.size));
  std::span<const base::Byte, crypto::kHeaderSize> bytes(result.prefetched.data(), crypto::kHeaderSize);
  auto clear = crypto::decode_clear(bytes);
  if (!clear) return fail(explain(clear.error()));
  result.cipher = std::make_shared<FileCipher>(context.keys, *clear);
  auto header = crypto::decode(bytes, context.config.vault, result.cipher->keys);
  if (!header) return fail(explain(header.error()));
  // No operation makes this: somebody put a link where a file was, or the reverse.
  if (header->kind != kind) return fail("its header says another kind of file than its name");
  result.header = *header;
  if (header->clear.cipher_length != stat.size || result.cipher->geometry.plain_size(stat.size) != header->plain_size) {
    return fail(fmt::format("incomplete: {} bytes, its header says {}", stat.size, header->clear.cipher_length));
  }
  return result;
}

crypto::FileId FileState::file_id() const {
  base::ReaderLock lock(mutex_);
  return header_.clear.file;
}

crypto::FileHeader FileState::header() const {
  base::ReaderLock lock(mutex_);
  return header_;
}

Errno FileState::damaged_chunk(std::uint64_t index) {
  {
    base::MutexLock lock(reported_mutex_);
    if (!reported_chunks_.insert(index).second) return Errno(EIO);  // the kernel asks again and again
  }
  return damaged(fmt::format("chunk {} does not authenticate", index));
}

Errno FileState::damaged(const std::string& what) const {
  context_.events.report(EventKind::kIntegrity, fmt::format("{}: {}", label_, what));
  return Errno(EIO);
}

bool FileState::has_header() const {
  base::ReaderLock lock(mutex_);
  return header_stored_;
}

bool FileState::dirty() const {
  base::ReaderLock lock(mutex_);
  return dirty_since_.has_value() && (!discarded_ || below_.pending());
}

bool FileState::is_unwritten() const {
  base::ReaderLock lock(mutex_);
  return header_dirty_ && !discarded_;
}

bool FileState::is_streaming() const {
  base::ReaderLock lock(mutex_);
  return writers > 0 && below_.is_streaming();
}

bool FileState::pending() const {
  base::ReaderLock lock(mutex_);
  return below_.pending();
}

std::uint64_t FileState::dirty_bytes() const {
  base::ReaderLock lock(mutex_);
  return held_bytes_;
}

std::optional<FileState::Clock::time_point> FileState::dirty_since() const {
  base::ReaderLock lock(mutex_);
  return discarded_ && !below_.pending() ? std::nullopt : dirty_since_;
}

void FileState::expect_removal() {
  base::WriterLock lock(mutex_);
  below_.forget();
}

void FileState::discard() {
  base::WriterLock lock(mutex_);
  discarded_ = true;
  ++attribute_changes_;
  below_.unlinked();
}

void FileState::touch() {
  if (!dirty_since_) dirty_since_ = Clock::now();
  header_dirty_ = true;
  prefetched_.clear();
  if (!context_.kernel_keeps_times) mtime_ = sys::file_clock();  // so that ours sort among the kernel's
}

Status FileState::set_times(const timespec (&times)[2]) {
  base::WriterLock lock(mutex_);
  if (times[1].tv_nsec != UTIME_OMIT) mtime_ = times[1];
  return context_.backing.utimens(fd_, times);
}

std::optional<timespec> FileState::unstored_mtime() const {
  base::ReaderLock lock(mutex_);
  if (!dirty_since_ || discarded_) return std::nullopt;
  return mtime_;
}

void FileState::update_facts(const HeaderFacts& facts) {
  base::WriterLock lock(mutex_);
  crypto::FileHeader updated = header_;
  set_facts(facts, updated);
  updated.mtime = to_timestamp(mtime_);
  if (updated == header_) return;
  header_ = std::move(updated);
  header_dirty_ = true;
  if (!dirty_since_) dirty_since_ = Clock::now();
}

void FileState::anticipate_facts(mode_t mode, uid_t uid, gid_t gid) {
  base::WriterLock lock(mutex_);
  if (!dirty_since_) return;  // the header in memory is the one on disk, and that one is not changed for this
  header_.mode = mode;
  header_.uid = uid;
  header_.gid = gid;
}

bool FileState::is_settled_at(const crypto::DirId& parent, std::string_view name) const {
  base::ReaderLock lock(mutex_);
  return !dirty_since_ && header_.parent == parent && header_.name == name && header_.mode == own_stat_.mode &&
         header_.uid == own_stat_.uid && header_.gid == own_stat_.gid && header_.mtime == to_timestamp(own_stat_.mtime);
}

sys::Stat FileState::disk_stat() const {
  base::ReaderLock lock(mutex_);
  return own_stat_;
}

bool FileState::is_own_state(const sys::Stat& stat) const {
  return sys::nanoseconds(own_stat_.ctime) == sys::nanoseconds(stat.ctime) && own_stat_.size == stat.size;
}

bool FileState::hold_mtime(const timespec& mtime) {
  base::WriterLock lock(mutex_);
  if (!dirty_since_ || discarded_ || lost_ || !writable_) return false;
  mtime_ = mtime;
  return true;
}

void FileState::note_own_change(const sys::Stat& stat, bool times_only) {
  base::WriterLock lock(mutex_);
  own_stat_ = stat;
  if (!times_only) ++attribute_changes_;
}

bool FileState::knows(const sys::Stat& stat) const {
  base::ReaderLock lock(mutex_);
  return is_own_state(stat);
}

bool FileState::has_our_header() const {
  base::ReaderLock lock(mutex_);
  auto stat = context_.backing.stat(fd_);
  if (!stat || (stat->nlink == 0 && !discarded_)) return false;
  crypto::HeaderBytes bytes{};
  auto got = context_.backing.pread(fd_, bytes, 0);
  if (!got) return false;
  if (!below_.version_below()) return *got < bytes.size() || base::all_zero(bytes);
  auto header = crypto::decode(bytes, context_.config.vault, cipher_->keys);
  return header && JournalVersion{header->version, header->writer} == *below_.version_below();
}

Status FileState::check_not_lost() const {
  if (lost_) return Errno(EIO);
  return base::ok();
}

Status FileState::refresh(const sys::Stat& seen) {
  {
    base::ReaderLock lock(mutex_);
    if (dirty_since_ || is_own_state(seen)) return base::ok();
  }
  base::WriterLock lock(mutex_);
  if (dirty_since_) return base::ok();
  // Looked at again under the lock: what was seen from outside may be from before, or amid, a write_out() of ours.
  COFFER_ASSIGN_OR_RETURN(const sys::Stat stat, context_.backing.stat(fd_));
  if (is_own_state(stat)) return base::ok();
  COFFER_ASSIGN_OR_RETURN(HeaderRead read, read_header(context_, fd_, stat, header_.kind, label_));
  adopt(std::move(read), stat);
  return base::ok();
}

}  // namespace coffer::fs
