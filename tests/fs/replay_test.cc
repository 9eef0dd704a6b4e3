// What the crash journal does when the vault is not the one that it was written for, or not as it was left: copied,
// taken elsewhere, changed by another machine, or local state brought back from a backup. Power cuts are tests/crash.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>

#include "fs/journal_replay.h"
#include "tests/support/hooked_backing.h"
#include "tests/support/test_vault.h"

namespace coffer::fs {
namespace {

namespace stdfs = std::filesystem;

constexpr int kKilled = 9;

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
      auto hooks = std::make_shared<test::BackingHooks>();
      hooks->write = [&](const std::string& path, std::uint64_t) {
        if (!test::is_journal(path) && writes_left-- == 0) ::_exit(kKilled);
        return base::ok();
      };
      vault_.mount(std::make_unique<test::HookedBacking>(std::move(hooks)));
      work();
      ::_exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_TRUE(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == kKilled) << WEXITSTATUS(status);
    return WEXITSTATUS(status) == 0;
  }
  void move_into_folder() {
    vault_.mount();
    ASSERT_TRUE(vault_.mkdir("folder"));
    ASSERT_TRUE(vault_.rename("file", "folder/file"));
    name_ = "folder/file";
    vault_.lock();
  }
  // In place, in pieces that are no neighbours below; the same length.
  void change(const std::string& content) {
    auto attr = vault_.lookup(name_);
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

  test::TestVault vault_{test::VaultOptions{.settles_by_hand = true}};
  std::string name_ = "file";
  std::string file_;  // its ciphertext file
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

// What had been applied waits for the disk only: nobody needs to hear of it when the file is another's work by now.
TEST_F(ReplayTest, WhatWasAppliedIsNotMissedWhenAnotherVersionCame) {
  const std::string theirs = changed_elsewhere('t');
  mount_and_die([&] {
    change(new_);
    vault_.fs().settle_by_hand(std::chrono::seconds(3));
  });
  write_below(file_, theirs);
  mount();
  EXPECT_EQ(read("file"), changed('t'));
  EXPECT_EQ(vault_.fs().status().changes_set_aside, 0U);
}

TEST_F(ReplayTest, FilesAreFoundWhereTheFileSystemTellsNoTypes) {
  ASSERT_NO_FATAL_FAILURE(move_into_folder());
  mount_and_die([&] { change(new_); });
  auto hooks = std::make_shared<test::BackingHooks>();
  hooks->listed = [](std::vector<base::sys::DirEntry>& entries) {
    for (base::sys::DirEntry& entry : entries) entry.type = DT_UNKNOWN;
  };
  vault_.mount(std::make_unique<test::HookedBacking>(hooks));
  mounted_ = true;
  EXPECT_EQ(read("folder/file"), changed('n'));
}

TEST_F(ReplayTest, AFolderThatCannotBeOpenedNowIsNotTakenForGone) {
  ASSERT_NO_FATAL_FAILURE(move_into_folder());
  mount_and_die([&] { change(new_); });
  auto hooks = std::make_shared<test::BackingHooks>();
  hooks->open = [&](const std::string& name, int flags) {
    const bool is_folder = (flags & O_DIRECTORY) != 0 && name != ".";
    return is_folder ? Status(Errno(EMFILE)) : base::ok();
  };
  EXPECT_EQ(vault_.try_mount(std::make_unique<test::HookedBacking>(hooks)).error(), Errno(EMFILE));
  mount();
  EXPECT_EQ(read("folder/file"), changed('n'));
  EXPECT_EQ(set_aside(), 0);
}

// Trouble with one file keeps nobody from the others.
TEST_F(ReplayTest, AFileThatCannotBeCompletedIsSetAsideAndTheRestMounted) {
  mount_and_die([&] { change(new_); });
  auto hooks = std::make_shared<test::BackingHooks>();
  hooks->write = [&](const std::string& path, std::uint64_t) {
    return path == file_ ? Status(Errno(EIO)) : base::ok();
  };
  ASSERT_TRUE(vault_.try_mount(std::make_unique<test::HookedBacking>(hooks)));
  mounted_ = true;
  EXPECT_EQ(read("other"), "untouched");
  EXPECT_EQ(vault_.fs().status().changes_set_aside, 1U);
  EXPECT_GT(set_aside(), 0);
}

// Neither the state before nor any after: what was to be done is not thrown away without a word.
TEST_F(ReplayTest, ChangesToAFileThatIsDamagedNowAreSetAside) {
  mount_and_die([&] { change(new_); });
  std::string bytes = read_below(file_);
  bytes[bytes.size() / 2 + crypto::kDefaultChunkSize / 2 - 1] ^= 1;
  const std::size_t untouched = crypto::kHeaderSize + 2 * crypto::kDefaultChunkSize;  // the end of the second record
  for (std::size_t i = untouched; i < untouched + 64; ++i) bytes[i] ^= 1;
  write_below(file_, bytes);
  mount();
  EXPECT_EQ(read("file"), "EIO");
  EXPECT_EQ(vault_.fs().status().changes_set_aside, 1U);
}

TEST_F(ReplayTest, AnUnreadableFileThatWasBeingReplacedIsEmpty) {
  write_below(file_, std::string(5000, 'x'));
  mount_and_die(
      [&] { EXPECT_TRUE(vault_.fs().create(kRootInode, "file", 0644, O_RDWR | O_TRUNC, test::TestVault::caller())); });
  mount();
  EXPECT_EQ(read("file"), "");
}

}  // namespace
}  // namespace coffer::fs
