// One ciphertext file after a crash, and what the journal says of it.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fs/file_state.h"
#include "fs/journal_format.h"
#include "fs/overlay.h"

namespace coffer::fs {

class ReplayedFile {
 public:
  enum class What {
    kNothing,    // it needs nothing
    kCompleted,  // brought to the newest state that is whole
    kCut,        // what was being appended is cut off
    kEmptied,    // new, and its content never came: an empty file
    kSetAside    // the entries are not for what the vault has now
  };
  struct Outcome {
    What what = What::kNothing;
    std::string why;  // of kSetAside
  };

  // `entries` in their order, of this file only, without kNew. `empty`: the header that a kNew entry has for it, or
  // nothing. All is borrowed for the object's life.
  ReplayedFile(FileContext& context, FdRef fd, const sys::Stat& stat, const crypto::FileId& id,
               const std::vector<JournalEntry>& entries, std::array<FdRef, kJournalSegments> segments, ByteView empty)
      : context_(context), fd_(fd), stat_(stat), id_(id), entries_(entries), segments_(segments), empty_(empty) {}

  // Does it, and makes it durable. Errors: those of reading and writing.
  Result<Outcome> run();

 private:
  struct State {  // of the file after some of its entries
    Overlay overlay;
    std::uint64_t length = 0;
    std::uint64_t unproven = 0;                // from here on parts may be missing, also amid a record
    std::optional<crypto::FileHeader> header;  // of the last commit among them
  };
  // Entries from one kBegin to the next, and the versions that the file's header had before and got by them.
  struct Session {
    std::size_t first = 0;
    JournalVersion before;
    std::vector<JournalVersion> made;
    const JournalVersion& after() const { return made.empty() ? before : made.back(); }
    bool knows(const JournalVersion& version) const;
  };
  std::optional<crypto::FileHeader> decode(ByteView bytes) const;
  Result<base::Bytes> payload(const JournalEntry& entry);
  Result<std::vector<Session>> sessions();
  // The first entry of what leads to this version of the header and on from it; nothing if no entry knows of it.
  Result<std::optional<std::size_t>> start_for(const JournalVersion& version);
  std::vector<std::size_t> commits_from(std::size_t start) const;
  // `keep_cuts`: as if no session but the last had reached the file.
  Result<State> compose(std::size_t start, std::size_t commit, bool keep_cuts);
  Result<Outcome> complete(std::size_t start, const crypto::FileHeader& header);
  Status add(State& state, const JournalEntry& entry);
  // Do the records that the file would have add up to what the header says, and are those whole that were written
  // behind the old end?
  Result<bool> is_whole(const State& state);
  bool is_blank(ByteView begin) const;
  Result<Outcome> empty_new_file();
  Result<Outcome> cut_back(const crypto::FileHeader& header);
  Status finish(const crypto::FileHeader& header);

  FileContext& context_;
  const FdRef fd_;
  const sys::Stat stat_;
  const crypto::FileId id_;
  const std::vector<JournalEntry>& entries_;
  const std::array<FdRef, kJournalSegments> segments_;
  const ByteView empty_;
};

}  // namespace coffer::fs
