// What local state remembers of files. The input is loaded as it is, and as records with the magic and the sum put
// right; then what it says is known. With one bit wrong nothing is.
#include <fcntl.h>
#include <unistd.h>

#include "base/check.h"
#include "crypto/chunk_cipher.h"
#include "fs/known_good.h"
#include "tests/fuzz/input.h"
#include "tests/support/temp_dir.h"

namespace coffer::fs {
namespace {

constexpr std::size_t kRecordSize = 48;
constexpr std::string_view kMagic("coffer-known-1\n\0", 16);
constexpr std::size_t kMaxInput = 100 * kRecordSize;

void load(KnownGood& known, ByteView bytes) {
  static const test::TempDir folder;
  static const base::UniqueFd state = folder.open();
  static const std::string path = folder.path() + "/known";
  static const base::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  COFFER_CHECK(::ftruncate(fd.get(), 0) == 0);
  COFFER_CHECK(::pwrite(fd.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  known.load(state, "known");
}

base::Bytes with_sum(ByteView records) {
  base::Bytes bytes(kMagic.begin(), kMagic.end());
  bytes.insert(bytes.end(), records.begin(), records.end());
  const std::uint64_t sum = crypto::record_sum(crypto::ChunkIndex{0}, bytes);
  bytes.resize(bytes.size() + sizeof sum);
  base::store_le(bytes.data() + bytes.size() - sizeof sum, sum);
  return bytes;
}

void check_records(const KnownGood& known, ByteView records) {
  for (; !records.empty(); records = records.subspan(kRecordSize)) {
    const auto field = [&](std::size_t i) { return base::load_le<std::uint64_t>(records.data() + 8 * i); };
    const BackingId id{field(1), field(2), static_cast<std::int64_t>(field(3))};
    crypto::DirId last;
    std::copy_n(records.data() + 32, last.bytes.size(), last.bytes.begin());
    if (field(0) == 2) COFFER_CHECK(known.is_explained(id, last));
    if (field(0) == 3) COFFER_CHECK(known.is_pinned(last));
  }
}

}  // namespace
}  // namespace coffer::fs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coffer::fs;
  if (size > kMaxInput) return -1;
  const ByteView bytes(data, size);
  KnownGood as_it_is;
  load(as_it_is, bytes);
  const ByteView records = bytes.first(size / kRecordSize * kRecordSize);
  KnownGood known;
  load(known, with_sum(records));
  check_records(known, records);
  // One bit wrong: nothing is known.
  if (records.empty()) return 0;
  coffer::base::Bytes damaged = with_sum(records);
  damaged[data[0] % damaged.size()] ^= 1;
  KnownGood none;
  load(none, damaged);
  coffer::crypto::DirId last;
  std::copy_n(records.data() + 32, last.bytes.size(), last.bytes.begin());
  COFFER_CHECK(!none.is_pinned(last));
  return 0;
}
