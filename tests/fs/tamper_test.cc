// Damage below: every byte of a ciphertext file flipped, parts swapped, cut, zeroed or taken from older versions. Reads
// give EIO, never a wrong byte.
#include <fcntl.h>

#include <fstream>
#include <functional>
#include <random>

#include "crypto/file_header.h"
#include "crypto/geometry.h"
#include "tests/support/test_vault.h"

namespace coffer {
namespace {

using test::TestVault;

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void spit(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

std::string pattern(std::size_t size, std::uint64_t seed) {
  std::mt19937 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

class TamperTest : public testing::Test {
 protected:
  TamperTest() : vault_({.chunk_size = 4096}) {}

  // Reads all of `path` with a fresh mount. What comes before an error must be right.
  testing::AssertionResult reads_as_damaged(const std::string& path, const std::string& truth) {
    vault_.remount();
    auto content = vault_.read_file(path);
    if (content) {
      return testing::AssertionFailure() << (*content == truth ? "read as if intact" : "WRONG BYTES were served");
    }
    if (content.error() != base::Errno(EIO)) return testing::AssertionFailure() << content.error().code();
    if (vault_.fs().status().integrity_events == 0) return testing::AssertionFailure() << "not reported";
    // Chunk for chunk too: what can still be read must be true.
    auto opened = vault_.fs().open_file(vault_.lookup(path)->id, O_RDONLY, false);
    if (!opened) return testing::AssertionSuccess();
    for (std::size_t at = 0; at < truth.size(); at += 4096) {
      std::string out(std::min<std::size_t>(4096, truth.size() - at), '\0');
      auto got = vault_.fs().read(opened->handle, at, {reinterpret_cast<base::Byte*>(out.data()), out.size()});
      if (got && out.substr(0, *got) != truth.substr(at, *got)) {
        return testing::AssertionFailure() << "WRONG BYTES at " << at;
      }
    }
    vault_.fs().release(opened->handle);
    return testing::AssertionSuccess();
  }

  void damage(const std::string& name, const std::function<void(std::string&)>& change) {
    SCOPED_TRACE(name);
    const std::string below = vault_.below("file");
    const std::string intact = slurp(below);
    std::string changed = intact;
    change(changed);
    ASSERT_NE(changed, intact);
    spit(below, changed);
    EXPECT_TRUE(reads_as_damaged("file", content_));
    spit(below, intact);
    vault_.remount();
    EXPECT_EQ(*vault_.read_file("file"), content_) << "does not heal";
  }

  static constexpr std::size_t kRecord = 4096 + 36;
  TestVault vault_;
  const std::string content_ = pattern(5 * 4096 + 100, 5);
};

TEST_F(TamperTest, OneFile) {
  ASSERT_TRUE(vault_.write_file("file", pattern(content_.size(), 4)));
  const std::string old = slurp(vault_.below("file"));
  // The same length rewritten in place, under the same file id.
  auto opened = vault_.fs().open_file(vault_.lookup("file")->id, O_RDWR, false);
  ASSERT_TRUE(vault_.fs().write(opened->handle, 0, base::as_bytes(content_), {}));
  ASSERT_TRUE(vault_.fs().flush(opened->handle));
  vault_.fs().release(opened->handle);
  ASSERT_TRUE(vault_.fs().sync());  // from the journal into the file

  damage("cut to nothing", [](std::string& s) { s.clear(); });
  damage("cut inside the header", [](std::string& s) { s.resize(100); });
  damage("cut to the header", [](std::string& s) { s.resize(512); });
  damage("cut at a chunk border", [](std::string& s) { s.resize(512 + 2 * kRecord); });
  damage("cut inside a chunk", [](std::string& s) { s.resize(512 + 2 * kRecord + 77); });
  damage("one byte longer", [](std::string& s) { s.push_back('x'); });
  damage("a doubled chunk at the end", [](std::string& s) { s += s.substr(512, kRecord); });
  damage("two chunks swapped", [](std::string& s) {
    std::string first = s.substr(512, kRecord);
    s.replace(512, kRecord, s.substr(512 + kRecord, kRecord));
    s.replace(512 + kRecord, kRecord, first);
  });
  damage("a chunk doubled over another",
         [](std::string& s) { s.replace(512, kRecord, s.substr(512 + kRecord, kRecord)); });
  damage("a chunk zeroed", [](std::string& s) { s.replace(512 + kRecord, kRecord, kRecord, '\0'); });
  damage("all chunks zeroed", [](std::string& s) { s.replace(512, s.size() - 512, s.size() - 512, '\0'); });
  damage("the header zeroed", [](std::string& s) { s.replace(0, 512, 512, '\0'); });
  damage("an older chunk",
         [&](std::string& s) { s.replace(512 + kRecord, kRecord, old.substr(512 + kRecord, kRecord)); });
  damage("an older header", [&](std::string& s) { s.replace(0, 512, old.substr(0, 512)); });
  damage("an older tail",
         [&](std::string& s) { s.replace(512 + 3 * kRecord, std::string::npos, old.substr(512 + 3 * kRecord)); });
}

TEST_F(TamperTest, EveryByteOfTheFileFlipped) {
  ASSERT_TRUE(vault_.write_file("file", content_));
  const std::string below = vault_.below("file");
  const std::string intact = slurp(below);
  for (std::size_t at = 0; at < intact.size(); at += at < 1200 ? 1 : 97) {
    std::string changed = intact;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    spit(below, changed);
    ASSERT_TRUE(reads_as_damaged("file", content_)) << "byte " << at;
  }
}

TEST_F(TamperTest, PartsOfAnotherFile) {
  ASSERT_TRUE(vault_.write_file("file", content_));
  ASSERT_TRUE(vault_.write_file("other", pattern(content_.size(), 9)));
  const std::string other = slurp(vault_.below("other"));
  damage("its header", [&](std::string& s) { s.replace(0, 512, other.substr(0, 512)); });
  damage("its chunk", [&](std::string& s) { s.replace(512, kRecord, other.substr(512, kRecord)); });
  damage("all its chunks", [&](std::string& s) { s.replace(512, std::string::npos, other.substr(512)); });
}

TEST_F(TamperTest, AWholeFileInAnothersPlaceIsReported) {
  ASSERT_TRUE(vault_.write_file("file", content_));
  ASSERT_TRUE(vault_.write_file("other", "other"));
  ASSERT_TRUE(vault_.fs().sync());
  const std::string file = vault_.below("file");
  const std::string other = vault_.below("other");
  std::filesystem::rename(file, file + "x");
  std::filesystem::rename(other, file);
  std::filesystem::rename(file + "x", other);
  vault_.remount();
  EXPECT_EQ(*vault_.read_file("file"), "other");
  EXPECT_EQ(vault_.fs().status().files_moved, 1U);
}

TEST(Strict, AFileInAnothersPlaceIsAnError) {
  TestVault vault({.strict = true});
  ASSERT_TRUE(vault.write_file("a", "a"));
  ASSERT_TRUE(vault.write_file("b", "b"));
  ASSERT_TRUE(vault.rename("b", "c"));  // ours: explained
  std::filesystem::rename(vault.below("a"), vault.folder() + "/x");
  std::string c = vault.below("c");
  vault.remount();
  EXPECT_EQ(*vault.read_file("c"), "b");
  std::filesystem::rename(vault.folder() + "/x", c);
  vault.remount();
  EXPECT_EQ(vault.read_file("c").error(), base::Errno(EIO));
}

// A header has room for one name: the others are served because that one is there, and is the same file.
TEST(Strict, AFileOfSeveralNamesMustHaveTheOneInItsHeader) {
  TestVault vault({.strict = true});
  ASSERT_TRUE(vault.mkdir("dir"));
  ASSERT_TRUE(vault.write_file("first", "text"));
  const fs::InodeId first = vault.lookup("first")->id;
  ASSERT_TRUE(vault.fs().link(first, vault.parent_of("second"), "second"));
  ASSERT_TRUE(vault.fs().link(first, vault.parent_of("dir/third"), "third"));
  ASSERT_TRUE(vault.write_file("victim", "other"));
  vault.remount();
  for (const char* name : {"dir/third", "second", "first"}) {
    auto content = vault.read_file(name);
    ASSERT_TRUE(content) << name;
    EXPECT_EQ(*content, "text");
    vault.remount();
  }
  // One link in the place of another file, the other of this folder gone: which of them was the first does not matter.
  const std::string victim = vault.below("victim");
  std::filesystem::remove(victim);
  vault.lock();
  std::size_t moved = 0;
  std::vector<std::filesystem::path> links;
  for (const auto& entry : std::filesystem::directory_iterator(vault.folder())) {
    if (entry.is_regular_file() && entry.hard_link_count() == 3) links.push_back(entry.path());
  }
  ASSERT_EQ(links.size(), 2U);
  for (const auto& link : links) {
    std::filesystem::rename(link, moved++ == 0 ? victim : link.string() + ".gone");
  }
  vault.mount();
  EXPECT_EQ(vault.read_file("victim").error(), base::Errno(EIO));
}

// A target that an attacker chose as content, or content as a target.
TEST_F(TamperTest, AnotherKindUnderAFilesNameIsAnError) {
  const fs::Caller caller = TestVault::caller();
  ASSERT_TRUE(vault_.write_file("file", "/somewhere/else"));
  ASSERT_TRUE(vault_.fs().symlink(fs::kRootInode, "link", "target", caller));
  ASSERT_TRUE(vault_.fs().mknod(fs::kRootInode, "pipe", S_IFIFO | 0600, 0, caller));
  ASSERT_TRUE(vault_.fs().sync());
  const std::string file = vault_.below("file"), link = vault_.below("link"), pipe = vault_.below("pipe");
  const std::string content_of_file = slurp(file), content_of_link = slurp(link), content_of_pipe = slurp(pipe);
  spit(file, content_of_link);
  spit(link, content_of_file);
  spit(pipe, content_of_link);
  vault_.remount();
  EXPECT_EQ(vault_.read_file("file").error(), base::Errno(EIO));
  EXPECT_EQ(vault_.fs().status().integrity_events, 1U);
  EXPECT_EQ(vault_.fs().status().files_moved, 0U);
  EXPECT_EQ(vault_.fs().readlink(vault_.lookup("link")->id).error(), base::Errno(EIO));
  EXPECT_EQ(vault_.fs().status().integrity_events, 2U);
  EXPECT_EQ(vault_.lookup("pipe").error(), base::Errno(EIO));
  spit(file, content_of_pipe);
  vault_.remount();
  EXPECT_EQ(vault_.read_file("file").error(), base::Errno(EIO));
  // Also while it is open, and it can be replaced as any unreadable file.
  spit(file, content_of_file);
  vault_.remount();
  auto opened = vault_.fs().open_file(vault_.lookup("file")->id, O_RDONLY, false);
  ASSERT_TRUE(opened);
  spit(file, content_of_link);
  EXPECT_EQ(vault_.read_file("file").error(), base::Errno(EIO));
  vault_.fs().release(opened->handle);
  ASSERT_TRUE(vault_.write_file("file", "new"));
  vault_.remount();
  EXPECT_EQ(*vault_.read_file("file"), "new");
}

TEST_F(TamperTest, AHardLinkUnderANameOfAnotherKindIsAnError) {
  ASSERT_TRUE(vault_.write_file("file", "/somewhere/else"));
  ASSERT_TRUE(vault_.fs().symlink(fs::kRootInode, "link", "target", TestVault::caller()));
  const std::string file = vault_.below("file"), link = vault_.below("link");
  std::filesystem::remove(link);
  std::filesystem::create_hard_link(file, link);
  vault_.remount();
  EXPECT_EQ(*vault_.read_file("file"), "/somewhere/else");
  EXPECT_EQ(vault_.lookup("link").error(), base::Errno(EIO));
  EXPECT_EQ(vault_.fs().status().integrity_events, 1U);
  EXPECT_EQ(vault_.list(""), (std::vector<std::string>{"file", "link"}));
}

TEST(Strict, HardLinksOfOursAreExplainedWhicheverNameIsLeft) {
  TestVault vault({.strict = true});
  ASSERT_TRUE(vault.write_file("a", "content"));
  ASSERT_TRUE(vault.fs().sync());  // the header settles: it says a
  ASSERT_TRUE(vault.fs().link(vault.lookup("a")->id, fs::kRootInode, "b"));
  vault.remount();
  ASSERT_TRUE(vault.unlink("a"));
  vault.remount();
  auto content = vault.read_file("b");
  ASSERT_TRUE(content) << content.error().code();
  EXPECT_EQ(*content, "content");
  // The header may follow a later name, which then goes.
  ASSERT_TRUE(vault.fs().link(vault.lookup("b")->id, fs::kRootInode, "c"));
  vault.remount();
  ASSERT_TRUE(vault.write_file("c", "written as c"));
  ASSERT_TRUE(vault.fs().sync());
  vault.remount();
  ASSERT_TRUE(vault.unlink("c"));
  vault.remount();
  content = vault.read_file("b");
  ASSERT_TRUE(content) << content.error().code();
  EXPECT_EQ(*content, "written as c");
  EXPECT_EQ(vault.fs().status().files_moved, 0U);
}

TEST(Strict, PlacesThatAFileLeftExplainNothing) {
  TestVault vault({.strict = true});
  ASSERT_TRUE(vault.write_file("a", "content"));
  ASSERT_TRUE(vault.fs().sync());
  ASSERT_TRUE(vault.rename("a", "b"));
  const std::string b = vault.below("b");
  ASSERT_TRUE(vault.rename("b", "c"));
  ASSERT_TRUE(vault.fs().link(vault.lookup("c")->id, fs::kRootInode, "d"));
  const std::string c = vault.below("c");
  std::string d = c;
  for (const auto& entry : std::filesystem::directory_iterator(vault.folder())) {
    if (entry.path() != c) d = entry.path();
  }
  ASSERT_NE(c, d);
  ASSERT_TRUE(vault.unlink("d"));
  std::string at = vault.below("c");
  const std::string gone = at == c ? d : c;
  for (const std::string& place : {b, gone}) {
    std::filesystem::rename(at, place);
    at = place;
    vault.remount();
    EXPECT_FALSE(vault.read_file(vault.list("").front()));
  }
}

TEST_F(TamperTest, AnUnreadableFileCanBeReplacedByARewrite) {
  ASSERT_TRUE(vault_.write_file("file", content_));
  spit(vault_.below("file"), "");
  vault_.remount();
  EXPECT_EQ(vault_.read_file("file").error(), base::Errno(EIO));
  ASSERT_TRUE(vault_.write_file("file", "new"));
  vault_.remount();
  EXPECT_EQ(*vault_.read_file("file"), "new");
}

TEST_F(TamperTest, AWriteToADamagedFileIsRefused) {
  ASSERT_TRUE(vault_.write_file("file", content_));
  const std::string below = vault_.below("file");
  std::string changed = slurp(below);
  changed.replace(512 + kRecord, kRecord, kRecord, '\0');
  spit(below, changed);
  vault_.remount();
  auto opened = vault_.fs().open_file(vault_.lookup("file")->id, O_RDWR, false);
  ASSERT_TRUE(opened);
  EXPECT_EQ(vault_.fs().write(opened->handle, 0, base::as_bytes("x"), {}).error(), base::Errno(EIO));
  vault_.fs().release(opened->handle);
  EXPECT_EQ(slurp(below), changed);
}

TEST_F(TamperTest, ALinkInTheVaultIsNeverFollowed) {
  ASSERT_TRUE(vault_.write_file("file", content_));
  ASSERT_TRUE(vault_.mkdir("dir"));
  const std::string file = vault_.below("file");
  const std::string dir = vault_.below("dir");
  std::filesystem::remove(file);
  std::filesystem::create_symlink("/etc/passwd", file);
  std::filesystem::remove(dir);
  std::filesystem::create_directory_symlink("/etc", dir);
  vault_.remount();
  EXPECT_EQ(vault_.lookup("file").error(), base::Errno(ENOENT));
  EXPECT_EQ(vault_.lookup("dir").error(), base::Errno(ENOENT));
  EXPECT_TRUE(vault_.list("").empty());
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(vault_.lookup("file"));
  EXPECT_EQ(vault_.fs().status().names_unreadable, 2U);  // told once each
}

TEST_F(TamperTest, EntriesOfAnotherDirectoryAreNotShown) {
  ASSERT_TRUE(vault_.mkdir("private"));
  ASSERT_TRUE(vault_.write_file("private/secret", "s"));
  ASSERT_TRUE(vault_.mkdir("public"));
  const std::string from = vault_.below("private/secret");
  std::filesystem::rename(from, vault_.below("public") + "/" + TestVault::name_of(from));
  vault_.remount();
  EXPECT_TRUE(vault_.list("public").empty());
  EXPECT_EQ(vault_.fs().status().names_unreadable, 1U);
}

}  // namespace
}  // namespace coffer
