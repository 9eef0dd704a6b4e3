#include "mount/convert.h"

#include <gtest/gtest.h>

namespace coffer::mount {
namespace {

TEST(Convert, AttributesReachStat) {
  fs::Attr attr;
  attr.id = fs::InodeId{7};
  attr.ino = 1234567;
  attr.mode = S_IFREG | 04755;
  attr.nlink = 3;
  attr.uid = 1000;
  attr.gid = 1001;
  attr.rdev = 99;
  attr.size = std::uint64_t{5} << 40;
  attr.blocks = 8;
  attr.atime = {1, 2};
  attr.mtime = {-3, 4};
  attr.ctime = {5, 999999999};
  attr.trust = std::chrono::milliseconds(1500);
  attr.name_trust = std::chrono::milliseconds(2500);
  const auto entry = to_entry(attr);
  EXPECT_EQ(entry.ino, 7U);
  EXPECT_EQ(entry.attr.st_ino, 1234567U);
  EXPECT_EQ(entry.attr.st_mode, static_cast<mode_t>(S_IFREG | 04755));
  EXPECT_EQ(entry.attr.st_nlink, 3U);
  EXPECT_EQ(entry.attr.st_uid, 1000U);
  EXPECT_EQ(entry.attr.st_gid, 1001U);
  EXPECT_EQ(entry.attr.st_rdev, 99U);
  EXPECT_EQ(entry.attr.st_size, off_t{5} << 40);
  EXPECT_EQ(entry.attr.st_blocks, 8);
  EXPECT_EQ(entry.attr.st_mtim.tv_sec, -3);
  EXPECT_EQ(entry.attr.st_ctim.tv_nsec, 999999999);
  EXPECT_DOUBLE_EQ(entry.entry_timeout, 2.5);
  EXPECT_DOUBLE_EQ(entry.attr_timeout, 1.5);
}

TEST(Convert, AnAbsentNameHasNoInodeButATimeout) {
  const auto entry = absent_entry(std::chrono::milliseconds(250));
  EXPECT_EQ(entry.ino, 0U);
  EXPECT_DOUBLE_EQ(entry.entry_timeout, 0.25);
}

TEST(Convert, OnlyWhatIsToBeSetIsSet) {
  struct stat attr {};
  attr.st_mode = S_IFREG | 02640;
  attr.st_uid = 5;
  attr.st_gid = 6;
  attr.st_size = 7;
  attr.st_atim = {8, 9};
  attr.st_mtim = {10, 11};
  const auto nothing = to_change(attr, FUSE_SET_ATTR_CTIME, false);
  EXPECT_FALSE(nothing.mode || nothing.uid || nothing.gid || nothing.size || nothing.atime || nothing.mtime);
  EXPECT_FALSE(nothing.kill_suidgid);

  const auto all = to_change(attr,
                             FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID | FUSE_SET_ATTR_SIZE |
                                 FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME,
                             true);
  EXPECT_EQ(all.mode, mode_t{02640});
  EXPECT_EQ(all.uid, uid_t{5});
  EXPECT_EQ(all.gid, gid_t{6});
  EXPECT_EQ(all.size, 7U);
  ASSERT_TRUE(all.atime && all.mtime);
  EXPECT_EQ(all.atime->tv_nsec, 9);
  EXPECT_EQ(all.mtime->tv_sec, 10);
  EXPECT_TRUE(all.kill_suidgid);
}

// The kernel sets both bits (fs/fuse/dir.c, iattr_to_fattr: FATTR_ATIME, and FATTR_ATIME_NOW unless a time was given).
TEST(Convert, NowWinsOverATime) {
  struct stat attr {};
  attr.st_atim = {8, 9};
  const auto change = to_change(
      attr, FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW, false);
  ASSERT_TRUE(change.atime && change.mtime);
  EXPECT_EQ(change.atime->tv_nsec, UTIME_NOW);
  EXPECT_EQ(change.mtime->tv_nsec, UTIME_NOW);
}

TEST(Convert, RoomIsCountedInOneUnit) {
  fs::StatFs room;
  room.blocks = 100;
  room.blocks_free = 50;
  room.blocks_available = 40;
  room.files = 10;
  room.files_free = 5;
  const auto out = to_statvfs(room);
  EXPECT_EQ(out.f_frsize, 4096U);
  EXPECT_EQ(out.f_bsize, 4096U);
  EXPECT_EQ(out.f_blocks, 100U);
  EXPECT_EQ(out.f_bfree, 50U);
  EXPECT_EQ(out.f_bavail, 40U);
  EXPECT_EQ(out.f_files, 10U);
  EXPECT_EQ(out.f_ffree, 5U);
  EXPECT_EQ(out.f_namemax, 255U);
}

}  // namespace
}  // namespace coffer::mount
