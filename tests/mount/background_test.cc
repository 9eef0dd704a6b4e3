#include "mount/background.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "mount/stop_signals.h"
#include "tests/support/temp_dir.h"

namespace coffer::mount {
namespace {

TEST(Background, TheParentWaitsUntilTheDaemonIsReady) {
  test::TempDir folder;
  const std::string trace = folder.path() + "/trace";
  const auto done = run_in_background([&](ReadyReporter& reporter) {
    std::ofstream(trace) << "before";
    reporter.ready();
    return 0;
  });
  ASSERT_TRUE(done);
  std::string text;
  std::ifstream(trace) >> text;
  EXPECT_EQ(text, "before");
}

TEST(Background, TheDaemonLeavesTerminalAndFolder) {
  test::TempDir folder;
  const std::string trace = folder.path() + "/trace";
  const auto done = run_in_background([&](ReadyReporter& reporter) {
    const bool apart_before = ::getsid(0) == ::getpid();
    std::thread([&] { reporter.ready(); }).join();
    struct stat out {
    }, null{};
    const bool silent =
        ::fstat(STDOUT_FILENO, &out) == 0 && ::stat("/dev/null", &null) == 0 && out.st_rdev == null.st_rdev;
    char here[8] = {};
    const bool at_root = ::getcwd(here, sizeof here) != nullptr && std::string(here) == "/";
    std::ofstream(trace + ".part") << apart_before << (::getsid(0) == ::getpid()) << silent << at_root;
    ::rename((trace + ".part").c_str(), trace.c_str());
    return 0;
  });
  ASSERT_TRUE(done);
  for (int i = 0; i < 500 && ::access(trace.c_str(), F_OK) != 0; i++) ::usleep(10000);
  std::string text;
  std::ifstream(trace) >> text;
  EXPECT_EQ(text, "0111");
}

TEST(Background, AFailureComesBackInWords) {
  const auto done = run_in_background([](ReadyReporter& reporter) {
    return reporter.failed({.code = fs::ExitCode::kBusy, .message = "it is mounted already", .hint = "coffer lock /x"});
  });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, fs::ExitCode::kBusy);
  EXPECT_EQ(done.error().message, "it is mounted already");
  EXPECT_EQ(done.error().hint, "coffer lock /x");
}

TEST(Background, ADaemonThatDiesWithoutAWordIsNoticed) {
  const auto ended = run_in_background([](ReadyReporter&) { return 3; });
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, fs::ExitCode::kOther);
  EXPECT_NE(ended.error().message.find("code 3"), std::string::npos);
  const auto killed = run_in_background([](ReadyReporter&) {
    ::raise(SIGKILL);
    return 0;
  });
  ASSERT_FALSE(killed);
  EXPECT_NE(killed.error().message.find("signal 9"), std::string::npos);
}

TEST(Background, InTheForegroundReportsGoNowhere) {
  ReadyReporter reporter;
  reporter.ready();
  EXPECT_EQ(reporter.failed({.code = fs::ExitCode::kBusy, .message = "m", .hint = ""}), 14);
}

TEST(StopSignals, AreReadInsteadOfKilling) {
  StopSignals signals;
  EXPECT_EQ(signals.take(), 0);
  ::kill(::getpid(), SIGTERM);
  ::kill(::getpid(), SIGHUP);
  EXPECT_NE(signals.take(), 0);
  EXPECT_NE(signals.take(), 0);
  EXPECT_EQ(signals.take(), 0);
}

TEST(StopSignals, LateOnesAreDropped) {
  {
    StopSignals signals;
    ::kill(::getpid(), SIGINT);
  }
  SUCCEED();  // else this process would be gone
}

}  // namespace
}  // namespace coffer::mount
