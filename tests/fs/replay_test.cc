// What the crash journal does when the vault is not the one that it was written for, or not as it was left: copied,
// taken elsewhere, changed by another machine, or local state brought back from a backup. Power cuts are tests/crash.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>

#include "fs/journal_replay.h"
#include "tests/support/test_vault.h"

namespace coffer::fs {
namespace {

namespace stdfs = std::filesystem;

// Ends the process, as kill -9 would, at the given write to a file that has a header: not to a segment of the journal.
class Deadly : public Backing {
 public:
  explicit Deadly(int writes_left) : left_(writes_left) {}
  Status pwritev(FdRef fd, std::vector<iovec> parts, std::uint64_t offset) override {
    std::string path = stdfs::read_symlink("/proc/self/fd/" + std::to_string(fd.get()));
    if (path.find("journal") == std::string::npos && left_-- == 0) ::_exit(kKilled);
    return Backing::pwritev(fd, std::move(parts), offset);
  }
  static constexpr int kKilled = 9;

 private:
  int left_;
};

void copy_folder(const std::string& from, const std::string& to) {
  for (const auto& entry : stdfs::directory_iterator(to)) stdfs::remove_all(entry.path());
  stdfs::copy(from, to, stdfs::copy_options::recursive);
}

std::string read_below(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Into the same inode.
void write_below(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

class ReplayTest : public testing::Test {
 protected:
  static constexpr std::size_t kSize = 100'000;
  const std::string old_ = std::string(kSize, 'o');
  const std::string new_ = std::string(kSize, 'n');

  void SetUp() override {
    ASSERT_TRUE(vault_.write_file("file", old_));
    ASSERT_TRUE(vault_.write_file("other", "untouched"));
    file_ = vault_.below("file");
    vault_.lock();
  }
  void TearDown() override {
    if (mounted_) vault_.lock();
  }
  void mount() {
    vault_.mount();
    mounted_ = true;
  }
  void lock() {
    vault_.lock();
    mounted_ = false;
  }
  // A mount that dies when `work` is done, or at a write before. Closed files are written out; only the settler, two
  // seconds later, or drain() would apply that. Whether it came to its end.
  template <class Work>
  bool mount_and_die(Work work, int writes_left = -1) {
    const pid_t child = ::fork();
    if (child == 0) {
      vault_.mount(std::make_unique<Deadly>(writes_left));
      work();
      ::_exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_TRUE(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == Deadly::kKilled) << WEXITSTATUS(status);
    return WEXITSTATUS(status) == 0;
  }
  // In place, in pieces that are no neighbours below; the same length.
  void change(const std::string& content) {
    auto attr = vault_.lookup("file");
    ASSERT_TRUE(attr);
    auto opened = vault_.fs().open_file(attr->id, O_RDWR, false);
    ASSERT_TRUE(opened);
    constexpr std::size_t kChunk = crypto::kDefaultChunkSize;
    for (std::size_t at = 0; at < content.size(); at += 2 * kChunk) {
      const base::ByteView piece = base::as_bytes(content).subspan(at, std::min(kChunk, content.size() - at));
      EXPECT_TRUE(vault_.fs().write(opened->handle, at, piece, {}));
    }
    EXPECT_TRUE(vault_.fs().flush(opened->handle));
    vault_.fs().release(opened->handle);
  }
  // What change() makes of the old content.
  std::string changed(char to) const {
    constexpr std::size_t kChunk = crypto::kDefaultChunkSize;
    std::string content = old_;
    for (std::size_t at = 0; at < kSize; at += 2 * kChunk) content.replace(at, kChunk, kChunk, to);
    content.resize(kSize);
    return content;
  }
  // The ciphertext after a mount of another machine's has changed it; here it is as before.
  std::string changed_elsewhere(char to) {
    const std::string before = read_below(file_);
    vault_.forget_state();
    vault_.mount();
    change(std::string(kSize, to));
    vault_.lock();
    std::string after = read_below(file_);
    write_below(file_, before);
    vault_.forget_state();
    return after;
  }
  std::string read(const std::string& path) {
    auto content = vault_.read_file(path);
    return content ? *content : content.error() == Errno(EIO) ? "EIO" : "another error";
  }
  int set_aside() {
    int count = 0;
    for (const auto& entry : stdfs::directory_iterator(vault_.state_folder()))
      count += entry.path().filename().string().find(".aside-") != std::string::npos;
    return count;
  }

  test::TestVault vault_;
  std::string file_;  // the ciphertext file of "file"
  bool mounted_ = false;
};

TEST_F(ReplayTest, FinishesWhatADeadMountHadWrittenOut) {
  const std::string before = read_below(file_);
  mount_and_die([&] { change(new_); });
  EXPECT_EQ(read_below(file_), before) << "nothing is left to be replayed";
  mount();
  EXPECT_EQ(read("file"), changed('n'));
  EXPECT_EQ(set_aside(), 0);
  EXPECT_EQ(read("other"), "untouched");
  EXPECT_EQ(vault_.fs().status().changes_set_aside, 0U);
}

TEST_F(ReplayTest, ACopyMadeMeanwhileIsAsBeforeAndTheOriginalFinished) {
  mount_and_die([&] { change(new_); });
  test::TestVault copy(vault_);
  copy_folder(vault_.folder(), copy.folder());
  copy.mount();
  EXPECT_EQ(*copy.read_file("file"), old_);
  EXPECT_EQ(*copy.read_file("other"), "untouched");
  copy.lock();
  mount();
  EXPECT_EQ(read("file"), changed('n'));
}

// Dead at each of the writes that put the journal's content into the file. Taken elsewhere then: without the journal.
TEST_F(ReplayTest, WithoutItsJournalAFileIsOldOrNewOrSaysThatItIsNot) {
  const std::string before = read_below(file_);
  int unreadable = 0;
  for (int writes = 0;; ++writes) {
    SCOPED_TRACE(writes);
    ASSERT_LT(writes, 100);
    write_below(file_, before);
    vault_.forget_state();
    const bool came_to_its_end = mount_and_die(
        [&] {
          change(new_);
          vault_.lock();
        },
        writes);
    test::TestVault elsewhere(vault_);
    copy_folder(vault_.folder(), elsewhere.folder());
    elsewhere.mount();
    auto content = elsewhere.read_file("file");
    if (content) {
      EXPECT_TRUE(*content == old_ || *content == changed('n'));
    } else {
      EXPECT_EQ(content.error(), Errno(EIO));
      ++unreadable;
    }
    EXPECT_EQ(*elsewhere.read_file("other"), "untouched");
    elsewhere.lock();
    mount();
    const std::string here = read("file");
    EXPECT_TRUE(here == old_ || here == changed('n'));
    lock();
    if (came_to_its_end) break;
  }
  EXPECT_GT(unreadable, 0) << "no write was cut amid: the test tests nothing";
}

// Everything in the vault has been put back from a copy: other files, for the kernel.
TEST_F(ReplayTest, FilesThatWereReplacedKeepWhatTheyAreAndTheJournalIsKept) {
  mount_and_die([&] { change(new_); });
  test::TestVault copy(vault_);
  copy_folder(vault_.folder(), copy.folder());
  copy_folder(copy.folder(), vault_.folder());
  mount();
  EXPECT_EQ(read("file"), old_);
  EXPECT_GT(set_aside(), 0);
}

TEST_F(ReplayTest, AVersionThatCameMeanwhileStays) {
  const std::string theirs = changed_elsewhere('t');
  mount_and_die([&] { change(new_); });
  write_below(file_, theirs);  // of the same number as ours
  mount();
  EXPECT_EQ(read("file"), changed('t'));
  EXPECT_GT(set_aside(), 0);
  EXPECT_EQ(vault_.fs().status().changes_set_aside, 1U);
}

TEST_F(ReplayTest, AnotherVersionThanTheOneThatWasChangedStays) {
  const std::string theirs = changed_elsewhere('t');
  vault_.mount();
  change(std::string(kSize, 'm'));
  vault_.lock();
  mount_and_die([&] { change(new_); });
  write_below(file_, theirs);  // of the same number as the one that ours began with
  mount();
  EXPECT_EQ(read("file"), changed('t'));
  EXPECT_GT(set_aside(), 0);
}

TEST_F(ReplayTest, LocalStateFromABackupBringsNothingOldBack) {
  mount_and_die([&] { change(new_); });
  test::TempDir backup;
  copy_folder(vault_.state_folder(), backup.path());
  vault_.mount();
  change(std::string(kSize, 'l'));
  vault_.lock();
  copy_folder(backup.path(), vault_.state_folder());
  mount();
  EXPECT_EQ(read("file"), changed('l'));
  lock();
  // And after the file was removed and another made in its place.
  vault_.mount();
  ASSERT_TRUE(vault_.unlink("file"));
  ASSERT_TRUE(vault_.write_file("file", "another"));
  vault_.lock();
  copy_folder(backup.path(), vault_.state_folder());
  mount();
  EXPECT_EQ(read("file"), "another");
}

// Clouds and people copy over files in place.
TEST_F(ReplayTest, AnOlderStateOfTheFileItselfIsNotCompletedWithNewerPieces) {
  const std::string first = read_below(file_);
  vault_.mount();
  change(std::string(kSize, 'm'));
  vault_.lock();
  mount_and_die([&] { change(new_); });
  write_below(file_, first);
  mount();
  EXPECT_EQ(read("file"), old_);
  EXPECT_GT(set_aside(), 0);
}

}  // namespace
}  // namespace coffer::fs
