// base::sys: names, attributes and directories.
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <algorithm>
#include <set>

#include "base/sys.h"
#include "temp_dir.h"

namespace coffer::base {
namespace {

void make_file(const TempDir& dir, const char* name) {
  ASSERT_TRUE(sys::openat(dir.fd(), name, O_CREAT | O_EXCL | O_WRONLY, 0644));
}

TEST(SysNames, DescriptorsAreClosedOnExec) {
  TempDir dir;
  make_file(dir, "file");
  auto close_on_exec = [](const UniqueFd& fd) { return (::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0; };
  UniqueFd fd = *sys::openat(dir.fd(), "file", O_RDONLY);
  EXPECT_TRUE(close_on_exec(fd));
  EXPECT_TRUE(close_on_exec(*sys::openat_beneath(dir.fd(), "file", O_RDONLY)));
  EXPECT_TRUE(close_on_exec(*sys::dup(fd)));
  EXPECT_TRUE(close_on_exec(*sys::reopen(fd, O_RDWR)));
}

TEST(SysNames, ReopenGivesOtherAccess) {
  TempDir dir;
  make_file(dir, "file");
  UniqueFd path_only = *sys::openat(dir.fd(), "file", O_PATH);
  Byte byte = 7;
  EXPECT_FALSE(sys::pwrite_full(path_only, {&byte, 1}, 0));
  UniqueFd writable = *sys::reopen(path_only, O_RDWR);
  EXPECT_TRUE(sys::pwrite_full(writable, {&byte, 1}, 0));
  EXPECT_EQ(sys::statx(path_only)->size, 1U);
}

TEST(SysNames, NothingLeadsOutOfAFolder) {
  TempDir dir;
  ASSERT_TRUE(sys::mkdirat(dir.fd(), "inner", 0755));
  ASSERT_TRUE(sys::mkdirat(dir.fd(), "inner/deeper", 0755));
  make_file(dir, "outside");
  ASSERT_EQ(::symlinkat("../outside", dir.fd().get(), "inner/link"), 0);
  ASSERT_EQ(::symlinkat("deeper", dir.fd().get(), "inner/folder-link"), 0);
  UniqueFd inner = *sys::openat(dir.fd(), "inner", O_RDONLY | O_DIRECTORY);
  EXPECT_TRUE(sys::openat_beneath(inner, "deeper", O_RDONLY));
  EXPECT_TRUE(sys::openat_beneath(inner, "deeper/..", O_RDONLY));
  EXPECT_EQ(sys::openat_beneath(inner, "../outside", O_RDONLY).error(), Errno(EXDEV));
  EXPECT_EQ(sys::openat_beneath(inner, "/etc/passwd", O_RDONLY).error(), Errno(EXDEV));
  EXPECT_EQ(sys::openat_beneath(inner, "link", O_RDONLY).error(), Errno(ELOOP));
  EXPECT_EQ(sys::openat_beneath(inner, "folder-link/..", O_RDONLY).error(), Errno(ELOOP));
  EXPECT_EQ(sys::openat(inner, "link", O_RDONLY).error(), Errno(ELOOP));
}

TEST(SysNames, AttributesIncludeBirthAndNanoseconds) {
  TempDir dir;
  make_file(dir, "file");
  const timespec times[2] = {{1'234'567'890, 123'456'789}, {-1, 999'999'999}};
  ASSERT_TRUE(sys::utimensat(dir.fd(), "file", times));
  sys::Stat attributes = *sys::statx(dir.fd(), "file");
  EXPECT_TRUE(S_ISREG(attributes.mode));
  EXPECT_EQ(attributes.mode & 07777, 0644U);
  EXPECT_EQ(attributes.nlink, 1U);
  EXPECT_EQ(attributes.size, 0U);
  EXPECT_EQ(attributes.atime.tv_sec, 1'234'567'890);
  EXPECT_EQ(attributes.atime.tv_nsec, 123'456'789);
  EXPECT_EQ(attributes.mtime.tv_sec, -1);
  EXPECT_EQ(attributes.mtime.tv_nsec, 999'999'999);
  struct stat plain;
  ASSERT_EQ(::fstatat(dir.fd().get(), "file", &plain, 0), 0);
  EXPECT_EQ(attributes.dev, plain.st_dev);
  EXPECT_EQ(attributes.ino, plain.st_ino);
}

TEST(SysNames, LinksAreNotFollowed) {
  TempDir dir;
  make_file(dir, "target");
  ASSERT_EQ(::symlinkat("target", dir.fd().get(), "link"), 0);
  EXPECT_TRUE(S_ISLNK(sys::statx(dir.fd(), "link")->mode));
  EXPECT_EQ(sys::fchmodat(dir.fd(), "link", 0777).error(), Errno(ELOOP));
  const timespec times[2] = {{1, 0}, {1, 0}};
  ASSERT_TRUE(sys::utimensat(dir.fd(), "link", times));
  EXPECT_EQ(sys::statx(dir.fd(), "link")->mtime.tv_sec, 1);
  EXPECT_NE(sys::statx(dir.fd(), "target")->mtime.tv_sec, 1);
  EXPECT_EQ(sys::statx(dir.fd(), "target")->mode & 07777, 0644U);
}

TEST(SysNames, ModesOfFilesNobodyMayOpen) {
  TempDir dir;
  make_file(dir, "file");
  ASSERT_TRUE(sys::fchmodat(dir.fd(), "file", 0));
  EXPECT_EQ(sys::statx(dir.fd(), "file")->mode & 07777, 0U);
  ASSERT_TRUE(sys::fchmodat(dir.fd(), "file", 04751));
  EXPECT_EQ(sys::statx(dir.fd(), "file")->mode & 07777, 04751U);
}

TEST(SysNames, RenameAndLink) {
  TempDir dir;
  make_file(dir, "a");
  make_file(dir, "b");
  EXPECT_EQ(sys::renameat2(dir.fd(), "a", dir.fd(), "b", RENAME_NOREPLACE).error(), Errno(EEXIST));
  ino_t a = sys::statx(dir.fd(), "a")->ino;
  ASSERT_TRUE(sys::renameat2(dir.fd(), "a", dir.fd(), "b", RENAME_EXCHANGE));
  EXPECT_EQ(sys::statx(dir.fd(), "b")->ino, a);
  ASSERT_TRUE(sys::linkat(dir.fd(), "b", dir.fd(), "c"));
  EXPECT_EQ(sys::statx(dir.fd(), "c")->nlink, 2U);
  ASSERT_TRUE(sys::renameat2(dir.fd(), "b", dir.fd(), "a"));
  EXPECT_EQ(sys::statx(dir.fd(), "a")->ino, a);
  ASSERT_TRUE(sys::unlinkat(dir.fd(), "a"));
  EXPECT_EQ(sys::statx(dir.fd(), "c")->nlink, 1U);
}

// Entry and folder take different paths through /proc; neither may depend on what the name looks like.
TEST(SysNames, ExtendedAttributes) {
  TempDir dir;
  std::string long_name(255, 'n');
  make_file(dir, long_name.c_str());
  make_file(dir, "..name");
  ASSERT_TRUE(sys::mkdirat(dir.fd(), "folder", 0755));
  for (const char* name : {long_name.c_str(), "..name", "folder", "."}) {
    EXPECT_EQ(sys::getxattr(dir.fd(), name, "user.coffer.test").error(), Errno(ENODATA)) << name;
    for (std::size_t size : {0U, 1U, 255U, 256U, 257U, 3000U}) {
      Bytes value(size, 'v');
      ASSERT_TRUE(sys::setxattr(dir.fd(), name, "user.coffer.test", value, 0)) << name << " " << size;
      auto seen = sys::getxattr(dir.fd(), name, "user.coffer.test");
      ASSERT_TRUE(seen);
      EXPECT_EQ(*seen, value) << name;
    }
    EXPECT_EQ(sys::setxattr(dir.fd(), name, "user.coffer.test", {}, XATTR_CREATE).error(), Errno(EEXIST));
    auto names = sys::listxattr(dir.fd(), name);
    ASSERT_TRUE(names);
    EXPECT_EQ(std::count(names->begin(), names->end(), "user.coffer.test"), 1) << name;
    ASSERT_TRUE(sys::removexattr(dir.fd(), name, "user.coffer.test"));
    EXPECT_EQ(sys::removexattr(dir.fd(), name, "user.coffer.test").error(), Errno(ENODATA));
  }
}

TEST(SysNames, ManyExtendedAttributeNames) {
  TempDir dir;
  make_file(dir, "file");
  std::set<std::string> wanted;
  for (int i = 0; i < 25; ++i) {  // more than the first guess of 1024 bytes, less than a block of ext4
    std::string name = "user." + std::string(50, 'x') + std::to_string(i);
    ASSERT_TRUE(sys::setxattr(dir.fd(), "file", name.c_str(), {}, 0)) << i;
    wanted.insert(name);
  }
  auto names = sys::listxattr(dir.fd(), "file");
  ASSERT_TRUE(names);
  std::erase_if(*names, [](const std::string& name) { return !name.starts_with("user."); });
  EXPECT_EQ(std::set<std::string>(names->begin(), names->end()), wanted);
}

TEST(SysNames, ReadsDirectoriesFromTheirStart) {
  TempDir dir;
  std::set<std::string> wanted;
  for (int i = 0; i < 500; ++i) {
    std::string name = "entry " + std::to_string(i);
    make_file(dir, name.c_str());
    wanted.insert(name);
  }
  ASSERT_TRUE(sys::mkdirat(dir.fd(), "folder", 0755));
  wanted.insert("folder");
  for (int round = 0; round < 2; ++round) {  // each call starts anew, whatever was read before
    auto entries = sys::read_directory(dir.fd());
    ASSERT_TRUE(entries);
    std::set<std::string> seen;
    for (const sys::DirEntry& entry : *entries) {
      EXPECT_TRUE(seen.insert(entry.name).second) << entry.name;
      EXPECT_EQ(entry.type, entry.name == "folder" ? DT_DIR : DT_REG);
      EXPECT_NE(entry.ino, 0U);
    }
    EXPECT_EQ(seen, wanted);
  }
  UniqueFd path_only = *sys::openat(dir.fd(), "folder", O_PATH | O_DIRECTORY);
  EXPECT_TRUE(sys::read_directory(path_only)->empty());
  UniqueFd file = *sys::openat(dir.fd(), "entry 0", O_RDONLY);
  EXPECT_EQ(sys::read_directory(file).error(), Errno(ENOTDIR));
}

TEST(SysNames, DescriptorsAreOwnedOnce) {
  TempDir dir;
  make_file(dir, "file");
  UniqueFd first = *sys::openat(dir.fd(), "file", O_RDONLY);
  int number = first.get();
  UniqueFd second = std::move(first);
  EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move): what moving leaves is what is tested
  EXPECT_EQ(second.get(), number);
  UniqueFd third = *sys::dup(second);
  int other = third.get();
  third = std::move(second);
  EXPECT_EQ(third.get(), number);
  EXPECT_EQ(::fcntl(other, F_GETFD), -1);  // what it owned before is closed
  third.reset();
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

}  // namespace
}  // namespace coffer::base
