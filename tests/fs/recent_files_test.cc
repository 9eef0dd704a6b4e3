// Files that were closed a moment ago and are still open below.
#include "fs/recent_files.h"

#include <gtest/gtest.h>
#include <fcntl.h>

#include <filesystem>
#include <string>

#include "tests/support/test_vault.h"

namespace coffer {
namespace {

class RecentFilesTest : public testing::Test {
 protected:
  void append(const std::string& path, const std::string& text) {
    auto attr = vault_.lookup(path);
    ASSERT_TRUE(attr);
    auto opened = vault_.fs().open_file(attr->id, O_WRONLY, false);
    ASSERT_TRUE(opened);
    ASSERT_TRUE(vault_.fs().write(opened->handle, attr->size, base::as_bytes(text), {}));
    ASSERT_TRUE(vault_.fs().flush(opened->handle));
    vault_.fs().release(opened->handle);
  }
  // More than are kept.
  void push_out() {
    for (int i = 0; i < 40; ++i) ASSERT_TRUE(vault_.write_file("other" + std::to_string(i), std::string("x")));
  }

  test::TestVault vault_;
};

TEST_F(RecentFilesTest, AppendingAgainAndAgain) {
  ASSERT_TRUE(vault_.write_file("log", std::string()));
  std::string expected;
  for (int i = 0; i < 400; ++i) {
    const std::string line(static_cast<std::size_t>(i % 150), static_cast<char>('a' + i % 26));
    append("log", line);
    expected += line;
    if (i % 100 == 50) push_out();
  }
  EXPECT_EQ(*vault_.read_file("log"), expected);
  vault_.remount();
  EXPECT_EQ(*vault_.read_file("log"), expected);
}

TEST_F(RecentFilesTest, AChangeWithoutAHandleIsWrittenOut) {
  for (const std::uint64_t size : {0, 100, 40000}) {
    ASSERT_TRUE(vault_.write_file("file", std::string(30000, 'a')));
    auto attr = vault_.lookup("file");
    ASSERT_TRUE(attr);
    fs::AttrChange change;
    change.size = size;
    ASSERT_TRUE(vault_.fs().setattr(attr->id, change));
    push_out();
    std::string expected(30000, 'a');
    expected.resize(size);
    const auto content = vault_.read_file("file");
    ASSERT_TRUE(content) << size;
    EXPECT_EQ(*content, expected);
  }
}

TEST_F(RecentFilesTest, WhatSomebodyElseRemovedIsGone) {
  ASSERT_TRUE(vault_.write_file("file", std::string("text")));
  auto attr = vault_.lookup("file");
  ASSERT_TRUE(attr);
  for (const auto& entry : std::filesystem::directory_iterator(vault_.folder())) {
    if (entry.is_regular_file()) std::filesystem::remove(entry.path());
  }
  EXPECT_FALSE(vault_.fs().open_file(attr->id, O_WRONLY, false));
  EXPECT_FALSE(vault_.lookup("file"));
}

}  // namespace
}  // namespace coffer
