#include "mount/mount_table.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <chrono>

#include "base/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace coffer::mount {
namespace {

TEST(MountTable, ALineIsTakenApart) {
  const auto entries = parse_mountinfo(
      "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
      "41 36 0:52 / /home/ann/Vault rw,nosuid,nodev,relatime - fuse.coffer /home/ann/Drive rw,user_id=0\n");
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].id, 36U);
  EXPECT_EQ(entries[0].device, makedev(98, 0));
  EXPECT_EQ(entries[0].mount_point, "/mnt2");
  EXPECT_EQ(entries[0].type, "ext3");
  EXPECT_EQ(entries[0].source, "/dev/root");
  EXPECT_EQ(entries[0].options, "rw,noatime");
  EXPECT_FALSE(is_coffer(entries[0]));
  EXPECT_TRUE(is_coffer(entries[1]));
  EXPECT_EQ(entries[1].source, "/home/ann/Drive");
}

TEST(MountTable, OptionalFieldsMayBeAnyNumber) {
  const auto entries = parse_mountinfo(
      "1 0 0:1 / /a rw - fuse.coffer s rw\n"
      "2 0 0:2 / /b rw shared:1 master:2 propagate_from:3 unbindable - fuse.coffer s rw\n");
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[1].mount_point, "/b");
  EXPECT_TRUE(is_coffer(entries[1]));
}

TEST(MountTable, EscapesAreUndone) {
  const auto entries = parse_mountinfo(R"(1 0 0:1 / /a\040b\011c\012d\134e rw - fuse.coffer /my\040vault,\134x rw)");
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].mount_point, "/a b\tc\nd\\e");
  EXPECT_EQ(entries[0].source, "/my vault,\\x");
}

TEST(MountTable, WhatOnlyLooksLikeAnEscapeIsLeftAlone) {
  const auto entries = parse_mountinfo(R"(1 0 0:1 / /\04 rw - t \9\400\04x rw)");
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].mount_point, "/\\04");
  EXPECT_EQ(entries[0].source, "\\9\\400\\04x");
}

TEST(MountTable, OtherLinesAreSkipped) {
  const std::string good = "1 0 0:1 / /a rw shared:1 - fuse.coffer /s rw";
  for (std::size_t size = 0; size < good.find("/s"); size++) {
    EXPECT_TRUE(parse_mountinfo(good.substr(0, size)).empty()) << size;
  }
  EXPECT_EQ(parse_mountinfo("garbage\n\n" + good + "\nx 0 0:1 / /a rw - t s rw\n1 0 01 / /a rw - t s rw\n").size(), 1U);
}

TEST(MountTable, TheRootIsMounted) {
  const auto root = mount_at("/");
  ASSERT_TRUE(root);
  ASSERT_TRUE(*root);
  EXPECT_EQ((*root)->mount_point, "/");
  EXPECT_FALSE(is_stale("/"));
  const auto proc = mount_at("/proc/../proc/");
  ASSERT_TRUE(proc);
  ASSERT_TRUE(*proc);
  EXPECT_EQ((*proc)->type, "proc");
}

// A daemon that has hung must not hang those who look at its mount (`coffer lock` of another one).
TEST(MountTable, AMountThatDoesNotAnswerIsNotWaitedForLong) {
  const base::UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  test::TempDir folder;
  const std::string options = fmt::format("fd={},rootmode=40000,user_id=0,group_id=0", device.get());
  if (::mount("hangs", folder.path().c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
    GTEST_SKIP() << "nothing can be mounted here";
  }
  const auto before = std::chrono::steady_clock::now();
  EXPECT_FALSE(is_stale(folder.path()));
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(10));
  EXPECT_TRUE(unmount(folder.path(), true));
}

TEST(MountTable, UnmountingWhatIsNotMountedFails) {
  const auto status = unmount("/proc/self", false);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().code(), EBUSY);
}

}  // namespace
}  // namespace coffer::mount
