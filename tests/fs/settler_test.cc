// The settler's rounds against sync() and shutdown(): what is held back is never out of sight.
#include <condition_variable>
#include <mutex>
#include <thread>

#include "tests/support/test_vault.h"

namespace coffer {
namespace {

using test::TestVault;

// Full or not, as told; from `stuck` on the next syncfs, which is the settler's, lasts until it is let go.
class StuckDisk : public fs::Backing {
 public:
  struct Controls {
    std::mutex mutex;
    std::condition_variable changed;
    bool full = false;
    bool synced = false;
    bool stuck = false;
    bool entered = false;
    bool let_go = false;
  };
  explicit StuckDisk(std::shared_ptr<Controls> controls) : controls_(std::move(controls)) {}

  base::Status pwritev(base::FdRef fd, std::vector<iovec> parts, std::uint64_t offset) override {
    {
      std::lock_guard lock(controls_->mutex);
      if (controls_->full) return base::Errno(ENOSPC);
    }
    return Backing::pwritev(fd, std::move(parts), offset);
  }
  base::Status syncfs(base::FdRef fd) override {
    {
      std::unique_lock lock(controls_->mutex);
      controls_->synced = true;
      controls_->changed.notify_all();
      if (controls_->stuck && !controls_->entered) {
        controls_->entered = true;
        controls_->changed.notify_all();
        controls_->changed.wait(lock, [this] { return controls_->let_go; });
      }
    }
    return Backing::syncfs(fd);
  }

 private:
  std::shared_ptr<Controls> controls_;
};

class SettlerTest : public testing::Test {
 protected:
  // A file that could not be written and that nobody holds any more, while the settler is in the midst of a round; the
  // disk has room again.
  void hold_a_file_during_a_round() {
    vault_.lock();
    vault_.mount(std::make_unique<StuckDisk>(disk_));
    auto made = vault_.fs().create(fs::kRootInode, "file", 0644, O_RDWR, TestVault::caller());
    ASSERT_TRUE(made);
    ASSERT_TRUE(vault_.fs().write(made->opened.handle, 0, base::as_bytes("old"), {}));
    ASSERT_TRUE(vault_.fs().flush(made->opened.handle));
    wait_for(&StuckDisk::Controls::synced);  // a round is over: the file is off the list of changed ones
    ASSERT_TRUE(vault_.rename("file", "held"));
    set(&StuckDisk::Controls::full, true);
    ASSERT_TRUE(vault_.fs().sync());  // the header does not settle: from here on the file has changes to write
    set(&StuckDisk::Controls::stuck, true);
    ASSERT_TRUE(vault_.fs().write(made->opened.handle, 0, base::as_bytes("content"), {}));
    EXPECT_EQ(vault_.fs().flush(made->opened.handle).error(), base::Errno(ENOSPC));
    vault_.fs().release(made->opened.handle);
    ASSERT_TRUE(vault_.mkdir("d"));  // something to sync
    wait_for(&StuckDisk::Controls::entered);
    EXPECT_GT(vault_.fs().status().dirty_files, 0U) << "a file in hand is waiting all the same";
    set(&StuckDisk::Controls::full, false);
  }
  void let_go_soon() {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    set(&StuckDisk::Controls::let_go, true);
  }
  void wait_for(bool StuckDisk::Controls::*what) {
    std::unique_lock lock(disk_->mutex);
    disk_->changed.wait(lock, [&] { return (*disk_).*what; });
  }
  void set(bool StuckDisk::Controls::*what, bool value) {
    std::lock_guard lock(disk_->mutex);
    (*disk_).*what = value;
    disk_->changed.notify_all();
  }

  std::shared_ptr<StuckDisk::Controls> disk_ = std::make_shared<StuckDisk::Controls>();
  TestVault vault_;
};

TEST_F(SettlerTest, ShutdownDuringARoundLosesNothing) {
  hold_a_file_during_a_round();
  std::thread locker([this] { vault_.lock(); });
  let_go_soon();
  locker.join();
  vault_.mount();
  auto content = vault_.read_file("held");
  ASSERT_TRUE(content);
  EXPECT_EQ(*content, "content");
}

TEST_F(SettlerTest, SyncDuringARoundWritesWhatTheRoundHasInHand) {
  hold_a_file_during_a_round();
  std::thread syncer([this] {
    EXPECT_TRUE(vault_.fs().sync());
    EXPECT_EQ(std::filesystem::file_size(vault_.below("held")), 512U + 36U + std::string("content").size());
  });
  let_go_soon();
  syncer.join();
}

TEST_F(SettlerTest, AHeaderThatShutdownItselfWritesSettlesToo) {
  vault_.lock();
  vault_.mount(std::make_unique<StuckDisk>(disk_));
  set(&StuckDisk::Controls::full, true);
  EXPECT_EQ(vault_.write_file("first", "content").error(), base::Errno(ENOSPC));
  ASSERT_TRUE(vault_.rename("first", "second"));
  set(&StuckDisk::Controls::full, false);
  vault_.lock();
  vault_.forget_state();
  vault_.mount();
  EXPECT_EQ(*vault_.read_file("second"), "content");
  EXPECT_EQ(vault_.fs().status().files_moved, 0U);
}

}  // namespace
}  // namespace coffer
