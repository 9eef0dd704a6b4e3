// One open ciphertext file: its header, its sums, and the chunks that are newer than the disk.
//
// Shared by all handles of an inode. What is written leaves memory in three places only, all in file_store.cc: whole
// chunks of large writes at once, everything else when write_out() is called (close, fsync, a few seconds, memory). It
// goes through a JournaledFile, which decides what of it may go into the ciphertext file at once and what must wait for
// apply(). "Stored" below means either; reading sees no difference.
// Rules it keeps (FORMAT.md 4, design notes in docs/ARCHITECTURE.md):
//  - the sums in memory are those of the records on disk, so the header can be written at any time after the records;
//  - a chunk whose write failed stays here with its plaintext, is read from here, and is tried again at each
//  write_out();
//  - nothing is written to a file whose content sum has not been confirmed, unless it is rewritten from empty.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/scratch.h"
#include "crypto/chunk_cipher.h"
#include "crypto/file_header.h"
#include "crypto/geometry.h"
#include "crypto/keys.h"
#include "crypto/vault_config.h"
#include "fs/backing.h"
#include "fs/events.h"
#include "fs/journaled_file.h"
#include "fs/known_good.h"
#include "fs/types.h"

namespace coffer::fs {

// What all files of a mount share. Outlives them.
struct FileContext {
  Backing& backing;
  const crypto::KeyRing& keys;
  const crypto::VaultConfig& config;
  Events& events;
  KnownGood& known_good;
  crypto::WriterId writer;
  std::uint64_t dirty_bytes_max = 0;
  std::atomic<std::uint64_t> dirty_bytes{0};  // plaintext held by all files
  std::atomic<bool> stopping{false};          // long checks end early
  // Modification times of files are set_times()'s to tell; nothing here guesses them (Filesystem::kernel_keeps_times).
  std::atomic<bool> kernel_keeps_times{false};
  Journal* journal = nullptr;  // none: changes in place can be torn by a crash
  // Files whose ctime is before this (nanoseconds) are on the disk.
  std::atomic<std::int64_t> synced_before_ns{0};
};

// The part of the header that says whose and where the file is.
struct HeaderFacts {
  mode_t mode = 0;  // with type bits
  uid_t uid = 0;
  gid_t gid = 0;
  std::uint64_t rdev = 0;
  crypto::Kind kind = crypto::Kind::kFileOrDirectory;
  crypto::DirId parent;
  std::string name;
};

// What a file's id, suite and chunk size determine. Constant; safe for concurrent use.
struct FileCipher {
  FileCipher(const crypto::KeyRing& ring, const crypto::ClearHeader& clear)
      : keys(ring, clear.suite, clear.file), chunks(clear.suite, keys), geometry(clear.suite, clear.chunk_size) {}
  crypto::FileKeys keys;
  crypto::ChunkCipher chunks;
  crypto::Geometry geometry;
};

class FileState {
 public:
  using Clock = std::chrono::steady_clock;

  // A regular file that is about to be made: in the journal, so that after a crash before its first write_out() it is
  // an empty file and not an unreadable one. `directory`: where, by inode number; `entry`: its name there. To be given
  // to create(), or to unlist() if the file could not be made.
  struct Listing {
    crypto::FileId id;
    std::optional<std::uint64_t> sequence;  // none: no journal, or it took no entry
  };
  static Listing list(FileContext& context, std::uint64_t directory, std::string_view entry, const HeaderFacts& facts);
  // The same for a file that is there and starts anew.
  static Listing list(FileContext& context, const sys::Stat& stat, const HeaderFacts& facts);
  static void unlist(FileContext& context, const Listing& listing);
  // A file just created, empty below: gets a new id; its header is written at the first write_out().
  static std::shared_ptr<FileState> create(FileContext& context, UniqueFd fd, const sys::Stat& stat, std::string label,
                                           const HeaderFacts& facts, const Listing& listing);
  // `kind` is what the entry's name says; a header that says another is EIO. `label` names the ciphertext file in the
  // log. With `replace`, a file that cannot be read (incomplete, damaged
  // header) starts anew instead of failing: the caller is about to truncate it to nothing. Errors: EIO, and those of
  // reading.
  static Result<std::shared_ptr<FileState>> open(FileContext& context, UniqueFd fd, const sys::Stat& stat,
                                                 crypto::Kind kind, std::string label, bool writable,
                                                 const HeaderFacts* replace);
  ~FileState();
  FileState(const FileState&) = delete;
  FileState& operator=(const FileState&) = delete;

  FdRef fd() const { return fd_; }
  // The same for callers that outlive their hold on the file.
  static std::shared_ptr<const UniqueFd> shared_fd(const std::shared_ptr<FileState>& file) {
    return {file, &file->fd_};
  }
  bool writable() const { return writable_; }
  const std::string& label() const { return label_; }
  crypto::FileId file_id() const EXCLUDES(mutex_);
  crypto::FileHeader header() const EXCLUDES(mutex_);
  std::uint64_t size() const { return size_.load(std::memory_order_acquire); }

  // --- content; offsets and lengths in plaintext bytes ---------------------------------------------------------------
  Result<std::size_t> read(std::uint64_t offset, ByteSpan out) EXCLUDES(mutex_);
  // `patient`: the kernel has nobody to tell of a failure, so what cannot be stored is kept and told at write_out().
  Status write(std::uint64_t offset, ByteView data, bool patient) EXCLUDES(mutex_);
  Status truncate(std::uint64_t size) EXCLUDES(mutex_);
  Status punch(std::uint64_t offset, std::uint64_t length) EXCLUDES(mutex_);
  // Room below for this range; the size grows to its end unless keep_size.
  Status allocate(std::uint64_t offset, std::uint64_t length, bool keep_size) EXCLUDES(mutex_);
  // Only meaningful while nobody may write. Errors: ENXIO.
  Result<std::uint64_t> seek(std::uint64_t offset, int whence) EXCLUDES(mutex_);

  // --- reaching the disk ---------------------------------------------------------------------------------------------
  // All chunks, then length, header and mtime: from then on it survives the death of this process. Tries everything;
  // the first error. Cheap if there is nothing to do.
  Status write_out() EXCLUDES(mutex_);
  // write_out(), and from the journal into the ciphertext file. Journal::flush() before it serves many files at once.
  Status apply() EXCLUDES(mutex_);
  // write_out(), and all of it durable. `data_only` as for fdatasync(2).
  Status sync(bool data_only) EXCLUDES(mutex_);
  bool has_header() const EXCLUDES(mutex_);  // on disk
  // Something is not in the ciphertext file yet, and should be: not of one that was removed, unless its content is in
  // the journal, which cannot forget it before.
  bool dirty() const EXCLUDES(mutex_);
  // Something would be lost with this process: write_out() has work to do.
  bool is_unwritten() const EXCLUDES(mutex_);
  // Something is in the journal and not in the ciphertext file.
  bool pending() const EXCLUDES(mutex_);
  std::uint64_t dirty_bytes() const EXCLUDES(mutex_);
  // Much is being written to it just now: better stored a little later.
  bool is_streaming() const EXCLUDES(mutex_);
  // When the oldest change that is not in the ciphertext file was made; nothing if there is none.
  std::optional<Clock::time_point> dirty_since() const EXCLUDES(mutex_);
  // Its last name is about to go: if it is not found after a crash, that is why.
  void expect_removal() EXCLUDES(mutex_);
  // No write_out() any more: the file has no name left, what is held may go with it.
  void discard() EXCLUDES(mutex_);

  // Access and modification time, as for utimensat(2), but the latter never UTIME_NOW. The modification time is kept
  // over our own later writes to the ciphertext. In one step with them, so that none sets an older one again.
  Status set_times(const timespec (&times)[2]) EXCLUDES(mutex_);
  // The modification time that the ciphertext file gets once everything is in it; nothing if it is.
  std::optional<timespec> unstored_mtime() const EXCLUDES(mutex_);
  // Brings header fields up to date; written at the next write_out() if any differ.
  void update_facts(const HeaderFacts& facts) EXCLUDES(mutex_);
  // Mode and owner as they are now, for the next header that is written; no header is written for their sake.
  void anticipate_facts(mode_t mode, uid_t uid, gid_t gid) EXCLUDES(mutex_);
  // Everything is written, and the header names this place, mode and owner: settling would change nothing.
  bool is_settled_at(const crypto::DirId& parent, std::string_view name) const EXCLUDES(mutex_);
  // The state of the ciphertext file as of our last look or change.
  sys::Stat disk_stat() const EXCLUDES(mutex_);
  // Only the modification time, and only in memory: nothing is done and false returned if that will not reach the disk
  // with what else waits for it.
  bool hold_mtime(const timespec& mtime) EXCLUDES(mutex_);
  // The disk is in a state that our own doing explains. `times_only`: an fsync that has the content and the header in
  // the journal need not see to it.
  void note_own_change(const sys::Stat& stat, bool times_only = false) EXCLUDES(mutex_);
  // If somebody else changed the file below: reads it anew (only if nothing is held here). `seen` is an earlier look at
  // it. Errors: as open().
  Status refresh(const sys::Stat& seen) EXCLUDES(mutex_);

  // Checks the content sum now unless known. Errors: EIO (reported), EINTR (the file system is stopping).
  Status confirm() EXCLUDES(mutex_, confirm_mutex_);
  // Above kCheckFirstMax and not yet confirmed: confirm() is to be called from a background thread.
  bool needs_background_check() const;

  // The settler has this file in its list (Settler::file_changed).
  std::atomic<bool> awaited{false};
  // Handles of the kernel's, and those of them that may write: it may hold dirty pages while there are any.
  std::atomic<int> handles{0};
  std::atomic<int> writers{0};

  // Somebody else changed what lies below, or put another file in its place, while this was open: what is known here is
  // not true any more. From now on reads and writes fail with EIO, and nothing reaches the disk, so that what the other
  // one wrote stays whole.
  void lose() { lost_ = true; }
  bool lost() const { return lost_; }
  // Is this the state of the disk that we left or read?
  bool knows(const sys::Stat& stat) const EXCLUDES(mutex_);
  // The same for a file that is being written to, whose state changes all the time: it still has a name, and the header
  // that we left or read. Others who change it end by changing that.
  bool has_our_header() const EXCLUDES(mutex_);

 private:
  enum class Trust { kUnconfirmed, kConfirmed, kPoisoned };
  // A chunk newer than the disk.
  struct DirtyChunk {
    base::Bytes data;                         // what is valid of it; the rest up to the chunk's length is zero
    std::optional<crypto::SumTerms> counted;  // what the record on disk adds to sums_
  };
  struct Records {  // sealed records of neighbouring chunks
    std::shared_ptr<const FileCipher> cipher;
    std::uint64_t first = 0;
    base::Scratch bytes;
    std::vector<crypto::SumTerms> terms;
  };
  // The last chunk as it lies on disk, where it is not full: the next write most likely appends to it.
  struct Tail {
    std::uint64_t index = 0;
    base::Bytes data;
    crypto::SumTerms terms;
  };

  struct HeaderRead {
    crypto::FileHeader header;
    std::shared_ptr<const FileCipher> cipher;
    base::Bytes prefetched;
  };

  FileState(FileContext& context, UniqueFd fd, std::string label, bool writable);

  // file_state.cc
  static Listing list(FileContext& context, JournalFile file, std::uint64_t directory, std::string_view entry,
                      const HeaderFacts& facts);
  static Result<HeaderRead> read_header(FileContext& context, FdRef fd, const sys::Stat& stat, crypto::Kind kind,
                                        const std::string& label);
  void start_anew(const HeaderFacts& facts, const sys::Stat& stat, const Listing& listing) REQUIRES(mutex_);
  void adopt(HeaderRead read, const sys::Stat& stat) REQUIRES(mutex_);
  bool is_own_state(const sys::Stat& stat) const REQUIRES_SHARED(mutex_);
  // Reports a chunk or the whole as not authentic and gives the EIO to return.
  Errno damaged(const std::string& what) const;
  Errno damaged_chunk(std::uint64_t index) EXCLUDES(reported_mutex_);  // once per chunk

  // file_check.cc
  Result<crypto::Sums> stored_sums() REQUIRES_SHARED(mutex_);
  // The sum is wrong: the first record that does not authenticate, reported, or the whole.
  Errno blame() REQUIRES_SHARED(mutex_);

  // file_read.cc
  Result<std::size_t> read_locked(std::uint64_t offset, ByteSpan out) REQUIRES_SHARED(mutex_);
  Status read_stored(std::uint64_t first, std::uint64_t last, std::uint64_t offset, ByteSpan out)
      REQUIRES_SHARED(mutex_);
  Status open_record(std::uint64_t index, ByteView record, ByteSpan plain) REQUIRES_SHARED(mutex_);
  Result<bool> is_hole(std::uint64_t index) REQUIRES_SHARED(mutex_);
  Result<std::size_t> stored_bytes(std::uint64_t offset, ByteSpan out) REQUIRES_SHARED(mutex_);

  // file_write.cc
  Status write_locked(std::uint64_t offset, ByteView data, Records* sealed, bool patient) REQUIRES(mutex_);
  Status hold(std::uint64_t offset, ByteView data) REQUIRES(mutex_);
  Result<DirtyChunk*> dirty_chunk(std::uint64_t index, bool load) REQUIRES(mutex_);
  Status grow(std::uint64_t size) REQUIRES(mutex_);
  Status shrink(std::uint64_t size) REQUIRES(mutex_);
  Status zero(std::uint64_t offset, std::uint64_t length) REQUIRES(mutex_);
  Status punch_chunks(std::uint64_t begin, std::uint64_t end) REQUIRES(mutex_);
  void drop_dirty(std::map<std::uint64_t, DirtyChunk>::iterator chunk) REQUIRES(mutex_);
  void resize_held(DirtyChunk& chunk, std::size_t size) REQUIRES(mutex_);
  // Something is newer than the disk.
  void touch() REQUIRES(mutex_);

  // file_store.cc
  // Neighbouring chunks from `first` on, of which only the last may be shorter than the others.
  static Records seal(std::shared_ptr<const FileCipher> cipher, std::uint64_t first, std::span<const ByteView> chunks);
  // The plaintext of `count` chunks that are all held, each filled up to its length.
  std::vector<ByteView> held_chunks(std::uint64_t first, std::uint64_t count) REQUIRES(mutex_);
  // What is held of these is on disk now.
  void stored_held(const Records& records) REQUIRES(mutex_);
  Result<std::optional<crypto::SumTerms>> counted_terms(std::uint64_t index) REQUIRES(mutex_);
  Status store_sealed(const Records& records, ByteView plain, bool patient) REQUIRES(mutex_);
  Status store_dirty() REQUIRES(mutex_);
  Status store_run(std::uint64_t first, std::uint64_t count) REQUIRES(mutex_);
  Status store_new_file() REQUIRES(mutex_);
  Status subtract_range(std::uint64_t begin, std::uint64_t end) REQUIRES(mutex_);
  Status store_length() REQUIRES(mutex_);
  Status store_header() REQUIRES(mutex_);
  crypto::HeaderBytes next_header() REQUIRES(mutex_);
  Status stored_all() REQUIRES(mutex_);
  Status reached_file() REQUIRES(mutex_);
  Status give_up_if_lost() REQUIRES(mutex_);
  Status write_out_locked() REQUIRES(mutex_);
  Status apply_locked() REQUIRES(mutex_);

  FileContext& context_;
  const UniqueFd fd_;
  const std::string label_;
  const bool writable_;

  mutable base::SharedMutex mutex_;
  JournaledFile below_ GUARDED_BY(mutex_);
  // Replaced only by refresh(); a writer that sealed before it took the mutex compares.
  std::shared_ptr<const FileCipher> cipher_ GUARDED_BY(mutex_);
  crypto::FileHeader header_ GUARDED_BY(mutex_);      // as last written or read; sums live in sums_
  crypto::Sums sums_ GUARDED_BY(mutex_);              // of the stored records
  std::atomic<std::uint64_t> size_;                   // plaintext; written under mutex_
  std::uint64_t stored_size_ GUARDED_BY(mutex_) = 0;  // plaintext size that the stored records make up
  bool header_stored_ GUARDED_BY(mutex_) = false;
  bool header_dirty_ GUARDED_BY(mutex_) = false;  // write_out() has work to do
  std::uint64_t attribute_changes_ GUARDED_BY(mutex_) = 0;
  std::uint64_t attribute_changes_synced_ GUARDED_BY(mutex_) = 0;  // by an fsync of the file itself
  bool discarded_ GUARDED_BY(mutex_) = false;
  std::map<std::uint64_t, DirtyChunk> dirty_ GUARDED_BY(mutex_);
  std::uint64_t held_bytes_ GUARDED_BY(mutex_) = 0;  // in dirty_, counted in context_.dirty_bytes too
  std::optional<Clock::time_point> dirty_since_ GUARDED_BY(mutex_);
  timespec mtime_ GUARDED_BY(mutex_){};        // what people see; set again after each of our own writes
  base::Bytes prefetched_ GUARDED_BY(mutex_);  // header and first record as read at open, while still true
  sys::Stat own_stat_ GUARDED_BY(mutex_);      // state of the disk that we know
  std::optional<Tail> tail_ GUARDED_BY(mutex_);

  base::Mutex reported_mutex_;  // a leaf
  std::set<std::uint64_t> reported_chunks_ GUARDED_BY(reported_mutex_);

  Status check_not_lost() const;

  std::atomic<bool> lost_{false};
  std::atomic<Trust> trust_{Trust::kUnconfirmed};
  base::Mutex confirm_mutex_;  // one check at a time; before mutex_
};

// Content sums of files up to this size are checked before the first byte is served (design 3.8).
constexpr std::uint64_t kCheckFirstMax = std::uint64_t{16} << 20;

}  // namespace coffer::fs
