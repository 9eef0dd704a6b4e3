// The crash journal: changes to ciphertext files that would be lost half done in a crash are written here first.
//
// docs/ARCHITECTURE.md "Crash journal" has the whole picture. Here is the log itself: entries are appended (they
// survive the death of the process), made durable together (flush), and forgotten once what they say has reached the
// vault's disk. JournaledFile says what is in it; replay_journal() reads it after a crash.
//
// Thread-safe; below every file's lock in the lock order, and a leaf.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>

#include "base/mutex.h"
#include "fs/journal_format.h"

namespace coffer::fs {

class Journal {
 public:
  struct Limits {
    std::uint64_t crowded = std::uint64_t{1536} << 20;  // from here on writers wait for what is in it to be applied
    std::uint64_t full = std::uint64_t{2} << 30;        // from here on nothing is taken any more
  };
  // Begins with nothing to be done: what was in the segments in `state` must have been replayed. Errors: those of
  // making and writing the two files.
  static Result<std::unique_ptr<Journal>> open(Backing& backing, FdRef state) { return open(backing, state, Limits()); }
  static Result<std::unique_ptr<Journal>> open(Backing& backing, FdRef state, const Limits& limits);

  // Called, without a lock, when the journal is so full that what it holds should be applied now.
  void on_crowded(std::function<void()> call) EXCLUDES(mutex_);

  struct Appended {
    std::uint64_t sequence = 0;
    // Where the payload lies, for as long as the entry is kept.
    FdRef segment{-1};
    std::uint64_t payload_at = 0;
  };
  // Appends an entry: its sequence number. With `live`, this and all later entries are kept until end() has been called
  // with that number. Errors: ENOSPC (the journal is at its limit, or the disk full); after a failed flush() its errno,
  // for ever: nobody knows what the disk has.
  Result<std::uint64_t> append(JournalKind kind, const JournalFile& file, std::uint64_t a, std::uint64_t b,
                               ByteView payload, bool live = false) EXCLUDES(mutex_);
  Result<Appended> append_at(JournalKind kind, const JournalFile& file, std::uint64_t a, std::uint64_t b,
                             ByteView payload, bool live = false) EXCLUDES(mutex_);
  // What began with this entry is in the vault's files, as far as the kernel is concerned, or of use to nobody.
  void end(std::uint64_t sequence) EXCLUDES(mutex_);
  // All entries up to this one are durable. Callers that come together share one flush.
  Status flush(std::uint64_t sequence) EXCLUDES(mutex_, flush_mutex_);

  Status flush_all() EXCLUDES(mutex_, flush_mutex_);

  // Everything before this number has been ended. Ask, sync the vault's disk, then retire().
  std::uint64_t ended_before() const EXCLUDES(mutex_);
  // Entries before this number are not needed any more: what they say is durable in the vault. A segment that cannot be
  // begun anew keeps them, and is tried again at the next call.
  void retire(std::uint64_t sequence) EXCLUDES(mutex_);
  // The vault's disk has lost something that was written to it, the kernel does not know what, and tells of it only
  // once: nothing is retired any more. The next mount does all of it again.
  void keep_all() EXCLUDES(mutex_);

  // Room on the vault's disk (of the file `fd`) for what the journal holds and no file has yet, so that who writes
  // hears of a full disk and not only the settler. Errors: ENOSPC.
  Status reserve(FdRef fd, std::uint64_t bytes) EXCLUDES(mutex_);
  void release(std::uint64_t bytes) { reserved_ -= bytes; }

  // Waits, some seconds at most, while the journal is crowded. To be called without any lock.
  void wait_for_room() EXCLUDES(mutex_);
  // It is at its limit, or was the last to be told that its disk is full.
  bool is_crowded() const EXCLUDES(mutex_);

  // Content that overlays keep in memory, over all files.
  std::uint64_t held() const { return held_; }
  void add_held(std::int64_t bytes) { held_ += static_cast<std::uint64_t>(bytes); }

 private:
  struct Segment {
    UniqueFd fd;
    std::uint64_t run = 0;
    std::uint64_t end = 0;    // where the next entry goes
    std::uint64_t begun = 0;  // up to here the disk has been set to work
    std::uint64_t size = 0;   // of the file
    std::uint64_t room = 0;   // up to here nothing has to be made ready for flushes
    std::uint64_t last = 0;   // sequence number of the last entry; 0: none but the reset
    bool unflushed = false;
  };
  Journal(Backing& backing, const Limits& limits) : backing_(backing), limits_(limits) {}
  Status reset(Segment& segment) REQUIRES(mutex_);
  void make_room(Segment& segment) REQUIRES(mutex_);
  Status write(Segment& segment, JournalHead head, ByteView payload) REQUIRES(mutex_);
  std::uint64_t bytes_locked() const REQUIRES(mutex_) { return segments_[0].end + segments_[1].end; }
  bool is_crowded_locked() const REQUIRES(mutex_) { return full_ || bytes_locked() >= limits_.crowded; }

  Backing& backing_;
  const Limits limits_;
  std::atomic<std::uint64_t> reserved_{0};
  std::atomic<std::uint64_t> held_{0};
  mutable base::Mutex mutex_;
  base::Mutex flush_mutex_;  // one flush at a time; before mutex_
  base::CondVar room_;
  std::array<Segment, kJournalSegments> segments_ GUARDED_BY(mutex_);
  int current_ GUARDED_BY(mutex_) = 0;
  std::uint64_t next_ GUARDED_BY(mutex_) = 1;     // sequence number
  std::uint64_t durable_ GUARDED_BY(mutex_) = 0;  // all up to this one are
  std::set<std::uint64_t> live_ GUARDED_BY(mutex_);
  std::optional<Errno> broken_ GUARDED_BY(mutex_);
  bool full_ GUARDED_BY(mutex_) = false;  // the disk was, at the last append
  bool keep_ GUARDED_BY(mutex_) = false;
  std::function<void()> crowded_ GUARDED_BY(mutex_);
};

}  // namespace coffer::fs
