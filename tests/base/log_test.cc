#include "base/log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "temp_dir.h"

namespace coffer::base {
namespace {

std::string content(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Log, FileIsPrivateAndAppendedTo) {
  TempDir dir;
  std::string path = dir.path("log");
  ASSERT_TRUE(log_open(path.c_str()));
  log(LogLevel::kError, "chunk {} of {}", 7, "abcdef");
  struct stat attributes;
  ASSERT_EQ(::stat(path.c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 0777, 0600U);
  ASSERT_TRUE(log_open(path.c_str()));
  log(LogLevel::kWarning, "again");
  std::string text = content(path);
  EXPECT_NE(text.find(" error chunk 7 of abcdef\n"), std::string::npos) << text;
  EXPECT_NE(text.find(" warning again\n"), std::string::npos) << text;
}

TEST(Log, FormatCharactersInALineAreText) {
  TempDir dir;
  ASSERT_TRUE(log_open(dir.path("log").c_str()));
  log_line(LogLevel::kError, "{} %s {0:x}");
  EXPECT_NE(content(dir.path("log")).find("{} %s {0:x}"), std::string::npos);
}

TEST(Log, LevelsBelowTheLeastAreDropped) {
  TempDir dir;
  ASSERT_TRUE(log_open(dir.path("log").c_str()));
  log_set_level(LogLevel::kWarning);
  log(LogLevel::kInfo, "unimportant");
  log(LogLevel::kError, "important");
  log_set_level(LogLevel::kInfo);
  EXPECT_EQ(content(dir.path("log")).find("unimportant"), std::string::npos);
  EXPECT_NE(content(dir.path("log")).find(" important"), std::string::npos);
}

TEST(Log, DoesNotFollowALink) {
  TempDir dir;
  ASSERT_EQ(::symlink(dir.path("target").c_str(), dir.path("link").c_str()), 0);
  EXPECT_FALSE(log_open(dir.path("link").c_str()));
  EXPECT_EQ(errno, ELOOP);
  EXPECT_FALSE(log_open(dir.path("no/such/folder").c_str()));
  EXPECT_EQ(errno, ENOENT);
}

TEST(Log, ManyThreadsWriteWholeLines) {
  TempDir dir;
  ASSERT_TRUE(log_open(dir.path("log").c_str()));
  std::vector<std::thread> threads;
  for (int who = 0; who < 4; ++who) {
    threads.emplace_back([who] {
      for (int i = 0; i < 200; ++i) log(LogLevel::kInfo, "thread {} line {} end", who, i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::ifstream file(dir.path("log"));
  std::string line;
  int lines = 0;
  while (std::getline(file, line)) {
    ++lines;
    EXPECT_EQ(line.substr(line.size() - 4), " end") << line;
  }
  EXPECT_EQ(lines, 800);
}

}  // namespace
}  // namespace coffer::base
