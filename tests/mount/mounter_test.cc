// The process that mounts for the daemon, with real mounts.
#include "mount/mounter.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <future>

#include "mount/mount_table.h"
#include "tests/support/temp_dir.h"

namespace coffer::mount {
namespace {

using namespace std::chrono_literals;
using base::UniqueFd;

class MounterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || ::access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "needs root and /dev/fuse";
  }
  void TearDown() override {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    while (is_mounted() && ::umount2(path_.c_str(), MNT_DETACH) == 0) {
    }
  }

  std::unique_ptr<Mounter> start(SessionOptions options = {}) {
    options.source = "a, vault";
    auto started = start_mounter(path_, options);
    EXPECT_TRUE(started);
    return *std::move(started);
  }
  bool is_mounted() const {
    const auto at = mount_at(path_);
    return at && *at && (*at)->type == "fuse.coffer";
  }

  test::TempDir folder_;
  const std::string& path_ = folder_.path();
};

// The latest.
pid_t child_of_ours() {
  std::ifstream children("/proc/self/task/" + std::to_string(::gettid()) + "/children");
  pid_t latest = 0;
  for (pid_t child = 0; children >> child;) latest = child;
  return latest;
}

TEST_F(MounterTest, MountsAndUnmounts) {
  auto mounter = start();
  {
    auto device = mounter->mount();
    ASSERT_TRUE(device) << device.error().message;
    EXPECT_TRUE(device->valid());
    EXPECT_TRUE(::fcntl(device->get(), F_GETFD) & FD_CLOEXEC);
    ASSERT_TRUE(is_mounted());
    EXPECT_EQ((*mount_at(path_))->source, "a, vault");
  }
  EXPECT_TRUE(is_stale(path_));  // the other process has kept no connection of its own
  EXPECT_TRUE(mounter->unmount(false));
  EXPECT_FALSE(is_mounted());
  EXPECT_EQ(mounter->unmount(true).error().code(), EINVAL);
}

TEST_F(MounterTest, SaysWhyItCannotMount) {
  SessionOptions options;
  options.fuse_options = {"no_such_option"};
  auto refused = start(options)->mount();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, fs::ExitCode::kUsage);
  auto nowhere = start_mounter(path_ + "/nowhere", {});
  ASSERT_TRUE(nowhere);
  auto missing = (*nowhere)->mount();
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, fs::ExitCode::kMountPoint);
  EXPECT_NE(missing.error().message.find("nowhere"), std::string::npos);
}

TEST_F(MounterTest, WhatIsMountedOverItIsLeftAlone) {
  auto mounter = start();
  auto device = mounter->mount();
  ASSERT_TRUE(device);
  ASSERT_EQ(::mount("none", path_.c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_EQ(mounter->unmount(true).error().code(), EINVAL);
  EXPECT_EQ((*mount_at(path_))->type, "tmpfs");
  ASSERT_EQ(::umount2(path_.c_str(), 0), 0);
  EXPECT_TRUE(mounter->unmount(true));
}

// Who ends a service ends all its processes: this one must still unmount then.
TEST_F(MounterTest, OutlivesTheSignalsThatEndADaemonAndEndsWithIt) {
  auto mounter = start();
  const pid_t process = child_of_ours();
  ASSERT_GT(process, 0);
  auto device = mounter->mount();  // it has come up
  ASSERT_TRUE(device);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::kill(process, signal);
  EXPECT_TRUE(mounter->unmount(true));
  mounter.reset();
  int status = -1;
  EXPECT_EQ(::waitpid(process, &status, 0), process);
  EXPECT_EQ(status, 0);
}

TEST_F(MounterTest, ADeadOneIsAnError) {
  auto mounter = start();
  const pid_t process = child_of_ours();
  ::kill(process, SIGKILL);
  ::waitpid(process, nullptr, 0);
  EXPECT_FALSE(mounter->mount());
  EXPECT_EQ(mounter->unmount(false).error().code(), EPIPE);
  EXPECT_EQ(mounter->abort().error().code(), EPIPE);
}

// Somebody waits for an answer that never comes, and so does the unmount; the abort gets through beside it.
TEST_F(MounterTest, AnAbortDoesNotWaitForAnUnmount) {
  auto mounter = start();
  auto device = mounter->mount();
  ASSERT_TRUE(device);
  std::promise<pid_t> thread;
  auto waiting = std::async(std::launch::async, [&] {
    thread.set_value(::gettid());
    return ::syscall(SYS_faccessat, AT_FDCWD, (path_ + "/file").c_str(), F_OK);
  });
  // In the kernel, with a hold on the mount: else the unmount could come first, and then there is nothing to abort.
  const std::string stat = "/proc/self/task/" + std::to_string(thread.get_future().get()) + "/syscall";
  for (std::string call; !call.starts_with(std::to_string(SYS_faccessat) + " ");)
    std::getline(std::ifstream(stat), call);
  auto unmounting = std::async(std::launch::async, [&] { return bool(mounter->unmount(false)); });
  std::this_thread::sleep_for(200ms);
  EXPECT_TRUE(mounter->abort());
  EXPECT_EQ(waiting.wait_for(10s), std::future_status::ready);
  EXPECT_EQ(unmounting.wait_for(10s), std::future_status::ready);
  device->reset();
}

}  // namespace
}  // namespace coffer::mount
