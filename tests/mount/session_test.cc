// Real mounts, in process. The test is the daemon and its own user, on different threads.
#include "mount/session.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <string>
#include <thread>

#include "mount/mount_table.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_vault.h"

namespace coffer::mount {
namespace {

using namespace std::chrono_literals;
using base::UniqueFd;

bool can_mount() { return ::geteuid() == 0 && ::access("/dev/fuse", R_OK | W_OK) == 0; }

double processor_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](timeval t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void write_file(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

class SessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!can_mount()) GTEST_SKIP() << "needs root and /dev/fuse";
  }
  void TearDown() override {
    if (runner_.joinable()) {
      EXPECT_TRUE(stop());
    }
  }

  void mount(SessionOptions options = {}) {
    options.source = vault_.folder();
    mounter_ = std::make_unique<MounterHere>(path_, options);
    auto made = FuseSession::mount(vault_.fs(), cache_, *mounter_, path_, options);
    ASSERT_TRUE(made) << made.error().message;
    session_ = *std::move(made);
    std::promise<void> serving;
    auto served = serving.get_future();
    ended_ = result_.get_future();
    runner_ = std::thread(
        [this, &serving] { result_.set_value(session_->run(signals_, [&serving] { serving.set_value(); })); });
    ASSERT_EQ(served.wait_for(10s), std::future_status::ready);
  }
  fs::Done join() {
    if (ended_.wait_for(20s) != std::future_status::ready) ADD_FAILURE() << "the session does not end";
    runner_.join();
    fs::Done done = ended_.get();
    session_.reset();
    return done;
  }
  fs::Done stop() {
    session_->stop();
    return join();
  }
  bool is_mounted() const {
    const auto at = mount_at(path_);
    return at && *at && is_coffer(**at);
  }
  std::string in(const std::string& name) const { return path_ + "/" + name; }

  StopSignals signals_;  // before any thread
  test::TestVault vault_;
  KernelCache cache_;
  test::TempDir folder_;
  const std::string& path_ = folder_.path();
  std::unique_ptr<Mounter> mounter_;
  std::unique_ptr<FuseSession> session_;
  std::promise<fs::Done> result_;
  std::future<fs::Done> ended_;
  std::thread runner_;
};

TEST_F(SessionTest, ServesUntilUnmounted) {
  mount();
  EXPECT_TRUE(is_mounted());
  EXPECT_FALSE(is_stale(path_));
  write_file(in("file"), "hello");
  EXPECT_EQ(read_file(in("file")), "hello");
  EXPECT_GT(session_->status().requests, 0U);
  EXPECT_TRUE(unmount(path_, false));
  EXPECT_TRUE(join());
  EXPECT_FALSE(is_mounted());
  vault_.mount();
  EXPECT_EQ(*vault_.read_file("file"), "hello");
}

TEST_F(SessionTest, TheKernelTakesWhatLibfuseDoesNotSend) {
  mount();
  EXPECT_TRUE(session_->status().handles_killpriv);
  EXPECT_TRUE(session_->status().parallel_lookups);
  const UniqueFd file(::open(in("file").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  ASSERT_EQ(::write(file.get(), "x", 1), 1);
  // Without FUSE_HANDLE_KILLPRIV_V2 each of these would be a GETXATTR (mm/filemap.c, file_remove_privs).
  const auto before = session_->status().requests;
  for (int i = 0; i < 100; i++) ASSERT_EQ(::write(file.get(), "x", 1), 1);
  EXPECT_LT(session_->status().requests - before, 20U);
}

TEST_F(SessionTest, AStopKeepsWhatProgramsHaveNotSavedYet) {
  mount();
  const std::string text(3000000, 'x');
  const UniqueFd open_file(::open(in("open").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
  ASSERT_EQ(::write(open_file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  const UniqueFd mapped_file(::open(in("mapped").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
  ASSERT_EQ(::ftruncate(mapped_file.get(), 8192), 0);
  void* mapped = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, mapped_file.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  std::memset(mapped, 'm', 8192);
  for (const int signal : {SIGTERM, SIGTERM, SIGINT, SIGHUP}) ::kill(::getpid(), signal);
  EXPECT_TRUE(join());
  ::munmap(mapped, 8192);
  EXPECT_FALSE(is_mounted());
  vault_.mount();
  EXPECT_EQ(*vault_.read_file("open"), text);
  EXPECT_EQ(*vault_.read_file("mapped"), std::string(8192, 'm'));
}

TEST_F(SessionTest, ABusyMountIsDetached) {
  mount();
  const UniqueFd user(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  write_file(in("file"), "x");
  EXPECT_TRUE(stop());
  EXPECT_FALSE(is_mounted());
  struct stat attr {};
  EXPECT_NE(::fstatat(user.get(), "file2", &attr, 0), 0);
  EXPECT_EQ(errno, ENOTCONN);
}

TEST_F(SessionTest, AMountUnderAnotherIsLeftAlone) {
  mount();
  ASSERT_EQ(::mount("none", path_.c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_TRUE(stop());
  EXPECT_TRUE(unmount(path_, false));
  EXPECT_TRUE(is_stale(path_));
  EXPECT_TRUE(unmount(path_, true));
}

TEST_F(SessionTest, ADestroyedSessionUnmounts) {
  SessionOptions options;
  options.source = "with, comma\\ and space";
  {
    MounterHere mounter(path_, options);
    auto made = FuseSession::mount(vault_.fs(), cache_, mounter, path_, options);
    ASSERT_TRUE(made);
    const auto at = mount_at(path_);
    ASSERT_TRUE(at && *at);
    EXPECT_EQ((*at)->source, "with, comma\\ and space");
    EXPECT_TRUE(is_coffer(**at));
  }
  EXPECT_FALSE(is_mounted());
}

TEST_F(SessionTest, ReadOnly) {
  SessionOptions options;
  options.read_only = true;
  mount(options);
  EXPECT_EQ(::mkdir(in("folder").c_str(), 0755), -1);
  EXPECT_EQ(errno, EROFS);
}

TEST_F(SessionTest, BadMountPointsAndOptionsAreErrors) {
  const auto attempt = [&](const std::string& where, std::vector<std::string> more = {}) {
    SessionOptions options;
    options.fuse_options = std::move(more);
    MounterHere mounter(where, options);
    auto made = FuseSession::mount(vault_.fs(), cache_, mounter, where, options);
    return made ? fs::ExitCode::kOk : made.error().code;
  };
  EXPECT_EQ(attempt("/nowhere/at/all"), fs::ExitCode::kMountPoint);
  EXPECT_EQ(attempt("/etc/passwd"), fs::ExitCode::kMountPoint);
  EXPECT_EQ(attempt(path_, {"no_such_option"}), fs::ExitCode::kUsage);
  EXPECT_FALSE(is_mounted());
  EXPECT_EQ(attempt(path_, {"noexec"}), fs::ExitCode::kOk);
}

// A request that hangs, of a kind that is usually quick, must not keep others waiting: the watchdog.
class SlowDisk : public fs::Backing {
 public:
  fs::Status truncate(fs::FdRef fd, std::uint64_t size) override {
    slow_.set_value();
    std::this_thread::sleep_for(500ms);
    return fs::Backing::truncate(fd, size);
  }
  fs::Status fdatasync(fs::FdRef fd) override {
    std::this_thread::sleep_for(500ms);
    return fs::Backing::fdatasync(fd);
  }
  std::future<void> is_slow() { return slow_.get_future(); }

 private:
  std::promise<void> slow_;
};

TEST_F(SessionTest, NobodyWaitsBehindASlowRequest) {
  ASSERT_TRUE(vault_.write_file("file", std::string(1000000, 'x')));
  ASSERT_TRUE(vault_.write_file("other", "y"));
  vault_.lock();
  auto disk = std::make_unique<SlowDisk>();
  auto slow = disk->is_slow();
  vault_.mount(std::move(disk));
  mount();
  std::thread user([&] { EXPECT_EQ(::truncate(in("file").c_str(), 500001), 0); });
  slow.wait_for(5s);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(read_file(in("other")), "y");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 250ms);
  user.join();
}

TEST_F(SessionTest, IdleMeansIdle) {
  const auto in_three_seconds = [] {
    const double before = processor_seconds();
    std::this_thread::sleep_for(3s);
    return processor_seconds() - before;
  };
  const double without = in_three_seconds();  // a sanitizer has a thread of its own that looks about every 100 ms
  mount();
  write_file(in("file"), "x");
  std::this_thread::sleep_for(24s);  // headers settle after ten seconds, the journal is retired ten later
  EXPECT_LT(in_three_seconds() - without, 0.002);
}

// An open file's pages reach the vault though the program neither closes nor syncs it.
TEST_F(SessionTest, DirtyPagesDoNotStayInTheKernel) {
  mount();
  const UniqueFd file(::open(in("file").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
  ASSERT_EQ(::write(file.get(), "x", 1), 1);
  bool arrived = false;
  for (int i = 0; i < 60 && !arrived; i++) {
    std::this_thread::sleep_for(100ms);
    arrived = vault_.read_file("file").has_value() && *vault_.read_file("file") == "x";
  }
  EXPECT_TRUE(arrived);
}

TEST_F(SessionTest, CachesAreDroppedOnDemand) {
  mount();
  write_file(in("file"), "text");
  struct stat attr {};
  ASSERT_EQ(::stat(in("file").c_str(), &attr), 0);
  const auto requests_of = [&](auto action) {
    const auto before = session_->status().requests;
    action();
    return session_->status().requests - before;
  };
  const auto stat_it = [&] { EXPECT_EQ(::stat(in("file").c_str(), &attr), 0); };
  stat_it();
  EXPECT_EQ(requests_of(stat_it), 0U);
  cache_.hooks().drop_entry(fs::kRootInode, "file");
  EXPECT_GT(requests_of(stat_it), 0U);
  EXPECT_EQ(requests_of(stat_it), 0U);
  cache_.hooks().drop_inode(vault_.lookup("file")->id);
  EXPECT_GT(requests_of(stat_it), 0U);
  const auto read_it = [&] { EXPECT_EQ(read_file(in("file")), "text"); };
  read_it();
  cache_.hooks().drop_inode(vault_.lookup("file")->id);
  EXPECT_GT(requests_of(read_it), 1U);
  // What the kernel does not know is not an error.
  cache_.hooks().drop_inode(fs::InodeId{987654});
  cache_.hooks().drop_entry(fs::kRootInode, "never seen");
  EXPECT_EQ(session_->status().kernel_caches_dropped, 5U);
}

// Invalidation writes dirty pages back and waits for the answer; workers must be free to give it.
TEST_F(SessionTest, DroppingDirtyPagesDoesNotHang) {
  mount();
  const UniqueFd file(::open(in("file").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
  const std::string text(2000000, 'd');
  ASSERT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  cache_.hooks().drop_inode(vault_.lookup("file")->id);
  EXPECT_EQ(read_file(in("file")), text);
}

// Holds large writes back until it is told to let them go; those to the journal are small.
class StuckDisk : public fs::Backing {
 public:
  fs::Status pwritev(fs::FdRef fd, std::vector<iovec> parts, std::uint64_t offset) override {
    std::size_t size = 0;
    for (const iovec& part : parts) size += part.iov_len;
    stuck_ = stuck_ || size > 100000;
    while (size > 100000 && !freed_) std::this_thread::sleep_for(1ms);
    return fs::Backing::pwritev(fd, std::move(parts), offset);
  }
  bool is_stuck() const { return stuck_; }
  void free() { freed_ = true; }

 private:
  std::atomic<bool> stuck_{false};
  std::atomic<bool> freed_{false};
};

// Puts /dev/null in the place of all that this process has of /dev/fuse: from here on reading fails, nothing is
// answered.
void break_devices() {
  const UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(entry.path(), gone) != "/dev/fuse") continue;
    ::dup3(nothing.get(), std::stoi(entry.path().filename()), O_CLOEXEC);
  }
}

// An invalidation waits for pages to be written, and the device fails: nobody will ever answer that WRITE.
TEST_F(SessionTest, ADeviceThatFailsEndsTheSessionWhateverWaits) {
  vault_.lock();
  auto owned = std::make_unique<StuckDisk>();
  StuckDisk& disk = *owned;
  vault_.mount(std::move(owned));
  mount();
  UniqueFd file(::open(in("file").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
  const std::string text(2000000, 'd');
  ASSERT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  const fs::InodeId id = vault_.lookup("file")->id;
  std::thread invalidation([&] { cache_.hooks().drop_inode(id); });
  while (!disk.is_stuck()) std::this_thread::sleep_for(1ms);
  break_devices();
  std::thread user([&] {  // wakes the leader
    struct stat attr {};
    EXPECT_NE(::stat(in("other").c_str(), &attr), 0);
  });
  std::this_thread::sleep_for(100ms);
  disk.free();
  EXPECT_FALSE(join());
  user.join();
  invalidation.join();
  EXPECT_FALSE(is_mounted());
}

// Looking for holes in a file that is being written makes the kernel write its pages back first: somebody must be free
// to take them, however many look at once and however few answer.
TEST_F(SessionTest, LookingForHolesInFilesBeingWrittenDoesNotHang) {
  vault_.use_hooks(cache_.hooks());
  vault_.remount();
  for (unsigned workers : {1U, 2U, 0U}) {
    SessionOptions options;
    options.workers = workers;
    mount(options);
    constexpr int kUsers = 20;
    static constexpr off_t kSize = 200000;
    std::vector<std::future<void>> users;
    for (int user = 0; user < kUsers; user++) {
      users.push_back(std::async(std::launch::async, [this, user] {
        const UniqueFd file(
            ::open(in("f" + std::to_string(user)).c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644));
        EXPECT_TRUE(file.valid());
        const std::string text(kSize, 'd');
        for (int i = 0; i < 20; i++) {
          const off_t end = (i + 1) * kSize;
          EXPECT_EQ(::pwrite(file.get(), text.data(), text.size(), i * kSize), kSize);
          EXPECT_EQ(::lseek(file.get(), 0, SEEK_DATA), 0);
          EXPECT_EQ(::lseek(file.get(), 0, SEEK_HOLE), end);
          EXPECT_EQ(::lseek(file.get(), end - 1, SEEK_DATA), end - 1);
          EXPECT_EQ(::lseek(file.get(), end, SEEK_DATA), -1);
        }
      }));
    }
    for (auto& user : users) {
      if (user.wait_for(20s) != std::future_status::ready) {
        ADD_FAILURE() << "it hangs with " << workers;
        ::umount2(path_.c_str(), MNT_FORCE);
      }
    }
    EXPECT_TRUE(stop());
    result_ = {};
    vault_.remount();
  }
}

TEST_F(SessionTest, ManyHands) {
  mount();
  std::vector<std::thread> users;
  for (int user = 0; user < 6; user++) {
    users.emplace_back([&, user] {
      for (int i = 0; i < 60; i++) {
        const std::string name = in("f" + std::to_string(user) + "-" + std::to_string(i));
        const std::string text(static_cast<std::size_t>(i) * 1777, static_cast<char>('a' + user));
        write_file(name, text);
        EXPECT_EQ(read_file(name), text);
        if (i % 3 == 0) {
          EXPECT_EQ(::unlink(name.c_str()), 0);
        }
      }
    });
  }
  for (auto& user : users) user.join();
  EXPECT_TRUE(stop());
  vault_.mount();
  EXPECT_EQ(vault_.list("").size(), 6U * 40U);
}

TEST_F(SessionTest, OneWorkerIsEnough) {
  SessionOptions options;
  options.workers = 1;
  mount(options);
  write_file(in("file"), std::string(300000, 'x'));
  EXPECT_EQ(read_file(in("file")).size(), 300000U);
  const UniqueFd file(::open(in("file").c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_EQ(::fsync(file.get()), 0);
}

}  // namespace
}  // namespace coffer::mount
