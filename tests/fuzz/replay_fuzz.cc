// The crash journal at mount. The input is a row of entries, whole and with the right sums, about a file that is there:
// whatever they say, the vault mounts, and the file is as it was, or empty, or known to be damaged, since nothing that
// does not authenticate may come into it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "base/log.h"
#include "crypto/file_header.h"
#include "crypto/random.h"
#include "fs/journal_format.h"
#include "tests/crypto/support.h"
#include "tests/fuzz/vault_variant.h"

namespace coffer::fuzz {
namespace {

constexpr std::size_t kIdAt = 32;  // FORMAT.md 4.1
constexpr std::size_t kSize = 6000;

// One file in a vault that is not mounted, and its ciphertext.
struct Scene {
  FuzzVault vault{Variant{}};
  std::string content = std::string(base::as_text(crypto::pattern(kSize)));
  std::string path;
  std::string ciphertext;
  fs::JournalFile file;
  std::uint64_t directory = 0;

  Scene() {
    auto made = vault.fs().create(fs::kRootInode, "f", 0600, O_RDWR, {});
    COFFER_CHECK(made.has_value());
    COFFER_CHECK(vault.fs().write(made->opened.handle, 0, base::as_bytes(content), {}).has_value());
    vault.fs().release(made->opened.handle);
    vault.unmount();
    for (const auto& entry : std::filesystem::directory_iterator(vault.vault_path())) path = entry.path();
    std::ifstream in(path, std::ios::binary);
    ciphertext.assign(std::istreambuf_iterator<char>(in), {});
    const std::string name = path.substr(path.rfind('/') + 1);
    const base::UniqueFd folder(::open(vault.vault_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto stat = base::sys::statx(folder, name.c_str());
    COFFER_CHECK(stat.has_value());
    std::copy_n(ciphertext.begin() + kIdAt, file.id.bytes.size(), file.id.bytes.begin());
    file.ino = stat->ino;
    file.birth_ns = base::sys::nanoseconds(stat->btime);
    struct ::stat above {};
    COFFER_CHECK(::stat(vault.vault_path().c_str(), &above) == 0);
    directory = above.st_ino;
  }
};

// Where comparisons look: versions, lengths, offsets, inode numbers.
std::uint64_t pick_number(Input& input, const Scene& scene) {
  const std::uint8_t how = input.array<1>()[0];
  const std::array<std::uint64_t, 8> all = {
      0, 1, 2, crypto::kHeaderSize, scene.ciphertext.size(), scene.directory, scene.file.ino, ~std::uint64_t{0}};
  if (how < 128) return all[how % all.size()];
  return how < 240 ? base::load_le<std::uint16_t>(input.array<2>().data()) : input.number();
}

std::string pick_payload(Input& input, const Scene& scene) {
  const std::uint8_t how = input.array<1>()[0];
  const std::string name = scene.path.substr(scene.path.rfind('/') + 1);
  switch (how % 6) {
    case 0:
      return scene.ciphertext.substr(0, crypto::kHeaderSize);
    case 1:
      return scene.ciphertext.substr(0, crypto::kHeaderSize) + name;
    case 2:
      return std::string(8, '\0') + name + '\0' + name + '\0';
    case 3:
      return scene.ciphertext.substr(pick_number(input, scene) % scene.ciphertext.size(), how * 16);
    case 4:
      return std::string(base::as_text(input.take(how)));
    default:
      return scene.ciphertext.substr(0, crypto::kHeaderSize) + std::string(how * 3, 'x');
  }
}

std::string segment(Input& input, const Scene& scene, std::uint64_t& sequence) {
  fs::JournalHead head;
  head.run = 7;
  std::string bytes;
  const auto append = [&](const std::string& payload) {
    head.sequence = ++sequence;
    head.payload_size = payload.size();
    const fs::JournalHeadBytes encoded = fs::encode_journal_head(head, base::as_bytes(payload));
    bytes += base::as_text(encoded);
    bytes += payload;
  };
  append({});
  for (int entries = 0; entries < 12 && !input.rest().empty(); ++entries) {
    const std::uint8_t what = input.array<1>()[0];
    head.kind = static_cast<fs::JournalKind>(1 + what % 10);
    head.file = scene.file;
    if (what >= 200) head.file.ino = pick_number(input, scene);
    if (what >= 230) head.file.id.bytes.fill(what);
    head.a = pick_number(input, scene);
    head.b = pick_number(input, scene);
    append(pick_payload(input, scene));
  }
  return bytes;
}

void put(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::in | std::ios::out | std::ios::trunc) << bytes;
}

void check(Scene& scene) {
  scene.vault.mount();
  fs::Filesystem& fs = scene.vault.fs();
  const auto attr = fs.lookup(fs::kRootInode, "f");
  // It can only have gone by an entry that says so (kReplace).
  if (attr) {
    if (auto opened = fs.open_file(attr->id, O_RDONLY, false)) {
      base::Bytes seen(kSize + 1);
      const auto size = fs.read(opened->handle, 0, seen);
      if (size && *size != 0) COFFER_CHECK(base::as_text(base::ByteView(seen).first(*size)) == scene.content);
      fs.release(opened->handle);
    }
  }
  scene.vault.unmount();
}

}  // namespace
}  // namespace coffer::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coffer::fuzz;
  static Scene* scene = [] {
    coffer::crypto::init();
    coffer::base::log_set_level(coffer::base::LogLevel::kError);
    return new Scene();
  }();
  Input input(data, size);
  if (!std::filesystem::exists(scene->path)) {  // an entry removed or renamed it
    delete scene;
    scene = new Scene();
  }
  scene->vault.forget_state();
  // In place: it stays the inode that the entries speak of.
  put(scene->path, scene->ciphertext);
  std::uint64_t sequence = 0;
  for (int number = 0; number < coffer::fs::kJournalSegments; ++number) {
    const std::string path = scene->vault.state_path() + "/" + coffer::fs::journal_segment_name(number);
    std::ofstream(path, std::ios::binary) << segment(input, *scene, sequence);
  }
  check(*scene);
  return 0;
}
