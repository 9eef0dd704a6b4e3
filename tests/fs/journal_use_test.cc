// The mount's dealings with its journal: what goes in comes out again, and what fails on the way is not forgotten.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "fs/journal_format.h"
#include "tests/support/hooked_backing.h"
#include "tests/support/test_vault.h"

namespace coffer::fs {
namespace {

namespace stdfs = std::filesystem;
using std::chrono::seconds;
using test::is_journal;

class JournalUseTest : public testing::Test {
 protected:
  static constexpr std::size_t kSize = 50'000;

  ~JournalUseTest() override {
    *hooks_ = {};
    if (vault_.mounted()) static_cast<void>(vault_.fs().shutdown());
  }
  void SetUp() override { remount(); }
  void remount() {
    vault_.lock();
    vault_.mount(std::make_unique<test::HookedBacking>(hooks_));
  }
  HandleId open(const std::string& path) {
    auto attr = vault_.lookup(path);
    EXPECT_TRUE(attr);
    auto opened = vault_.fs().open_file(attr->id, O_RDWR, false);
    EXPECT_TRUE(opened);
    return opened->handle;
  }
  Status write(HandleId handle, std::uint64_t offset, std::string_view data) {
    auto written = vault_.fs().write(handle, offset, base::as_bytes(data), {});
    if (!written) return written.error();
    return vault_.fs().flush(handle);
  }
  std::string read(HandleId handle) {
    std::string content(kSize + 1, '\0');
    auto got = vault_.fs().read(handle, 0, {reinterpret_cast<base::Byte*>(content.data()), content.size()});
    if (!got) return "error";
    content.resize(*got);
    return content;
  }
  // As time goes by: written out, applied, synced.
  void settle() {
    for (const seconds later : {seconds(3), seconds(15), seconds(30)}) vault_.fs().settle_by_hand(later);
  }
  std::size_t entries_left() {
    std::size_t count = 0;
    Backing backing;
    for (int number = 0; number < kJournalSegments; ++number) {
      const std::string path = vault_.state_folder() + "/" + journal_segment_name(number);
      UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
      auto entries = read_journal_segment(backing, fd, number);
      EXPECT_TRUE(entries);
      for (const JournalEntry& entry : *entries) count += entry.head.kind != JournalKind::kReset;
    }
    return count;
  }

  std::shared_ptr<test::BackingHooks> hooks_ = std::make_shared<test::BackingHooks>();
  test::TestVault vault_{
      test::VaultOptions{.hooks = {.drop_inode = [](InodeId) {}, .drop_entry = [](InodeId, std::string_view) {}},
                         .watch_delay = std::chrono::milliseconds(1),
                         .settles_by_hand = true}};
  const std::string old_ = std::string(kSize, 'o');
  const std::string new_ = std::string(kSize, 'n');
};

TEST_F(JournalUseTest, AnOverwriteGoesInAndComesOut) {
  ASSERT_TRUE(vault_.write_file("file", old_));
  settle();
  ASSERT_EQ(entries_left(), 0U);
  const HandleId file = open("file");
  ASSERT_TRUE(write(file, 0, new_));
  EXPECT_GT(entries_left(), 0U);
  settle();
  EXPECT_EQ(entries_left(), 0U);
  EXPECT_EQ(read(file), new_);
  vault_.fs().release(file);
}

// A temporary file, as many programs make it.
TEST_F(JournalUseTest, ANewFileThatIsUnlinkedAndHeldOpenLeavesNothingInIt) {
  auto made = vault_.fs().create(kRootInode, "temporary", 0600, O_RDWR, test::TestVault::caller());
  ASSERT_TRUE(made);
  ASSERT_TRUE(vault_.unlink("temporary"));
  ASSERT_TRUE(write(made->opened.handle, 0, new_));
  settle();
  EXPECT_EQ(entries_left(), 0U);
  EXPECT_EQ(read(made->opened.handle), new_);
  vault_.fs().release(made->opened.handle);
}

TEST_F(JournalUseTest, AChangedFileThatIsUnlinkedAndHeldOpenLeavesNothingInIt) {
  ASSERT_TRUE(vault_.write_file("file", old_));
  settle();
  const HandleId file = open("file");
  ASSERT_TRUE(write(file, 0, std::string_view(new_).substr(0, 20'000)));
  ASSERT_TRUE(vault_.unlink("file"));
  ASSERT_TRUE(write(file, 20'000, std::string_view(new_).substr(20'000)));
  settle();
  EXPECT_EQ(entries_left(), 0U);
  EXPECT_EQ(read(file), new_);
  ASSERT_TRUE(write(file, 0, old_));  // from here on without
  settle();
  EXPECT_EQ(entries_left(), 0U);
  EXPECT_EQ(read(file), old_);
  EXPECT_EQ(vault_.fs().status().dirty_files, 0U);
  vault_.fs().release(file);
}

// Closed and unlinked, but known to the kernel (an open directory entry, /proc/PID/fd): opened once more.
TEST_F(JournalUseTest, AnUnlinkedFileThatIsOpenedAgainHasWhatWasWritten) {
  ASSERT_TRUE(vault_.write_file("file", old_));
  settle();
  auto attr = vault_.lookup("file");
  ASSERT_TRUE(attr);
  HandleId file = open("file");
  ASSERT_TRUE(write(file, 0, new_));
  ASSERT_TRUE(vault_.unlink("file"));
  vault_.fs().release(file);
  settle();
  EXPECT_EQ(entries_left(), 0U);
  auto opened = vault_.fs().open_file(attr->id, O_RDONLY, false);
  ASSERT_TRUE(opened);
  EXPECT_EQ(read(opened->handle), new_);
  vault_.fs().release(opened->handle);
}

TEST_F(JournalUseTest, AFileThatSomebodyElseChangesIsNotWaitedFor) {
  ASSERT_TRUE(vault_.write_file("file", old_));
  settle();
  const HandleId file = open("file");
  ASSERT_TRUE(write(file, 0, new_));
  vault_.fs().release(file);
  ASSERT_EQ(std::system(("printf theirs >> '" + vault_.below("file") + "'").c_str()), 0);  // not this process
  const auto until = std::chrono::steady_clock::now() + seconds(15);
  while (vault_.fs().status().recent_events.empty() && std::chrono::steady_clock::now() < until) ::usleep(1000);
  ASSERT_FALSE(vault_.fs().status().recent_events.empty());
  settle();
  EXPECT_EQ(entries_left(), 0U);
  EXPECT_EQ(vault_.fs().status().dirty_files, 0U);
  EXPECT_TRUE(vault_.fs().sync());
}

TEST_F(JournalUseTest, AfterAFailedSyncNothingIsForgotten) {
  ASSERT_TRUE(vault_.write_file("file", old_));
  settle();
  const HandleId file = open("file");
  ASSERT_TRUE(write(file, 0, new_));
  hooks_->syncfs = [failed = false]() mutable { return std::exchange(failed, true) ? base::ok() : Status(Errno(EIO)); };
  settle();
  settle();
  EXPECT_GT(entries_left(), 0U) << "the kernel tells of a failure once, and what it lost is only here";
  vault_.fs().release(file);
  vault_.lock();
  vault_.mount();
  EXPECT_EQ(*vault_.read_file("file"), new_);
}

TEST_F(JournalUseTest, WhatReachedTheFileAndNotItsDiskIsNotCountedByALaterHeader) {
  ASSERT_TRUE(vault_.write_file("file", old_));
  settle();
  const std::string below = vault_.below("file");
  const HandleId file = open("file");
  ASSERT_TRUE(write(file, kSize, std::string(300'000, 'b')));  // records behind the end: not through the journal
  int failed = 0;
  hooks_->flush = [&](const std::string& path) {
    return path == below && failed++ == 0 ? Status(Errno(EIO)) : base::ok();
  };
  vault_.fs().release(file);
  settle();
  settle();
  EXPECT_GT(failed, 0);
  EXPECT_GT(entries_left(), 0U);
  EXPECT_FALSE(vault_.fs().sync());
}

TEST_F(JournalUseTest, AttributesAreFlushedOnceAndNotWithEveryFsyncFromThenOn) {
  ASSERT_TRUE(vault_.write_file("file", old_));
  settle();
  const HandleId file = open("file");
  AttrChange mode;
  mode.mode = 0600;
  ASSERT_TRUE(vault_.fs().setattr(vault_.lookup("file")->id, mode));
  int flushes = 0;
  hooks_->flush = [&](const std::string& path) {
    flushes += !is_journal(path);
    return base::ok();
  };
  ASSERT_TRUE(vault_.fs().fsync(file, false));
  EXPECT_EQ(flushes, 1);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(write(file, 0, "x"));
    ASSERT_TRUE(vault_.fs().fsync(file, false));
  }
  EXPECT_EQ(flushes, 1) << "these are in the journal";
  vault_.fs().release(file);
}

TEST_F(JournalUseTest, WhatWasThereBeforeTheMountIsNotTakenToBeOnTheDisk) {
  ASSERT_TRUE(vault_.write_file("file", old_));
  remount();
  int flushes = 0;
  hooks_->flush = [&](const std::string& path) {
    flushes += !is_journal(path);
    return base::ok();
  };
  const HandleId file = open("file");
  ASSERT_TRUE(write(file, 0, "x"));
  ASSERT_TRUE(vault_.fs().fsync(file, true));
  EXPECT_EQ(flushes, 1);
  vault_.fs().release(file);
}

// More is held than an entry of the journal can be long.
TEST(JournalUse, LargeChunksThatCouldNotBeStoredAreStoredLater) {
  auto hooks = std::make_shared<test::BackingHooks>();
  test::TestVault vault{test::VaultOptions{.chunk_size = 1 << 20, .settles_by_hand = true}};
  const std::string old(20 << 20, 'o');
  ASSERT_TRUE(vault.write_file("file", old));
  vault.lock();
  vault.mount(std::make_unique<test::HookedBacking>(hooks));
  auto attr = vault.lookup("file");
  ASSERT_TRUE(attr);
  auto opened = vault.fs().open_file(attr->id, O_RDWR, false);
  ASSERT_TRUE(opened);
  hooks->write = [](const std::string&, std::uint64_t) { return Status(Errno(EIO)); };
  const std::string piece(1 << 20, 'n');
  for (std::uint64_t at = 0; at < old.size(); at += piece.size())
    EXPECT_TRUE(vault.fs().write(opened->handle, at, base::as_bytes(piece), {.from_page_cache = true}));
  EXPECT_EQ(vault.fs().flush(opened->handle).error(), Errno(EIO));
  hooks->write = {};
  EXPECT_TRUE(vault.fs().flush(opened->handle));
  vault.fs().release(opened->handle);
  vault.lock();
  vault.mount();
  EXPECT_EQ(*vault.read_file("file"), std::string(old.size(), 'n'));
  vault.lock();
}

}  // namespace
}  // namespace coffer::fs
