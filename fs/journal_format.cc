#include "fs/journal_format.h"

#include <algorithm>
#include <optional>

#include "crypto/xxh3.h"

namespace coffer::fs {
namespace {

// Offsets in the head.
constexpr std::size_t kHeadSum = 0;
constexpr std::size_t kPayloadSum = 8;
constexpr std::size_t kMagic = 16;
constexpr std::size_t kKind = 20;
constexpr std::size_t kRun = 24;
constexpr std::size_t kSequence = 32;
constexpr std::size_t kPayloadSize = 40;
constexpr std::size_t kFileId = 48;
constexpr std::size_t kInode = 64;
constexpr std::size_t kBirth = 72;
constexpr std::size_t kA = 80;
constexpr std::size_t kB = 88;
constexpr std::uint32_t kMagicValue = 0x304a4643;  // "CFJ0"

std::optional<JournalHead> decode_head(const JournalHeadBytes& bytes) {
  const base::Byte* at = bytes.data();
  if (base::load_le<std::uint32_t>(at + kMagic) != kMagicValue) return std::nullopt;
  if (base::load_le<std::uint64_t>(at + kHeadSum) != crypto::xxh3(ByteView(bytes).subspan(kPayloadSum), 0)) {
    return std::nullopt;
  }
  JournalHead head;
  const auto kind = base::load_le<std::uint32_t>(at + kKind);
  if (kind < static_cast<std::uint32_t>(JournalKind::kReset) ||
      kind > static_cast<std::uint32_t>(JournalKind::kApplied)) {
    return std::nullopt;
  }
  head.kind = JournalKind{kind};
  head.run = base::load_le<std::uint64_t>(at + kRun);
  head.sequence = base::load_le<std::uint64_t>(at + kSequence);
  head.payload_size = base::load_le<std::uint64_t>(at + kPayloadSize);
  std::copy_n(at + kFileId, head.file.id.bytes.size(), head.file.id.bytes.begin());
  head.file.ino = base::load_le<std::uint64_t>(at + kInode);
  head.file.birth_ns = static_cast<std::int64_t>(base::load_le<std::uint64_t>(at + kBirth));
  head.a = base::load_le<std::uint64_t>(at + kA);
  head.b = base::load_le<std::uint64_t>(at + kB);
  if (head.payload_size > kJournalPayloadMax) return std::nullopt;
  return head;
}

}  // namespace

JournalHeadBytes encode_journal_head(const JournalHead& head, ByteView payload) {
  JournalHeadBytes bytes{};
  base::Byte* at = bytes.data();
  base::store_le<std::uint64_t>(at + kPayloadSum, crypto::xxh3(payload, head.sequence));
  base::store_le<std::uint32_t>(at + kMagic, kMagicValue);
  base::store_le<std::uint32_t>(at + kKind, static_cast<std::uint32_t>(head.kind));
  base::store_le<std::uint64_t>(at + kRun, head.run);
  base::store_le<std::uint64_t>(at + kSequence, head.sequence);
  base::store_le<std::uint64_t>(at + kPayloadSize, payload.size());
  std::copy(head.file.id.bytes.begin(), head.file.id.bytes.end(), at + kFileId);
  base::store_le<std::uint64_t>(at + kInode, head.file.ino);
  base::store_le<std::uint64_t>(at + kBirth, static_cast<std::uint64_t>(head.file.birth_ns));
  base::store_le<std::uint64_t>(at + kA, head.a);
  base::store_le<std::uint64_t>(at + kB, head.b);
  base::store_le<std::uint64_t>(at + kHeadSum, crypto::xxh3(ByteView(bytes).subspan(kPayloadSum), 0));
  return bytes;
}

const char* journal_segment_name(int segment) { return segment == 0 ? "journal-0" : "journal-1"; }

Result<std::vector<JournalEntry>> read_journal_segment(Backing& backing, FdRef segment, int number) {
  std::vector<JournalEntry> entries;
  std::uint64_t offset = 0;
  base::Bytes payload;
  for (;;) {
    JournalHeadBytes bytes;
    COFFER_ASSIGN_OR_RETURN(std::size_t got, backing.pread(segment, bytes, offset));
    if (got != bytes.size()) break;
    std::optional<JournalHead> head = decode_head(bytes);
    if (!head) break;
    const bool first = entries.empty();
    if (first != (head->kind == JournalKind::kReset)) break;
    if (!first && (head->run != entries.front().head.run || head->sequence <= entries.back().head.sequence)) break;
    payload.resize(static_cast<std::size_t>(head->payload_size));
    COFFER_ASSIGN_OR_RETURN(got, backing.pread(segment, payload, offset + kJournalHeadSize));
    if (got != payload.size()) break;
    if (base::load_le<std::uint64_t>(bytes.data() + kPayloadSum) != crypto::xxh3(payload, head->sequence)) break;
    entries.push_back({*head, number, offset + kJournalHeadSize});
    offset += kJournalHeadSize + payload.size();
  }
  return entries;
}

Result<base::Bytes> read_journal_payload(Backing& backing, FdRef segment, const JournalEntry& entry) {
  base::Bytes payload(static_cast<std::size_t>(entry.head.payload_size));
  COFFER_ASSIGN_OR_RETURN(std::size_t got, backing.pread(segment, payload, entry.payload_offset));
  if (got != payload.size()) return Errno(EIO);
  return payload;
}

}  // namespace coffer::fs
