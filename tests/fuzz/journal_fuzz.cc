// Segments of the crash journal. The input is a segment as it is, and the same with the sums of its first entries put
// right, as somebody who can write to local state could. What is read back encodes to the bytes that were there.
#include <algorithm>
#include <string>

#include "base/check.h"
#include "crypto/xxh3.h"
#include "fs/journal_format.h"

namespace coffer::fs {
namespace {

class Memory : public Backing {
 public:
  explicit Memory(ByteView bytes) : bytes_(bytes) {}
  Result<std::size_t> pread(FdRef, ByteSpan out, std::uint64_t offset) override {
    if (offset >= bytes_.size()) return std::size_t{0};
    const ByteView from = bytes_.subspan(static_cast<std::size_t>(offset));
    const std::size_t size = std::min(out.size(), from.size());
    std::copy_n(from.begin(), size, out.begin());
    return size;
  }

 private:
  const ByteView bytes_;
};

void check(ByteView segment) {
  Memory memory(segment);
  auto entries = read_journal_segment(memory, FdRef(-1), 0);
  COFFER_CHECK(entries.has_value());
  for (const JournalEntry& entry : *entries) {
    auto payload = read_journal_payload(memory, FdRef(-1), entry);
    COFFER_CHECK(payload.has_value());
    const JournalHeadBytes head = encode_journal_head(entry.head, *payload);
    const ByteView there = segment.subspan(static_cast<std::size_t>(entry.payload_offset) - head.size(), head.size());
    COFFER_CHECK(std::equal(head.begin(), head.end(), there.begin()));
  }
}

// Whatever sizes the entries name, as long as they fit.
void put_sums_right(base::Bytes& segment) {
  for (std::size_t at = 0; at + kJournalHeadSize <= segment.size();) {
    base::Byte* head = segment.data() + at;
    const std::size_t room = segment.size() - at - kJournalHeadSize;
    const std::size_t size = static_cast<std::size_t>(base::load_le<std::uint64_t>(head + 40) % (room + 1));
    base::store_le<std::uint64_t>(head + 40, size);
    base::store_le<std::uint32_t>(head + 16, 0x304a4643);
    const ByteView payload(head + kJournalHeadSize, size);
    base::store_le<std::uint64_t>(head + 8, crypto::xxh3(payload, base::load_le<std::uint64_t>(head + 32)));
    base::store_le<std::uint64_t>(head, crypto::xxh3(ByteView(head + 8, kJournalHeadSize - 8), 0));
    at += kJournalHeadSize + size;
  }
}

}  // namespace
}  // namespace coffer::fs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  coffer::base::Bytes segment(data, data + size);
  coffer::fs::check(segment);
  coffer::fs::put_sums_right(segment);
  coffer::fs::check(segment);
  return 0;
}
