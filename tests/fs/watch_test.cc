// What others change in the vault folder, in place of a kernel: what it is told to forget, and how long it may believe.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "fs/vault_watch.h"
#include "tests/support/test_vault.h"

namespace coffer::fs {
namespace {

namespace stdfs = std::filesystem;
using base::Errno;
using std::chrono::milliseconds;
using test::TestVault;
using test::VaultOptions;

// Remembers what it was told to forget.
class Kernel {
 public:
  KernelHooks hooks() {
    return {.drop_inode =
                [this](InodeId inode) {
                  base::MutexLock lock(mutex_);
                  inodes_.insert(inode);
                  ++calls_;
                  changed_.notify_all();
                },
            .drop_entry =
                [this](InodeId parent, std::string_view name) {
                  base::MutexLock lock(mutex_);
                  entries_.emplace(parent, std::string(name));
                  ++calls_;
                  changed_.notify_all();
                }};
  }
  bool forgets(InodeId parent, const std::string& name) {
    return happens([&]() REQUIRES(mutex_) { return entries_.count({parent, name}) != 0; });
  }
  bool forgets(InodeId inode) {
    return happens([&]() REQUIRES(mutex_) { return inodes_.count(inode) != 0; });
  }
  std::uint64_t calls() {
    base::MutexLock lock(mutex_);
    return calls_;
  }
  void clear() {
    base::MutexLock lock(mutex_);
    entries_.clear();
    inodes_.clear();
    calls_ = 0;
  }

 private:
  template <class Condition>
  bool happens(Condition condition) NO_THREAD_SAFETY_ANALYSIS {
    base::MutexLock lock(mutex_);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(15);
    while (!condition()) {
      if (changed_.wait_until(mutex_, until) == std::cv_status::timeout) return condition();
    }
    return true;
  }
  base::Mutex mutex_;
  base::CondVar changed_;
  std::set<std::pair<InodeId, std::string>> entries_ GUARDED_BY(mutex_);
  std::set<InodeId> inodes_ GUARDED_BY(mutex_);
  std::uint64_t calls_ GUARDED_BY(mutex_) = 0;
};

// By another process: events of this one are its own doing.
template <class Body>
void elsewhere(Body body) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    bool good = true;
    try {
      body();
    } catch (const std::exception&) {
      good = false;
    }
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
}

VaultOptions options(Kernel& kernel, milliseconds delay = milliseconds(20)) {
  VaultOptions options;
  options.hooks = kernel.hooks();
  options.watch_delay = delay;
  return options;
}

class Watch : public testing::Test {
 protected:
  void SetUp() override {
    if (!vault.fs().status().watched) GTEST_SKIP() << vault.fs().status().not_watched_because;
    dir = *vault.mkdir("d");
    ASSERT_TRUE(vault.write_file("d/file", "old"));
    file = *vault.lookup("d/file");
    below = vault.below("d/file");
    folder = vault.below("d");
    settle();
  }
  // What we did ourselves so far is behind us, and nobody was told.
  void settle() {
    ::usleep(150'000);
    EXPECT_EQ(kernel.calls(), 0U);
    kernel.clear();
  }

  Kernel kernel;
  TestVault vault{options(kernel)};
  Attr dir, file;
  std::string below, folder;
};

TEST_F(Watch, WhatIsWatchedIsBelievedForLong) {
  EXPECT_EQ(file.trust, kTrustWatched);
  EXPECT_EQ(file.name_trust, kTrustWatched);
  EXPECT_EQ(vault.lookup("d")->trust, kTrustWatched);
  EXPECT_EQ(vault.fs().getattr(file.id)->trust, kTrustWatched);
  EXPECT_EQ(vault.fs().absence_trust(dir.id), kTrustWatched);
  EXPECT_EQ(vault.fs().absence_trust(kRootInode), kTrustUnwatched);
  auto opened = vault.fs().open_directory(dir.id);
  EXPECT_TRUE(opened->keep_cache);
  vault.fs().release_directory(opened->handle);
}

TEST_F(Watch, AFileWithTwoNamesIsNotBelievedForLong) {
  ASSERT_TRUE(vault.fs().link(file.id, dir.id, "other"));
  EXPECT_EQ(vault.lookup("d/file")->trust, kTrustUnwatched);
  EXPECT_EQ(vault.lookup("d/other")->trust, kTrustUnwatched);
  ASSERT_TRUE(vault.unlink("d/other"));
  EXPECT_EQ(vault.lookup("d/file")->trust, kTrustWatched);
}

TEST_F(Watch, OwnChangesAreNobodysNews) {
  ASSERT_TRUE(vault.mkdir("d/sub"));
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(vault.write_file("d/sub/" + std::to_string(i), "content"));
  ASSERT_TRUE(vault.rename("d/sub", "moved"));
  ASSERT_TRUE(vault.rename("moved/7", "d/file"));
  for (int i = 8; i < 200; ++i) ASSERT_TRUE(vault.unlink("moved/" + std::to_string(i)));
  AttrChange change;
  change.mode = 0600;
  ASSERT_TRUE(vault.fs().setattr(vault.lookup("d/file")->id, change));
  ASSERT_TRUE(vault.fs().sync());
  settle();
}

TEST_F(Watch, TheKernelHearsOfAModeThatItAskedToBeCleared) {
  AttrChange change;
  change.mode = 04755;
  ASSERT_TRUE(vault.fs().setattr(file.id, change));
  settle();
  auto opened = vault.fs().open_file(file.id, O_RDWR, false);
  ASSERT_TRUE(
      vault.fs().write(opened->handle, 0, base::as_bytes("x"), {.from_page_cache = false, .kill_suidgid = true}));
  EXPECT_TRUE(kernel.forgets(file.id));
  EXPECT_EQ(vault.fs().getattr(file.id)->mode & 07777, 0755U);
  EXPECT_EQ(vault.fs().getattr(file.id)->trust, kTrustUnwatched);  // its blocks change and nobody tells
  vault.fs().release(opened->handle);
  EXPECT_EQ(vault.fs().getattr(file.id)->trust, kTrustWatched);
}

TEST_F(Watch, AFileEditedInPlaceIsAnotherInode) {
  ASSERT_TRUE(vault.write_file("d/longer", "new and longer"));
  const std::string source = vault.below("d/longer");
  settle();
  elsewhere([&] { stdfs::copy_file(source, below, stdfs::copy_options::overwrite_existing); });
  EXPECT_TRUE(kernel.forgets(dir.id, "file"));
  EXPECT_TRUE(kernel.forgets(file.id));
  auto now = vault.lookup("d/file");
  ASSERT_TRUE(now);
  EXPECT_NE(now->id, file.id);
  EXPECT_EQ(now->size, 14U);
  EXPECT_EQ(*vault.read_file("d/file"), "new and longer");
  // Who still asks for the old one is told to look again.
  EXPECT_EQ(vault.fs().open_file(file.id, O_RDONLY, false).error(), Errno(ESTALE));
}

TEST_F(Watch, AHandleOnAFileEditedInPlaceReadsNothingWrong) {
  ASSERT_TRUE(vault.write_file("d/longer", "new and longer"));
  const std::string source = vault.below("d/longer");
  auto opened = vault.fs().open_file(file.id, O_RDONLY, false);
  ASSERT_TRUE(opened);
  settle();
  elsewhere([&] { stdfs::copy_file(source, below, stdfs::copy_options::overwrite_existing); });
  EXPECT_TRUE(kernel.forgets(file.id));
  base::Bytes out(3);
  auto got = vault.fs().read(opened->handle, 0, out);
  EXPECT_FALSE(got);
  EXPECT_EQ(*vault.read_file("d/file"), "new and longer");
  EXPECT_EQ(vault.fs().status().integrity_events, 0U);
  vault.fs().release(opened->handle);
}

TEST_F(Watch, AReplacedFileIsReadAndItsHandleReadsWhatIsLeft) {
  ASSERT_TRUE(vault.write_file("d/longer", "new and longer"));
  const std::string source = vault.below("d/longer");
  auto opened = vault.fs().open_file(file.id, O_RDONLY, false);
  settle();
  elsewhere([&] {
    stdfs::copy_file(source, folder + "/.client");
    stdfs::rename(folder + "/.client", below);
  });
  EXPECT_TRUE(kernel.forgets(dir.id, "file"));
  EXPECT_TRUE(kernel.forgets(dir.id));
  EXPECT_EQ(*vault.read_file("d/file"), "new and longer");
  base::Bytes out(3);
  auto got = vault.fs().read(opened->handle, 0, out);
  ASSERT_TRUE(got);
  EXPECT_EQ(base::as_text(out), "old");
  EXPECT_EQ(vault.fs().getattr(file.id)->size, 3U);
  vault.fs().release(opened->handle);
}

TEST_F(Watch, WhatIsWrittenToAFileThatSomebodyChangesDoesNotHarmIt) {
  ASSERT_TRUE(vault.write_file("d/longer", std::string(100'000, 'n')));
  const std::string source = vault.below("d/longer");
  auto opened = vault.fs().open_file(file.id, O_RDWR, false);
  ASSERT_TRUE(vault.fs().write(opened->handle, 0, base::as_bytes("mine"), {}));
  settle();
  elsewhere([&] { stdfs::copy_file(source, below, stdfs::copy_options::overwrite_existing); });
  EXPECT_TRUE(kernel.forgets(file.id));
  EXPECT_EQ(vault.fs().write(opened->handle, 0, base::as_bytes("more"), {}).error(), Errno(EIO));
  EXPECT_EQ(vault.fs().flush(opened->handle).error(), Errno(EIO));
  vault.fs().release(opened->handle);
  EXPECT_TRUE(kernel.forgets(dir.id, "file"));  // a second later: nobody writes any more
  EXPECT_EQ(*vault.read_file("d/file"), std::string(100'000, 'n'));
}

TEST_F(Watch, NamesComeAndGo) {
  ASSERT_TRUE(vault.write_file("d/second", "content"));
  ASSERT_TRUE(vault.mkdir("d/sub"));
  const std::string second = vault.below("d/second");
  const std::string sub = vault.below("d/sub");
  const InodeId sub_id = vault.lookup("d/sub")->id;
  settle();
  elsewhere([&] { stdfs::rename(second, vault.folder() + "/away"); });
  EXPECT_TRUE(kernel.forgets(dir.id, "second"));
  EXPECT_EQ(vault.lookup("d/second").error(), Errno(ENOENT));
  EXPECT_EQ(vault.fs().absence_trust(dir.id), kTrustWatched);
  kernel.clear();
  elsewhere([&] { stdfs::rename(vault.folder() + "/away", second); });
  EXPECT_TRUE(kernel.forgets(dir.id, "second"));
  EXPECT_TRUE(kernel.forgets(dir.id));
  EXPECT_EQ(*vault.read_file("d/second"), "content");
  elsewhere([&] { stdfs::remove(second); });
  EXPECT_TRUE(kernel.forgets(dir.id, "second"));
  elsewhere([&] { stdfs::rename(sub, vault.folder() + "/away"); });
  EXPECT_TRUE(kernel.forgets(dir.id, "sub"));
  EXPECT_TRUE(kernel.forgets(sub_id));
  EXPECT_EQ(vault.lookup("d/sub").error(), Errno(ENOENT));
  EXPECT_EQ(vault.fs().open_directory(sub_id).error(), Errno(ESTALE));
}

TEST_F(Watch, TimesAndModesShow) {
  elsewhere([&] { stdfs::permissions(below, stdfs::perms::owner_read); });
  EXPECT_TRUE(kernel.forgets(file.id));
  EXPECT_EQ(vault.lookup("d/file")->mode & 0777, 0400U);
  kernel.clear();
  elsewhere([&] { stdfs::permissions(folder, stdfs::perms::owner_all); });
  EXPECT_TRUE(kernel.forgets(dir.id));
}

TEST_F(Watch, AConflictCopyShowsAndMakesNamesUncertain) {
  elsewhere([&] { stdfs::copy_file(below, below + " (1)"); });
  EXPECT_TRUE(kernel.forgets(dir.id));
  const auto names = vault.list("d");
  ASSERT_EQ(names.size(), 2U);
  EXPECT_TRUE(kernel.forgets(dir.id, names[1]));  // somebody may have asked for it before
  EXPECT_TRUE(vault.lookup("d/" + names[1]));
  EXPECT_EQ(vault.lookup("d/file")->name_trust, kTrustUnwatched);
  kernel.clear();
  elsewhere([&] { stdfs::remove(below + " (1)"); });
  EXPECT_TRUE(kernel.forgets(dir.id, names[1]));
  EXPECT_EQ(vault.lookup("d/" + names[1]).error(), Errno(ENOENT));
  EXPECT_EQ(vault.lookup("d/file")->name_trust, kTrustWatched);
}

TEST_F(Watch, ALongNameThatArrivesBeforeItsSideFile) {
  const std::string name(200, 'n');
  ASSERT_TRUE(vault.write_file("d/" + name, "content"));
  const std::string entry = vault.below("d/" + name);
  stdfs::rename(entry, vault.folder() + "/.entry");
  stdfs::rename(entry + ".name", vault.folder() + "/.side");
  vault.remount();  // nothing is remembered of the name
  dir = *vault.lookup("d");
  EXPECT_EQ(vault.list("d").size(), 1U);
  kernel.clear();
  elsewhere([&] { stdfs::rename(vault.folder() + "/.entry", entry); });
  EXPECT_TRUE(kernel.forgets(dir.id));
  kernel.clear();
  elsewhere([&] { stdfs::rename(vault.folder() + "/.side", entry + ".name"); });
  EXPECT_TRUE(kernel.forgets(dir.id));
  EXPECT_EQ(vault.list("d").size(), 2U);
}

TEST_F(Watch, WhatIsNotOursChangesNothingButTheFolder) {
  const auto removed = [&] { stdfs::remove(folder + "/desktop.ini"); };
  elsewhere([&] { stdfs::copy_file(below, folder + "/desktop.ini"); });
  EXPECT_TRUE(kernel.forgets(dir.id));
  elsewhere(removed);
  ::usleep(150'000);
  EXPECT_LE(kernel.calls(), 2U);
}

TEST_F(Watch, TwoThousandAtOnce) {
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(vault.write_file("d/" + std::to_string(i), ""));
  const auto before = vault.list("d");
  settle();
  elsewhere([&] {
    for (const auto& entry : stdfs::directory_iterator(folder)) {
      if (entry.is_regular_file()) stdfs::remove(entry.path());
    }
  });
  for (const std::string& name : before) ASSERT_TRUE(kernel.forgets(dir.id, name)) << name;
  EXPECT_TRUE(vault.list("d").empty());
}

// Different names, so that the kernel cannot merge them; more than its queue holds (16384 unless set otherwise).
void overflow(const std::string& folder) {
  std::string name = folder + "/.stranger";
  ::close(::open(name.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  for (int i = 0; i < 20'000; ++i) {
    const std::string next = folder + "/.stranger-" + std::to_string(i);
    stdfs::rename(name, next);
    name = next;
  }
}

TEST(WatchLimits, AnOverflowDropsEverything) {
  Kernel kernel;
  TestVault vault(options(kernel, milliseconds(4000)));
  if (!vault.fs().status().watched) GTEST_SKIP() << vault.fs().status().not_watched_because;
  const Attr dir = *vault.mkdir("d");
  ASSERT_TRUE(vault.write_file("d/file", "old"));
  const Attr file = *vault.lookup("d/file");
  const std::string folder = vault.below("d");
  const std::string below = vault.below("d/file");
  ::usleep(4'500'000);
  kernel.clear();
  elsewhere([&] {
    overflow(folder);
    stdfs::remove(below);  // this one is not told
  });
  EXPECT_TRUE(kernel.forgets(dir.id, "file"));
  EXPECT_TRUE(kernel.forgets(kRootInode, "d"));
  EXPECT_TRUE(kernel.forgets(file.id));
  EXPECT_TRUE(kernel.forgets(kRootInode));
  EXPECT_EQ(vault.lookup("d/file").error(), Errno(ENOENT));
}

// What is being written just then is nobody else's: not lost to them.
TEST(WatchLimits, AnOverflowLosesNoFileThatIsBeingWritten) {
  Kernel kernel;
  TestVault vault(options(kernel, milliseconds(4000)));
  if (!vault.fs().status().watched) GTEST_SKIP() << vault.fs().status().not_watched_because;
  ASSERT_TRUE(vault.mkdir("d"));
  const std::string large(3 << 20, 'o');
  ASSERT_TRUE(vault.write_file("old", large));
  ASSERT_TRUE(vault.write_file("theirs", large));
  const std::string theirs = vault.below("theirs");
  ::usleep(4'500'000);
  auto fresh = vault.fs().create(kRootInode, "new", 0644, O_RDWR, TestVault::caller());
  ASSERT_TRUE(fresh);
  const HandleId handles[] = {fresh->opened.handle,
                              vault.fs().open_file(vault.lookup("old")->id, O_RDWR, false)->handle,
                              vault.fs().open_file(vault.lookup("theirs")->id, O_RDWR, false)->handle};
  const std::string piece(1 << 20, 'n');
  const auto write = [&](HandleId handle, std::uint64_t at) {
    return vault.fs().write(handle, at, base::as_bytes(piece), {}).has_value();
  };
  for (HandleId handle : handles) EXPECT_TRUE(write(handle, 0) && write(handle, 4 << 20));
  const std::string folder = vault.below("d");
  kernel.clear();
  elsewhere([&] {
    overflow(folder);
    stdfs::remove(theirs);
  });
  EXPECT_TRUE(kernel.forgets(kRootInode, "new"));
  EXPECT_TRUE(write(handles[0], 1 << 20));
  EXPECT_TRUE(write(handles[1], 1 << 20));
  EXPECT_FALSE(write(handles[2], 1 << 20));
  for (HandleId handle : {handles[0], handles[1]}) EXPECT_TRUE(vault.fs().flush(handle));
  for (HandleId handle : handles) vault.fs().release(handle);
  vault.remount();
  EXPECT_EQ(vault.read_file("new")->substr(0, 2 << 20), piece + piece);
  EXPECT_EQ(*vault.read_file("old"), piece + piece + large.substr(2 << 20) + std::string(1 << 20, '\0') + piece);
}

TEST(WatchLimits, WhereNoMoreCanBeWatchedASecondCounts) {
  Kernel kernel;
  VaultOptions limited = options(kernel);
  limited.watched_directories_max = 2;  // the root is one
  TestVault vault(limited);
  if (!vault.fs().status().watched) GTEST_SKIP() << vault.fs().status().not_watched_because;
  ASSERT_TRUE(vault.mkdir("one"));
  ASSERT_TRUE(vault.write_file("one/file", ""));
  ASSERT_TRUE(vault.mkdir("two"));
  ASSERT_TRUE(vault.write_file("two/file", ""));
  EXPECT_EQ(vault.lookup("one/file")->trust, kTrustWatched);
  EXPECT_EQ(vault.lookup("two/file")->trust, kTrustUnwatched);
  EXPECT_EQ(vault.lookup("two/file")->name_trust, kTrustUnwatched);
  EXPECT_EQ(vault.fs().absence_trust(vault.lookup("two")->id), kTrustUnwatched);
  EXPECT_EQ(vault.fs().status().directories_watched, 2U);
  EXPECT_EQ(vault.fs().status().directories_refused, 1U);
}

TEST(WatchLimits, ADirectoryThatTheKernelForgetsIsNotWatchedAnyMore) {
  Kernel kernel;
  TestVault vault(options(kernel));
  if (!vault.fs().status().watched) GTEST_SKIP() << vault.fs().status().not_watched_because;
  vault.remount();
  ASSERT_TRUE(vault.mkdir("d"));
  vault.remount();
  const auto watched = [&] { return vault.fs().status().directories_watched; };
  EXPECT_EQ(watched(), 1U);
  const InodeId id = vault.fs().lookup(kRootInode, "d")->id;
  EXPECT_EQ(watched(), 2U);
  vault.fs().forget(id, 1);
  for (int i = 0; i < 100 && watched() != 1; ++i) ::usleep(20'000);
  EXPECT_EQ(watched(), 1U);
  // And again from the start.
  EXPECT_EQ(vault.fs().lookup(kRootInode, "d")->trust, kTrustWatched);
  EXPECT_EQ(watched(), 2U);
}

TEST(WatchLimits, OnlyFileSystemsThatTellAreBelieved) {
  EXPECT_TRUE(is_told_of_changes(0xEF53));
  EXPECT_FALSE(is_told_of_changes(0x6969));      // NFS
  EXPECT_FALSE(is_told_of_changes(0x65735546));  // FUSE
  EXPECT_FALSE(is_told_of_changes(0x01021997));  // 9p
  EXPECT_FALSE(is_told_of_changes(0xFF534D42));  // CIFS
  EXPECT_FALSE(is_told_of_changes(0xFE534D42));  // SMB2
}

TEST(WatchLimits, WithoutAKernelNothingIsWatched) {
  TestVault vault;
  EXPECT_FALSE(vault.fs().status().watched);
  ASSERT_TRUE(vault.write_file("file", ""));
  EXPECT_EQ(vault.lookup("file")->trust, kTrustUnwatched);
  EXPECT_EQ(vault.lookup("file")->name_trust, kTrustUnwatched);
}

}  // namespace
}  // namespace coffer::fs
