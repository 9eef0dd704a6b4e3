// Side files of long names. The input is a side file under the name that its content asks for and under another's, then
// a plaintext name that is looked for in its own.
#include "base/check.h"
#include "fs/name_store.h"
#include "tests/crypto/support.h"
#include "tests/fuzz/input.h"

namespace coffer::fs {
namespace {

constexpr std::size_t kMaxInput = 2000;
constexpr std::uint16_t kNameMax = 200;
const crypto::DirId kDirectory = crypto::test_id<crypto::DirId>(0x55);

// Every side file there is says the same.
class OneFile : public Backing {
 public:
  explicit OneFile(ByteView content) : content_(content) {}
  Result<UniqueFd> open(FdRef, const std::string&, int, mode_t) override { return UniqueFd(); }
  Result<std::size_t> pread(FdRef, ByteSpan out, std::uint64_t) override {
    const std::size_t size = std::min(out.size(), content_.size());
    std::copy_n(content_.begin(), size, out.begin());
    return size;
  }

 private:
  const ByteView content_;
};

// What is found is what the name and the side file say.
void check_entry(const std::string& entry, ByteView content) {
  OneFile backing(content);
  NameStore names(backing, crypto::test_keys(), kNameMax);
  const ReadEntry read = names.decode(FdRef(-1), {kDirectory}, entry);
  if (read.what != EntryClass::kOurs) return;
  const DecodedEntry& found = read.decoded;
  COFFER_CHECK(names.encode(kDirectory, found.kind, found.name).full == found.full);
  COFFER_CHECK(crypto::is_plain_name(found.name));
  const std::string shown = conflict_name(found.name, found.decoration);
  COFFER_CHECK(!shown.empty() && shown.size() <= crypto::kMaxPlainName);
}

void check_plain(const std::string& plain, crypto::Kind kind) {
  if (!crypto::is_plain_name(plain)) return;
  OneFile nothing(ByteView{});
  const EntryName name = NameStore(nothing, crypto::test_keys(), kNameMax).encode(kDirectory, kind, plain);
  OneFile backing(base::as_bytes(name.full));
  NameStore names(backing, crypto::test_keys(), kNameMax);
  const ReadEntry read = names.decode(FdRef(-1), {kDirectory}, name.entry);
  COFFER_CHECK(read.what == EntryClass::kOurs && read.decoded.name == plain && read.decoded.full == name.full);
  COFFER_CHECK(!is_side_file_name(name.entry) && !is_temporary_name(name.entry));
}

}  // namespace
}  // namespace coffer::fs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coffer::fs;
  if (size == 0 || size > kMaxInput) return -1;
  coffer::fuzz::Input input(data, size);
  const auto kind = static_cast<coffer::crypto::Kind>(input.array<1>()[0] % 3);
  const std::string text = input.rest_text();
  check_entry(coffer::crypto::short_form(text), input.rest());
  check_entry("Copy of " + coffer::crypto::short_form(text) + " (2)", input.rest());
  check_entry(text, input.rest());
  check_entry(coffer::crypto::short_form("another name"), input.rest());
  check_plain(text.substr(0, coffer::crypto::kMaxPlainName), kind);
  return 0;
}
