// A ciphertext file open for writing, changed so that a crash at any moment leaves its old or its new state.
//
// What changes bytes that a header on disk counts (overwrites, cuts, punches, the last record of an append, the header
// itself) goes to the journal first, and into the file at apply(); until then an Overlay makes the file read as if it
// were there. What lies wholly behind that, and everything in a file that has no header yet, goes into the file at
// once. Without a journal everything does.
//
// The unit that counts is what lies between two commit()s: after a crash the file is as of one of them.
// Not thread-safe: FileState's lock guards it. Source of the idea: write-ahead logging (Mohan et al., ARIES, 1992),
// redo only, physical.
#pragma once

#include <optional>

#include "crypto/file_header.h"
#include "fs/journal.h"
#include "fs/overlay.h"

namespace coffer::fs {

class JournaledFile {
 public:
  // `journal` may be nullptr. All three outlive this.
  JournaledFile(Backing& backing, Journal* journal, FdRef fd) : backing_(backing), journal_(journal), fd_(fd) {}
  ~JournaledFile();
  JournaledFile(const JournaledFile&) = delete;
  JournaledFile& operator=(const JournaledFile&) = delete;

  // It has a header, of this version, and is `length` long; nothing of ours is on its way. `durable`: both are known to
  // have reached the disk.
  void adopt(const JournalFile& file, const JournalVersion& version, std::uint64_t length, bool durable);
  // It is empty and has no header. `listed`: the kNew entry that says so, in case a crash comes before the first
  // commit(); ended here.
  void start_new(const JournalFile& file, std::optional<std::uint64_t> listed);
  // Its last name is about to go. It can still be read and written.
  void forget();
  // It is gone: a crash ends the file, so what is written from now on needs no journal once nothing is pending.
  void unlinked();
  // Somebody else's file now: nothing of this reaches it.
  void give_up();

  // As the calls of Backing. A write that fails has not changed the length.
  Result<std::size_t> pread(ByteSpan out, std::uint64_t offset) const;
  // Where data, or a hole, may begin: never behind where it does. Errors: ENXIO, as lseek(2).
  Result<std::uint64_t> seek(std::uint64_t offset, int whence) const;
  Result<std::uint64_t> seek_data(std::uint64_t offset) const;
  Status pwritev(std::vector<iovec> parts, std::uint64_t offset);
  Status truncate(std::uint64_t size);
  Status punch(std::uint64_t offset, std::uint64_t length);
  // The header, which makes everything so far count. `records`: what follows it at once in a new file.
  Status commit(const crypto::HeaderBytes& header, ByteView records, const JournalVersion& version,
                std::uint64_t length);
  // Writes up to here change what a header counts; records that cross it are best written apart from those behind.
  std::uint64_t committed_end() const { return journal_ != nullptr ? committed_end_ : 0; }

  // Of the header in the file itself, without the overlay; nothing if it has none.
  const std::optional<JournalVersion>& version_below() const { return version_below_; }
  // Something is in the journal and not in the file.
  bool pending() const { return first_.has_value(); }
  // Something is, and much more is coming just now: better wait for it, some seconds, or as long as it comes behind the
  // end.
  bool is_streaming() const;
  // So much that it should be applied soon.
  bool crowded() const;
  // Puts it there. REQUIRES: nothing since the last commit(), or it is unlinked. Errors: those of flush() and of
  // writing; then it stays pending and can be tried again. After one of fdatasync() it stays so for ever: the kernel
  // may have dropped what it could not write, and tells of that only once.
  Status apply();

  // What fsync(2) has to do, in this order; each only if set.
  struct Unsynced {
    bool file = false;
    std::uint64_t journal = 0;  // Journal::flush up to here
    std::uint64_t writes = 0;   // for synced()
  };
  Unsynced unsynced() const { return {unsynced_ || !pending(), pending() ? last_ : 0, writes_}; }
  // The file has been synced after unsynced() was asked.
  void synced(const Unsynced& asked) { unsynced_ = unsynced_ && writes_ != asked.writes; }

 private:
  bool is_journaled() const;
  bool goes_to_journal(std::uint64_t offset, std::size_t size) const;
  Status begin();
  // Room below for a file that ends there.
  Status reserve(std::uint64_t end);
  void release();
  void end_listing();
  void count_held();
  Status log(JournalKind kind, std::uint64_t a, std::uint64_t b, ByteView payload);
  Status write_now(std::vector<iovec> parts, std::uint64_t offset);

  Backing& backing_;
  Journal* const journal_;
  const FdRef fd_;
  JournalFile file_;
  Overlay overlay_;
  bool has_header_ = false;
  bool removed_ = false;   // or about to be
  bool unlinked_ = false;  // removed
  std::optional<Errno> failed_;
  std::uint64_t held_ = 0;                           // of the overlay, counted in Journal::held()
  bool unsynced_ = false;                            // written to the file and perhaps not on the disk
  std::uint64_t writes_ = 0;                         // to the file
  std::chrono::steady_clock::time_point written_{};  // the last large write
  std::chrono::steady_clock::time_point began_{};    // with what is pending
  JournalVersion version_;                           // of the newest header
  std::optional<JournalVersion> version_below_;      // of the file itself, without the overlay
  std::uint64_t length_ = 0;                         // with the overlay
  std::uint64_t below_ = 0;                          // length of the file itself, without the overlay
  std::uint64_t reserved_ = 0;                       // beyond that
  std::uint64_t committed_end_ = 0;                  // length that the newest header names
  std::optional<std::uint64_t> first_;               // entry that began what is pending
  std::optional<std::uint64_t> listed_;              // as a new file
  std::uint64_t last_ = 0;                           // newest entry
};

}  // namespace coffer::fs
