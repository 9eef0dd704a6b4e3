// Confinement cannot be undone, so each test is done in a child; what it returns is the step that did not hold, 0: all.
#include "mount/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "mount/hardening.h"
#include "tests/support/temp_dir.h"

namespace coffer::mount {
namespace {

using base::FdRef;
using base::UniqueFd;

int in_child(const std::function<int()>& steps) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(steps());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

bool has_landlock() { return ::syscall(444, nullptr, 0, 1U) >= 2; }

class SandboxTest : public ::testing::Test {
 protected:
  SandboxTest() {
    for (const char* name : {"vault", "vault/a", "vault/b", "state", "around", "around/mnt", "outside"}) {
      std::filesystem::create_directory(at(name));
    }
    for (const char* name : {"vault/a/file", "outside/file", "around/file"}) std::ofstream(at(name)) << "text";
    vault_ = UniqueFd(::open(at("vault").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    state_ = UniqueFd(::open(at("state").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }

  std::string at(const std::string& name) const { return dir_.path() + "/" + name; }
  SandboxPlan plan(bool read_only = false) const { return {vault_, state_, read_only, at("around/mnt")}; }
  bool can_open(const std::string& name, int flags) const {
    return UniqueFd(::open(at(name).c_str(), flags | O_CLOEXEC, 0600)).valid();
  }
  bool is_denied(const std::string& name, int flags) const { return !can_open(name, flags) && errno == EACCES; }

  test::TempDir dir_;
  UniqueFd vault_;
  UniqueFd state_;
};

TEST_F(SandboxTest, FilesElsewhereAreOutOfReach) {
  if (!has_landlock()) GTEST_SKIP() << "no landlock";
  EXPECT_EQ(in_child([this] {
              if (!confine_files(plan())) return 1;
              if (!kSanitized && !is_denied("outside/file", O_RDONLY)) return 2;
              if (!kSanitized && !is_denied("outside", O_RDONLY | O_DIRECTORY)) return 3;
              if (!is_denied("outside/file", O_WRONLY)) return 4;
              if (!is_denied("outside/new", O_WRONLY | O_CREAT)) return 5;
              if (::mkdir(at("outside/folder").c_str(), 0700) == 0 || errno != EACCES) return 6;
              if (::unlink(at("outside/file").c_str()) == 0 || errno != EACCES) return 7;
              if (::rename(at("vault/a/file").c_str(), at("outside/moved").c_str()) == 0) return 8;
              if (::rename(at("outside/file").c_str(), at("vault/moved").c_str()) == 0) return 9;
              if (::symlink("x", at("vault/link").c_str()) == 0 || errno != EACCES) return 10;
              if (::truncate(at("outside/file").c_str(), 0) == 0) return 11;
              if (!kSanitized && !is_denied("around/file", O_RDONLY)) return 12;
              return 0;
            }),
            0);
  EXPECT_EQ(std::filesystem::file_size(at("outside/file")), 4U);
}

TEST_F(SandboxTest, WhatTheDaemonDoesIsLeft) {
  EXPECT_EQ(
      in_child([this] {
        confine_process(plan());
        if (!can_open("vault/a/new", O_RDWR | O_CREAT | O_EXCL)) return 1;
        if (::rename(at("vault/a/new").c_str(), at("vault/b/new").c_str()) != 0) return 2;
        if (::link(at("vault/b/new").c_str(), at("vault/a/again").c_str()) != 0) return 3;
        if (::mkdir(at("vault/a/folder").c_str(), 0700) != 0) return 4;
        if (::rename(at("vault/a/folder").c_str(), at("vault/b/folder").c_str()) != 0) return 5;
        if (::rmdir(at("vault/b/folder").c_str()) != 0 || ::unlink(at("vault/b/new").c_str()) != 0) return 6;
        if (::truncate(at("vault/a/again").c_str(), 100) != 0) return 7;
        if (!can_open("state/known.tmp", O_WRONLY | O_CREAT)) return 8;
        if (::rename(at("state/known.tmp").c_str(), at("state/known").c_str()) != 0) return 9;
        if (::mknod(at("state/control").c_str(), S_IFSOCK | 0600, 0) != 0) return 10;
        if (::unlink(at("state/control").c_str()) != 0) return 11;
        if (!can_open("around/mnt", O_RDONLY | O_DIRECTORY)) return 12;
        if (!UniqueFd(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC)).valid()) return 13;
        if (!UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)).valid()) return 14;
        // A file that has no name any more, through its descriptor.
        UniqueFd orphan(::open(at("vault/a/file").c_str(), O_PATH | O_CLOEXEC));
        if (::unlink(at("vault/a/file").c_str()) != 0) return 15;
        if (!UniqueFd(::open(("/proc/self/fd/" + std::to_string(orphan.get())).c_str(), O_RDWR | O_CLOEXEC)).valid())
          return 16;
        if (::unshare(CLONE_FS) != 0) return 17;
        if (!UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)).valid()) return 18;
        bool ran = false;
        std::thread([&ran] { ran = true; }).join();
        return ran ? 0 : 19;
      }),
      0);
}

// Whoever renames folders under the daemon does not lead it out of the vault, also not by a descriptor that it has.
TEST_F(SandboxTest, AFolderMovedOutOfTheVaultTakesNothingNew) {
  if (!has_landlock()) GTEST_SKIP() << "no landlock";
  std::thread attacker([this] {
    while (!std::filesystem::exists(at("vault/a/one"))) std::this_thread::yield();
    std::filesystem::rename(at("vault/a"), at("outside/a"));
  });
  const int failed = in_child([this] {
    if (!confine_files(plan())) return 1;
    const UniqueFd folder(::open(at("vault/a").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const auto make = [&](const char* name) {
      return UniqueFd(::openat(folder.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)).valid();
    };
    if (!make("one")) return 2;
    while (::access(at("outside/a").c_str(), F_OK) != 0) std::this_thread::yield();
    if (make("two") || errno != EACCES) return 4;
    if (::mkdirat(folder.get(), "folder", 0700) == 0 || errno != EACCES) return 5;
    if (::unlinkat(folder.get(), "one", 0) == 0 || errno != EACCES) return 6;
    if (::renameat(folder.get(), "file", vault_.get(), "file") == 0) return 7;
    return 0;
  });
  std::ofstream(at("vault/a/one"));  // lets the other one go, whatever happened
  attacker.join();
  EXPECT_EQ(failed, 0);
  EXPECT_TRUE(std::filesystem::exists(at("outside/a/file")));
  EXPECT_FALSE(std::filesystem::exists(at("outside/a/two")));
}

TEST_F(SandboxTest, AReadOnlyMountWritesNothing) {
  if (!has_landlock()) GTEST_SKIP() << "no landlock";
  EXPECT_EQ(in_child([this] {
              if (!confine_files(plan(/*read_only=*/true))) return 1;
              if (!can_open("vault/a/file", O_RDONLY)) return 2;
              if (!is_denied("vault/a/file", O_WRONLY)) return 3;
              if (!is_denied("vault/a/new", O_WRONLY | O_CREAT)) return 4;
              return 0;
            }),
            0);
}

TEST_F(SandboxTest, CallsThatAFileSystemHasNoUseForAreRefused) {
  if (kSanitized) GTEST_SKIP() << "not under sanitizers";
  EXPECT_EQ(in_child([this] {
              if (!confine_calls()) return 1;
              ::execl("/bin/true", "true", nullptr);
              if (errno != EPERM) return 2;
              if (::socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EPERM) return 3;
              if (::socket(AF_NETLINK, SOCK_RAW, 0) >= 0 || errno != EPERM) return 4;
              if (::mount("none", at("outside").c_str(), "tmpfs", 0, nullptr) == 0 || errno != EPERM) return 5;
              if (::umount2(at("outside").c_str(), 0) == 0 || errno != EPERM) return 6;
              if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0) return 7;
              if (::unshare(CLONE_NEWNS) == 0 || ::unshare(CLONE_NEWUSER) == 0) return 8;
              if (::syscall(SYS_io_uring_setup, 1, nullptr) >= 0 || errno != EPERM) return 9;
              return 0;
            }),
            0);
}

}  // namespace
}  // namespace coffer::mount
