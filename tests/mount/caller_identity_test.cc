#include "mount/caller_identity.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/support/temp_dir.h"

namespace coffer::mount {
namespace {

constexpr fs::Caller kAnn{.uid = 12345, .gid = 23456, .pid = 1, .umask = 027};

struct stat stat_of(const std::string& path) {
  struct stat attr {};
  EXPECT_EQ(::lstat(path.c_str(), &attr), 0) << path;
  return attr;
}

void make_file(const std::string& path, mode_t mode) {
  const base::UniqueFd file(::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode));
  EXPECT_TRUE(file.valid()) << path << ": " << errno;
}

// In a process of its own: securebits stay with the thread, and threads started later.
void in_child(const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::thread(body).join();
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

class CallerIdentityTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  }
  test::TempDir folder_;
};

TEST_F(CallerIdentityTest, WhatIsCreatedBelongsToTheCaller) {
  in_child([&] {
    ASSERT_TRUE(keep_capabilities_for_callers());
    ::umask(022);
    CallerIdentity identity;
    ASSERT_TRUE(identity.assume(kAnn));
    make_file(folder_.path() + "/hers", 0666);
    identity.resume_own();
    make_file(folder_.path() + "/ours", 0666);
    const auto hers = stat_of(folder_.path() + "/hers");
    EXPECT_EQ(hers.st_uid, kAnn.uid);
    EXPECT_EQ(hers.st_gid, kAnn.gid);
    EXPECT_EQ(hers.st_mode & 07777, 0640U);
    const auto ours = stat_of(folder_.path() + "/ours");
    EXPECT_EQ(ours.st_uid, 0U);
    EXPECT_EQ(ours.st_gid, 0U);
    EXPECT_EQ(ours.st_mode & 07777, 0644U);
  });
}

// CAP_DAC_OVERRIDE and its like survive: the daemon may still work in folders that the caller may not enter.
TEST_F(CallerIdentityTest, CapabilitiesSurvive) {
  in_child([&] {
    ASSERT_TRUE(keep_capabilities_for_callers());
    const std::string closed = folder_.path() + "/closed";
    ASSERT_EQ(::mkdir(closed.c_str(), 0700), 0);
    CallerIdentity identity;
    ASSERT_TRUE(identity.assume(kAnn));
    make_file(closed + "/file", 0600);
    EXPECT_EQ(::unlink((closed + "/file").c_str()), 0);
  });
}

TEST_F(CallerIdentityTest, WithoutTheSecurebitTheyDoNot) {
  in_child([&] {
    ASSERT_EQ(::prctl(PR_SET_SECUREBITS, 0), 0);
    const std::string closed = folder_.path() + "/closed";
    ASSERT_EQ(::mkdir(closed.c_str(), 0700), 0);
    CallerIdentity identity;
    ASSERT_TRUE(identity.assume(kAnn));
    EXPECT_LT(::open((closed + "/file").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600), 0);
  });
}

TEST_F(CallerIdentityTest, TheFolderBelowDoesTheRest) {
  in_child([&] {
    ASSERT_TRUE(keep_capabilities_for_callers());
    const std::string shared = folder_.path() + "/shared";
    ASSERT_EQ(::mkdir(shared.c_str(), 0777), 0);
    ASSERT_EQ(::chown(shared.c_str(), 0, 777), 0);
    ASSERT_EQ(::chmod(shared.c_str(), 02777), 0);
    CallerIdentity identity;
    ASSERT_TRUE(identity.assume(kAnn));
    make_file(shared + "/file", 0666);
    ASSERT_EQ(::mkdir((shared + "/folder").c_str(), 0777), 0);
    EXPECT_EQ(stat_of(shared + "/file").st_gid, 777U);
    EXPECT_EQ(stat_of(shared + "/folder").st_gid, 777U);
    EXPECT_EQ(stat_of(shared + "/folder").st_mode & 07777, 02750U);
  });
}

TEST_F(CallerIdentityTest, OtherThreadsAreNotConcerned) {
  in_child([&] {
    ASSERT_TRUE(keep_capabilities_for_callers());
    ::umask(022);
    std::thread other([&] {
      CallerIdentity identity;
      ASSERT_TRUE(identity.assume(kAnn));
    });
    other.join();
    CallerIdentity mine;
    make_file(folder_.path() + "/file", 0666);
    EXPECT_EQ(stat_of(folder_.path() + "/file").st_uid, 0U);
    EXPECT_EQ(stat_of(folder_.path() + "/file").st_mode & 07777, 0644U);
  });
}

TEST_F(CallerIdentityTest, ImpossibleIdsAreRefused) {
  in_child([&] {
    ASSERT_TRUE(keep_capabilities_for_callers());
    CallerIdentity identity;
    fs::Caller nobody = kAnn;
    nobody.uid = static_cast<uid_t>(-1);
    // -1 asks instead of setting, so the thread stays root: that must not pass for the caller.
    EXPECT_FALSE(identity.assume(nobody));
    identity.resume_own();
    make_file(folder_.path() + "/file", 0666);
    EXPECT_EQ(stat_of(folder_.path() + "/file").st_gid, 0U);
  });
}

TEST(CallerIdentity, TheUmaskIsAppliedWithoutRoot) {
  CallerIdentity identity;
  const fs::Caller me{.uid = ::geteuid(), .gid = ::getegid(), .pid = 1, .umask = 077};
  test::TempDir folder;
  ASSERT_TRUE(identity.assume(me));
  make_file(folder.path() + "/file", identity.mode_for(0666, me));
  EXPECT_EQ(stat_of(folder.path() + "/file").st_mode & 07777, 0600U);
}

}  // namespace
}  // namespace coffer::mount
