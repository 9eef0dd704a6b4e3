// Files that were closed a moment ago and are still open below.
#include "fs/recent_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>

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

// The kernel opens what it looked up before the name went, whether the file was closed a moment ago or is open still.
TEST_F(RecentFilesTest, MayBeOpenedLate) {
  for (const bool open : {false, true}) {
    ASSERT_TRUE(vault_.write_file("f", std::string("text")));
    const fs::InodeId id = vault_.lookup("f")->id;
    auto held = open ? vault_.fs().open_file(id, O_RDONLY, false) : base::Errno(ENOENT);
    ASSERT_TRUE(vault_.unlink("f"));
    if (held) vault_.fs().release(held->handle);
    auto late = vault_.fs().open_file(id, O_RDONLY, false);
    ASSERT_TRUE(late) << late.error().code();
    std::string out(4, ' ');
    EXPECT_TRUE(vault_.fs().read(late->handle, 0, {reinterpret_cast<base::Byte*>(out.data()), out.size()}));
    EXPECT_EQ(out, "text");
    vault_.fs().release(late->handle);
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
