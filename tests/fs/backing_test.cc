// No call on the vault leads out of the directory that it names, whatever lies there.
#include "fs/backing.h"

#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/support/temp_dir.h"

namespace coffer::fs {
namespace {

class BackingTest : public ::testing::Test {
 protected:
  BackingTest() {
    for (const char* name : {"vault", "vault/folder", "bait", "bait/folder"})
      std::filesystem::create_directory(at(name));
    for (const char* name : {"vault/file", "bait/file", "bait/folder/file"}) std::ofstream(at(name)) << "text";
    std::filesystem::create_symlink("../bait/file", at("vault/link"));
    std::filesystem::create_symlink("../bait/folder", at("vault/folder-link"));
    vault_ = UniqueFd(::open(at("vault").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }

  std::string at(const std::string& name) const { return dir_.path() + "/" + name; }

  // Every call that takes a name, with this one. True: it failed.
  std::vector<std::pair<const char*, bool>> all_with(const std::string& name) {
    const timespec times[2] = {{1, 0}, {1, 0}};
    const base::Byte byte{7};
    return {{"open", !backing_.open(vault_, name, O_RDWR | O_NONBLOCK)},
            {"create", !backing_.open(vault_, name, O_RDWR | O_CREAT | O_TRUNC, 0600)},
            {"open a folder", !backing_.open(vault_, name, O_PATH | O_DIRECTORY)},
            {"mkdir", !backing_.mkdir(vault_, name, 0700)},
            {"rmdir", !backing_.rmdir(vault_, name)},
            {"chmod", !backing_.chmod(vault_, name, 0777)},
            {"setxattr", !backing_.setxattr(vault_, name, "user.x", {&byte, 1}, 0)},
            {"getxattr", !backing_.getxattr(vault_, name, "user.bait")},
            {"chown", !backing_.chown(vault_, name, 1, 1)},
            {"utimens", !backing_.utimens(vault_, name, times)},
            {"stat", !backing_.stat(vault_, name)},
            {"link from", !backing_.link(vault_, name, vault_, "linked")},
            {"link to", !backing_.link(vault_, "file", vault_, name)},
            {"removexattr", !backing_.removexattr(vault_, name, "user.bait")},
            {"listxattr", !backing_.listxattr(vault_, name)},
            {"rename to", !backing_.rename(vault_, "file", vault_, name, RENAME_NOREPLACE)},
            {"rename from", !backing_.rename(vault_, name, vault_, "renamed", RENAME_NOREPLACE)},
            {"unlink", !backing_.unlink(vault_, name)}};
  }

  void expect_bait_untouched() {
    for (const char* name : {"bait/file", "bait/folder/file", "bait/folder"}) {
      struct stat attr {};
      ASSERT_EQ(::lstat(at(name).c_str(), &attr), 0) << name;
      EXPECT_NE(attr.st_mtim.tv_sec, 1) << name;
      EXPECT_NE(attr.st_mode & 0777, 0777U) << name;
      EXPECT_EQ(attr.st_uid, ::getuid()) << name;
      EXPECT_EQ(::lgetxattr(at(name).c_str(), "user.x", nullptr, 0), -1) << name;
      if (S_ISREG(attr.st_mode)) {
        EXPECT_EQ(attr.st_size, 4) << name;
        EXPECT_EQ(attr.st_nlink, 1U) << name;
      }
    }
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(at("bait")), {}), 2);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(at("bait/folder")), {}), 1);
  }

  test::TempDir dir_;
  UniqueFd vault_;
  Backing backing_;
};

TEST_F(BackingTest, ANameIsOneComponent) {
  for (const std::string& name :
       {std::string("../bait/file"), std::string("../bait/new"), std::string("folder/../../bait/folder"),
        at("bait/file"), std::string(".."), std::string("folder/"), std::string("file\0x", 6)}) {
    for (const auto& [call, failed] : all_with(name)) EXPECT_TRUE(failed) << call << " of " << name;
  }
  EXPECT_EQ(backing_.open(vault_, "../bait/file", O_RDONLY).error(), Errno(EINVAL));
  expect_bait_untouched();
}

TEST_F(BackingTest, LinksAreNotFollowed) {
  for (const char* call : {"open", "create", "open a folder"}) {
    for (const char* link : {"link", "folder-link"}) {
      const int flags = *call == 'c' ? O_RDWR | O_CREAT : call[4] == 0 ? O_RDONLY | O_NONBLOCK : O_PATH | O_DIRECTORY;
      EXPECT_FALSE(backing_.open(vault_, link, flags, 0600)) << call << " of " << link;
    }
  }
  // What succeeds is done to the link.
  for (const char* link : {"link", "folder-link"}) static_cast<void>(all_with(link));
  expect_bait_untouched();
}

}  // namespace
}  // namespace coffer::fs
