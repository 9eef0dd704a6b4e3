// Content through open files: boundary sizes, and random operations against a model held in memory.
#include <linux/falloc.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <random>
#include <thread>

#include "tests/support/test_vault.h"

namespace coffer {
namespace {

using test::TestVault;
using test::VaultOptions;

std::string pattern(std::size_t size, std::uint64_t seed) {
  std::mt19937 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

struct Variant {
  crypto::Suite suite;
  std::uint32_t chunk_size;
};

class ContentTest : public testing::TestWithParam<Variant> {
 protected:
  ContentTest() : vault_({.suite = GetParam().suite, .chunk_size = GetParam().chunk_size}) {}
  TestVault vault_;
};

TEST_P(ContentTest, BoundarySizesSurviveARemount) {
  const std::size_t c = GetParam().chunk_size;
  const std::size_t sizes[] = {0, 1, c - 1, c, c + 1, 2 * c, 2 * c + 500, 70 * c + 3};
  for (std::size_t size : sizes) {
    ASSERT_TRUE(vault_.write_file("f" + std::to_string(size), pattern(size, size)));
  }
  for (int round = 0; round < 3; ++round) {
    for (std::size_t size : sizes) {
      auto content = vault_.read_file("f" + std::to_string(size));
      ASSERT_TRUE(content) << size;
      EXPECT_EQ(*content, pattern(size, size));
      EXPECT_EQ(vault_.lookup("f" + std::to_string(size))->size, size);
    }
    vault_.remount();
    if (round == 1) vault_.forget_state();
  }
}

TEST_P(ContentTest, UnwrittenRangesReadAsZerosAndAreHoles) {
  const std::uint64_t c = GetParam().chunk_size;
  auto made = vault_.fs().create(fs::kRootInode, "sparse", 0644, O_RDWR, TestVault::caller());
  ASSERT_TRUE(made);
  const std::uint64_t far = 1000 * c + 17;
  ASSERT_TRUE(vault_.fs().write(made->opened.handle, far, base::as_bytes("end"), {}));
  ASSERT_TRUE(vault_.fs().write(made->opened.handle, 5, base::as_bytes("begin"), {}));
  ASSERT_TRUE(vault_.fs().flush(made->opened.handle));
  vault_.fs().release(made->opened.handle);
  vault_.remount();
  auto content = vault_.read_file("sparse");
  ASSERT_TRUE(content);
  std::string expected(far + 3, '\0');
  expected.replace(5, 5, "begin");
  expected.replace(far, 3, "end");
  EXPECT_EQ(*content, expected);
  auto attr = vault_.lookup("sparse");
  EXPECT_LT(attr->blocks * 512, 6 * c + 32768);
  auto opened = vault_.fs().open_file(attr->id, O_RDONLY, false);
  ASSERT_TRUE(opened);
  EXPECT_EQ(*vault_.fs().lseek(opened->handle, 0, SEEK_DATA, true), 0U);
  EXPECT_EQ(*vault_.fs().lseek(opened->handle, 0, SEEK_HOLE, true), c);
  EXPECT_EQ(*vault_.fs().lseek(opened->handle, c, SEEK_DATA, true), 1000 * c);
  EXPECT_EQ(*vault_.fs().lseek(opened->handle, 1000 * c, SEEK_HOLE, true), far + 3);
  vault_.fs().release(opened->handle);
}

// One file and its model.
class Modelled {
 public:
  Modelled(TestVault& vault, unsigned seed, std::uint64_t chunk_size)
      : vault_(vault), random_(seed), chunk_size_(chunk_size), limit_(20 * chunk_size) {
    auto made = vault.fs().create(fs::kRootInode, "file", 0644, O_RDWR, TestVault::caller());
    EXPECT_TRUE(made);
    handle_ = made->opened.handle;
  }

  void step() {
    switch (random_() % 14) {
      case 0:
        truncate();
        break;
      case 1:
        punch();
        break;
      case 2:
        zero_range();
        break;
      case 3:
        reopen();
        break;
      case 4:
        ASSERT_TRUE(vault_.fs().fsync(handle_, random_() % 2 == 0));
        break;
      case 5:
        allocate();
        break;
      case 6:
        append();
        break;
      case 7:
        copy();
        break;
      case 8:
      case 9:
      case 10:
        check();
        break;
      default:
        write();
        break;
    }
  }

  void check() {
    std::uint64_t offset = position();
    std::string out(length(), 'x');
    auto got = vault_.fs().read(handle_, offset, span(out));
    ASSERT_TRUE(got);
    std::string expected = offset < model_.size() ? model_.substr(offset, out.size()) : "";
    ASSERT_EQ(*got, expected.size());
    ASSERT_EQ(out.substr(0, *got), expected) << "at " << offset;
  }
  void check_all() {
    std::string out(model_.size() + 10, 'x');
    auto got = vault_.fs().read(handle_, 0, span(out));
    ASSERT_TRUE(got);
    out.resize(*got);
    ASSERT_EQ(out.size(), model_.size());
    ASSERT_TRUE(out == model_);
  }
  void remount() {
    vault_.fs().release(handle_);
    vault_.remount();
    if (random_() % 2 == 0) vault_.forget_state();
    open();
    check_all();
  }
  void close() { vault_.fs().release(handle_); }

 private:
  static base::ByteSpan span(std::string& text) { return {reinterpret_cast<base::Byte*>(text.data()), text.size()}; }
  std::uint64_t position() {
    std::uint64_t at = random_() % (limit_ + chunk_size_);
    return random_() % 3 == 0 ? at / chunk_size_ * chunk_size_ : at;
  }
  std::size_t length() {
    switch (random_() % 4) {
      case 0:
        return 1 + random_() % 200;
      case 1:
        return static_cast<std::size_t>(chunk_size_);
      case 2:
        return 1 + random_() % static_cast<std::size_t>(3 * chunk_size_);
      default:
        return 1 + random_() % static_cast<std::size_t>(12 * chunk_size_);
    }
  }
  void grow(std::uint64_t size) {
    if (model_.size() < size) model_.resize(static_cast<std::size_t>(size), '\0');
  }
  void put(std::uint64_t offset, const std::string& data) {
    ASSERT_TRUE(vault_.fs().write(handle_, offset, base::as_bytes(data), {.from_page_cache = random_() % 2 == 0}));
    grow(offset + data.size());
    model_.replace(static_cast<std::size_t>(offset), data.size(), data);
  }
  void write() {
    std::string data = pattern(length(), random_());
    put(position(), data);
  }
  void append() {
    std::string data = pattern(100, random_());
    if (model_.size() < 2 * limit_) put(model_.size(), data);
  }
  void truncate() {
    std::uint64_t size = random_() % 5 == 0 ? 0 : position();
    fs::AttrChange change;
    change.size = size;
    auto attr = vault_.fs().setattr(vault_.lookup("file")->id, change);
    ASSERT_TRUE(attr);
    ASSERT_EQ(attr->size, size);
    model_.resize(static_cast<std::size_t>(size), '\0');
  }
  void punch() {
    std::uint64_t offset = position();
    std::size_t size = length();
    ASSERT_TRUE(vault_.fs().fallocate(handle_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size));
    if (offset < model_.size()) {
      std::size_t n = std::min<std::size_t>(size, model_.size() - static_cast<std::size_t>(offset));
      model_.replace(static_cast<std::size_t>(offset), n, n, '\0');
    }
  }
  void zero_range() {
    std::uint64_t offset = position();
    std::size_t size = length();
    ASSERT_TRUE(vault_.fs().fallocate(handle_, FALLOC_FL_ZERO_RANGE, offset, size));
    grow(offset + size);
    model_.replace(static_cast<std::size_t>(offset), size, size, '\0');
  }
  void allocate() {
    std::uint64_t offset = position();
    std::size_t size = length();
    bool keep = random_() % 2 == 0;
    ASSERT_TRUE(vault_.fs().fallocate(handle_, keep ? FALLOC_FL_KEEP_SIZE : 0, offset, size));
    if (!keep) grow(offset + size);
  }
  void copy() {
    std::uint64_t from = position();
    std::uint64_t to = from + 13 * chunk_size_;
    std::size_t size = std::min<std::size_t>(length(), static_cast<std::size_t>(8 * chunk_size_));
    auto copied = vault_.fs().copy_file_range(handle_, from, handle_, to, size);
    ASSERT_TRUE(copied);
    std::string data = from < model_.size() ? model_.substr(static_cast<std::size_t>(from), size) : "";
    ASSERT_EQ(*copied, data.size());
    if (data.empty()) return;
    grow(to + data.size());
    model_.replace(static_cast<std::size_t>(to), data.size(), data);
    if (model_.size() > 2 * limit_) truncate();
  }
  void reopen() {
    ASSERT_TRUE(vault_.fs().flush(handle_));
    vault_.fs().release(handle_);
    open();
  }
  void open() {
    auto attr = vault_.lookup("file");
    ASSERT_TRUE(attr);
    ASSERT_EQ(attr->size, model_.size());
    auto opened = vault_.fs().open_file(attr->id, O_RDWR, false);
    ASSERT_TRUE(opened);
    handle_ = opened->handle;
  }

  TestVault& vault_;
  std::mt19937 random_;
  const std::uint64_t chunk_size_;
  const std::uint64_t limit_;
  std::string model_;
  fs::HandleId handle_;
};

TEST_P(ContentTest, RandomOperationsEqualTheModel) {
  for (unsigned seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Modelled file(vault_, seed, GetParam().chunk_size);
    for (int i = 0; i < 400; ++i) {
      file.step();
      if (i % 100 == 99) file.remount();
      if (HasFatalFailure()) return;
    }
    file.check_all();
    file.close();
    ASSERT_TRUE(vault_.unlink("file"));
  }
}

TEST_P(ContentTest, LittleMemoryChangesNothing) {
  TestVault vault({.suite = GetParam().suite, .chunk_size = GetParam().chunk_size, .dirty_bytes_max = 10000});
  Modelled file(vault, 77, GetParam().chunk_size);
  for (int i = 0; i < 300; ++i) {
    file.step();
    if (HasFatalFailure()) return;
  }
  file.remount();
  file.close();
}

INSTANTIATE_TEST_SUITE_P(Suites, ContentTest,
                         testing::Values(Variant{crypto::Suite::kAes256Gcm, 16384},
                                         Variant{crypto::Suite::kAes256Gcm, 4096},
                                         Variant{crypto::Suite::kXChaCha20Poly1305, 16384},
                                         Variant{crypto::Suite::kXChaCha20Poly1305, 65536}));

TEST(OpenFiles, AnUnlinkedFileLivesUntilItsLastHandleGoes) {
  TestVault vault;
  auto made = vault.fs().create(fs::kRootInode, "gone", 0600, O_RDWR, TestVault::caller());
  ASSERT_TRUE(made);
  ASSERT_TRUE(vault.fs().write(made->opened.handle, 0, base::as_bytes("still here"), {}));
  ASSERT_TRUE(vault.unlink("gone"));
  EXPECT_FALSE(vault.lookup("gone"));
  std::string out(10, ' ');
  auto got = vault.fs().read(made->opened.handle, 0, {reinterpret_cast<base::Byte*>(out.data()), out.size()});
  ASSERT_TRUE(got);
  EXPECT_EQ(out, "still here");
  auto attr = vault.fs().getattr(made->attr.id);
  ASSERT_TRUE(attr);
  EXPECT_EQ(attr->nlink, 0U);
  EXPECT_EQ(attr->size, 10U);
  fs::AttrChange change;
  change.mode = 0640;
  ASSERT_TRUE(vault.fs().setattr(made->attr.id, change));
  EXPECT_EQ(vault.fs().getattr(made->attr.id)->mode & 0777, 0640U);
  ASSERT_TRUE(vault.fs().flush(made->opened.handle));
  vault.fs().release(made->opened.handle);
  EXPECT_TRUE(vault.list("").empty());
}

// truncate(2) while others only read: none of their handles writes anything out.
TEST(OpenFiles, AreTruncatedForGoodWhileOnlyReadersHoldThem) {
  TestVault vault;
  for (std::uint64_t size : {100, 40000}) {
    SCOPED_TRACE(size);
    ASSERT_TRUE(vault.write_file("f", "twelve bytes"));
    vault.remount();  // what was written just now would be kept open
    const auto attr = vault.lookup("f");
    auto opened = vault.fs().open_file(attr->id, O_RDONLY, false);
    ASSERT_TRUE(opened);
    fs::AttrChange change;
    change.size = size;
    ASSERT_TRUE(vault.fs().setattr(attr->id, change));
    vault.fs().release(opened->handle);
    vault.remount();
    std::string expected = "twelve bytes";
    expected.resize(static_cast<std::size_t>(size), '\0');
    const auto content = vault.read_file("f");
    ASSERT_TRUE(content);
    EXPECT_TRUE(*content == expected);
  }
}

// A file that stays open reaches the disk by itself, every time that it is changed.
TEST(OpenFiles, AreWrittenOutAgainAndAgain) {
  TestVault vault;
  auto made = vault.fs().create(fs::kRootInode, "f", 0600, O_RDWR, TestVault::caller());
  ASSERT_TRUE(made);
  const auto reaches = [&](std::uint64_t size) {
    const std::uint64_t below = 512 + size + size / 16384 * 36 + 36;
    for (int i = 0; i < 80; ++i) {
      if (std::filesystem::file_size(vault.below("f")) == below) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return false;
  };
  ASSERT_TRUE(vault.fs().write(made->opened.handle, 0, base::as_bytes("one"), {}));
  EXPECT_TRUE(reaches(3));
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));  // the settler finds it clean
  ASSERT_TRUE(vault.fs().write(made->opened.handle, 3, base::as_bytes("two"), {}));
  EXPECT_TRUE(reaches(6));
  vault.fs().release(made->opened.handle);
}

// Whether the disk is as we know it must not be judged by a look at it from before somebody else's write.
TEST(OpenFiles, MayBeOpenedWhileTheyAreWrittenOut) {
  TestVault vault;
  ASSERT_TRUE(vault.write_file("log", "begin"));
  const auto log = vault.lookup("log");
  ASSERT_TRUE(log);
  std::atomic<bool> done{false};
  std::atomic<int> failed{0};
  std::vector<std::thread> openers;
  for (int i = 0; i < 3; ++i) {
    openers.emplace_back([&] {
      while (!done) {
        auto opened = vault.fs().open_file(log->id, O_RDWR, false);
        if (!opened) {
          ++failed;
          continue;
        }
        vault.fs().release(opened->handle);
      }
    });
  }
  std::uint64_t size = 5;
  for (int i = 0; i < 3000; ++i) {
    auto opened = vault.fs().open_file(log->id, O_RDWR, false);
    ASSERT_TRUE(opened);
    ASSERT_TRUE(vault.fs().write(opened->handle, size, base::as_bytes("more"), {}));
    size += 4;
    ASSERT_TRUE(vault.fs().flush(opened->handle));
    vault.fs().release(opened->handle);
  }
  done = true;
  for (std::thread& opener : openers) opener.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(vault.lookup("log")->size, size);
}

TEST(OpenFiles, TheModificationTimeOneSetsOutlivesWhatIsWrittenLater) {
  TestVault vault;
  auto made = vault.fs().create(fs::kRootInode, "old", 0600, O_RDWR, TestVault::caller());
  ASSERT_TRUE(made);
  ASSERT_TRUE(vault.fs().write(made->opened.handle, 0, base::as_bytes("x"), {}));
  fs::AttrChange change;
  change.mtime = timespec{1000000000, 123456789};
  ASSERT_TRUE(vault.fs().setattr(made->attr.id, change));
  ASSERT_TRUE(vault.fs().flush(made->opened.handle));
  vault.fs().release(made->opened.handle);
  ASSERT_TRUE(vault.fs().sync());  // the header settles too
  auto attr = vault.lookup("old");
  ASSERT_TRUE(attr);
  EXPECT_EQ(attr->mtime.tv_sec, 1000000000);
  EXPECT_EQ(attr->mtime.tv_nsec, 123456789);
}

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * std::int64_t{1000000000} + time.tv_nsec; }

// What the kernel saw of a new file is what it shows for as long as it keeps the inode, so it is what must be stored.
TEST(ModificationTime, OfANewFileIsTheOneThatWasToldAtItsCreation) {
  for (const bool kernel_keeps_times : {false, true}) {
    TestVault vault;
    if (kernel_keeps_times) vault.fs().kernel_keeps_times();
    for (int i = 0; i < 100; ++i) {
      const std::string name = "new " + std::to_string(i);
      auto made = vault.fs().create(fs::kRootInode, name, 0600, O_RDWR, TestVault::caller());
      ASSERT_TRUE(made);
      ASSERT_TRUE(vault.fs().flush(made->opened.handle));
      vault.fs().release(made->opened.handle);
      ASSERT_EQ(nanoseconds(vault.lookup(name)->mtime), nanoseconds(made->attr.mtime)) << name;
    }
  }
}

TEST(ModificationTime, IsTheKernelsAloneWhereItKeepsThem) {
  TestVault vault;
  vault.fs().kernel_keeps_times();
  auto made = vault.fs().create(fs::kRootInode, "f", 0600, O_RDWR, TestVault::caller());
  ASSERT_TRUE(made);
  const fs::HandleId handle = made->opened.handle;
  fs::AttrChange told;
  told.mtime = timespec{1000000000, 5};
  ASSERT_TRUE(vault.fs().setattr(made->attr.id, told));
  // Each of these comes after the kernel has set and told the time, or tells it later.
  ASSERT_TRUE(vault.fs().write(handle, 0, base::as_bytes("not from the page cache"), {}));
  ASSERT_TRUE(vault.fs().fallocate(handle, 0, 100, 10000));
  ASSERT_TRUE(vault.fs().fallocate(handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4, 5));
  ASSERT_TRUE(vault.fs().copy_file_range(handle, 0, handle, 10000, 100));
  fs::AttrChange shorter;
  shorter.size = 9000;
  ASSERT_TRUE(vault.fs().setattr(made->attr.id, shorter));
  ASSERT_TRUE(vault.fs().flush(handle));
  EXPECT_EQ(nanoseconds(vault.lookup("f")->mtime), nanoseconds(*told.mtime));
  // Also after the file was renamed, and written again.
  ASSERT_TRUE(vault.rename("f", "g"));
  told.mtime = timespec{1000000001, 7};
  ASSERT_TRUE(vault.fs().setattr(made->attr.id, told));
  ASSERT_TRUE(vault.fs().write(handle, 0, base::as_bytes("again"), {}));
  vault.fs().release(handle);
  vault.remount();
  EXPECT_EQ(nanoseconds(vault.lookup("g")->mtime), nanoseconds(*told.mtime));
}

TEST(ModificationTime, MovesWithAWriteWhereTheKernelKeepsNone) {
  TestVault vault;
  ASSERT_TRUE(vault.write_file("f", "old"));
  auto attr = vault.lookup("f");
  ASSERT_TRUE(attr);
  fs::AttrChange past;
  past.mtime = timespec{1000000000, 5};
  ASSERT_TRUE(vault.fs().setattr(attr->id, past));
  ASSERT_TRUE(vault.write_file("f", "new"));
  EXPECT_GT(vault.lookup("f")->mtime.tv_sec, 1000000000);
}

}  // namespace
}  // namespace coffer
