// The bytes of the crash journal: what is written, and reading it back without trusting it. docs/ARCHITECTURE.md "Crash
// journal".
//
// A journal is two *segments*, files in local state that are filled in turn. A segment is a row of entries, each a
// 96-byte head and its payload. All entries of a *run* (from one reset of the segment to the next) carry its number,
// and their sequence numbers rise, so what is left of an older run behind the newest entry is never taken for a part of
// it. Sums are against accidents: what an entry puts into a vault is authenticated by the vault's own tags and sums
// before it counts. All integers are little-endian.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "crypto/types.h"
#include "fs/backing.h"
#include "fs/inode_table.h"

namespace coffer::fs {

enum class JournalKind : std::uint32_t {
  kReset = 1,  // first of a run; all that is older than its sequence number in this segment is done with
  // A file is about to be made, and has no header at first. a: inode number of its directory, b: the time; payload: the
  // header of an empty file, then its entry name. With a 0: the file is there, without a
  // readable header, and starts anew.
  kNew = 2,
  // Changes to a file begin. a: version of its header, b: length of the ciphertext file; payload: who wrote that
  // version.
  kBegin = 3,
  kWrite = 4,     // a: offset; payload: the bytes there
  kTruncate = 5,  // a: new length
  kPunch = 6,     // a: offset, b: length
  kCommit = 7,    // a: version; payload: the header that makes all before it count
  kGone = 8,      // the file was removed, or, with inode number 0, never made
  // An entry is about to be renamed to a name that one of another kind has, so on disk both will be there until that is
  // removed, or, in an exchange, renamed. The file is the one that comes. a: inode number of the directory, b: of the
  // file that goes; payload: u64 inode number of the directory that it goes to (0: it is removed), then the entry that
  // comes, NUL, the one that goes, NUL, its new name.
  kReplace = 9,
  kApplied = 10  // all before it is in the file, though perhaps not on its disk
};

// Which ciphertext file: its id, and where the file system has it (device numbers change from boot to boot).
struct JournalFile {
  crypto::FileId id;
  std::uint64_t ino = 0;
  std::int64_t birth_ns = 0;
  friend auto operator<=>(const JournalFile&, const JournalFile&) = default;
};

// A state of a file. The number alone is not enough: two machines may both have made the next one.
struct JournalVersion {
  std::uint64_t number = 0;
  crypto::WriterId writer;  // of one mount
  friend bool operator==(const JournalVersion&, const JournalVersion&) = default;
};

constexpr std::size_t kJournalHeadSize = 96;
// No entry of ours is larger: a request of the kernel's and its overhead.
constexpr std::uint64_t kJournalPayloadMax = std::uint64_t{16} << 20;

struct JournalHead {
  JournalKind kind = JournalKind::kReset;
  std::uint64_t run = 0;
  std::uint64_t sequence = 0;
  JournalFile file;
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  std::uint64_t payload_size = 0;
};

using JournalHeadBytes = base::ByteArray<kJournalHeadSize>;
JournalHeadBytes encode_journal_head(const JournalHead& head, ByteView payload);

// An entry as found; the payload is read when it is wanted.
struct JournalEntry {
  JournalHead head;
  int segment = 0;
  std::uint64_t payload_offset = 0;
};

constexpr int kJournalSegments = 2;
const char* journal_segment_name(int segment);

// The entries of one segment up to the first that is not whole. Errors: those of reading.
Result<std::vector<JournalEntry>> read_journal_segment(Backing& backing, FdRef segment, int number);
// One payload again, as large as the entry says. Errors: EIO if the segment has become shorter.
Result<base::Bytes> read_journal_payload(Backing& backing, FdRef segment, const JournalEntry& entry);

}  // namespace coffer::fs
