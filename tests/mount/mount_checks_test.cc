#include "mount/mount_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "crypto/random.h"
#include "mount/processes.h"
#include "tests/support/temp_dir.h"

namespace coffer::mount {
namespace {

using fs::ExitCode;
using ::testing::HasSubstr;

class MountChecksTest : public ::testing::Test {
 protected:
  MountChecksTest() {
    crypto::init();
    ::setenv("XDG_STATE_HOME", (dir_.path() + "/state").c_str(), 1);
    std::filesystem::create_directories(dir_.path() + "/cloud");
    EXPECT_TRUE(fs::VaultFolder::create(vault_, {}, std::nullopt, {1, 8192}));
  }
  ~MountChecksTest() override { ::unsetenv("XDG_STATE_HOME"); }

  fs::Outcome<std::string> check(const std::string& mount_point) {
    auto vault = fs::VaultFolder::open(vault_);
    EXPECT_TRUE(vault);
    return check_mount_point(*vault, mount_point);
  }
  std::string folder(const std::string& name) {
    std::filesystem::create_directories(dir_.path() + "/" + name);
    return dir_.path() + "/" + name;
  }
  void expect_refused(const std::string& mount_point, const std::string& words) {
    const auto refused = check(mount_point);
    ASSERT_FALSE(refused) << mount_point;
    EXPECT_EQ(refused.error().code, ExitCode::kMountPoint);
    EXPECT_THAT(refused.error().message, HasSubstr(words));
    EXPECT_NE(refused.error().hint, "");
  }

  test::TempDir dir_;
  std::string vault_ = dir_.path() + "/cloud/vault";
};

TEST_F(MountChecksTest, AnEmptyFolderIsGoodByAnyName) {
  const std::string path = folder("mnt");
  EXPECT_EQ(*check(path), path);
  EXPECT_EQ(*check(path + "/"), path);
  EXPECT_EQ(*check(path + "/../mnt/."), path);
  std::filesystem::create_directory_symlink(path, dir_.path() + "/link");
  EXPECT_EQ(*check(dir_.path() + "/link"), path);
}

TEST_F(MountChecksTest, WhatIsNoEmptyFolderIsRefused) {
  expect_refused(dir_.path() + "/missing", "does not exist");
  std::ofstream(dir_.path() + "/file") << "x";
  expect_refused(dir_.path() + "/file", "is not a folder");
  std::ofstream(folder("full") + "/letter") << "x";
  expect_refused(dir_.path() + "/full", "is not empty: it holds letter");
}

TEST_F(MountChecksTest, TheVaultAndItsSurroundingsAreRefused) {
  expect_refused(vault_, "is the vault itself");
  std::filesystem::create_directory(vault_ + "/inside");
  expect_refused(vault_ + "/inside", "lies inside the vault");
  expect_refused(dir_.path() + "/cloud", "contains the vault");
  expect_refused("/", "contains the vault");
  std::filesystem::create_directory_symlink(vault_, dir_.path() + "/link");
  expect_refused(dir_.path() + "/link", "is the vault itself");
}

TEST_F(MountChecksTest, ANeighbourWithALongerNameIsNotInside) { EXPECT_TRUE(check(folder("cloud/vault-mount"))); }

TEST_F(MountChecksTest, AHeldVaultIsBusyAfterTheGivenPatience) {
  auto vault = fs::VaultFolder::open(vault_);
  auto first = take_vault(*vault, std::chrono::seconds(0));
  ASSERT_TRUE(first);
  const auto second = take_vault(*vault, std::chrono::milliseconds(300));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ExitCode::kBusy);
}

TEST_F(MountChecksTest, AVaultThatMayNotBeWrittenIsReadOnly) {
  if (::geteuid() == 0) return;  // root may write everywhere; tests/e2e/cli_test.sh mounts a read-only file system
  auto vault = fs::VaultFolder::open(vault_);
  EXPECT_TRUE(check_writable(*vault));
  ::chmod(vault_.c_str(), 0500);
  EXPECT_EQ(check_writable(*vault).error().code, ExitCode::kReadOnly);
  ::chmod(vault_.c_str(), 0700);
}

TEST_F(MountChecksTest, HoldersAreNamedWithTheirReason) {
  const std::string place = folder("place");
  std::ofstream file(place + "/letter");
  const std::vector<Holder> holders = holders_of(place);
  ASSERT_EQ(holders.size(), 1u);
  EXPECT_EQ(holders[0].pid, ::getpid());
  EXPECT_EQ(holders[0].path, place + "/letter");
  EXPECT_THAT(describe(holders), HasSubstr("has open " + place + "/letter"));
  EXPECT_TRUE(holders_of(dir_.path() + "/pla").empty());  // no prefix of names
}

TEST(Processes, KnowThisOne) {
  EXPECT_THAT(all_processes(), ::testing::Contains(::getpid()));
  EXPECT_EQ(process_user(::getpid()), ::geteuid());
  EXPECT_NE(process_name(::getpid()), "");
  EXPECT_EQ(process_user(-1), std::nullopt);
}

}  // namespace
}  // namespace coffer::mount
