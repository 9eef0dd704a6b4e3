// A file with changes that are not in it yet, against a string that has them.
#include "fs/overlay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/support/temp_dir.h"

namespace coffer::fs {
namespace {

class OverlayTest : public testing::Test {
 protected:
  OverlayTest() {
    fd_ = *base::sys::openat(FdRef(dir_), "file", O_RDWR | O_CREAT, 0600);
    elsewhere_ = *base::sys::openat(FdRef(dir_), "elsewhere", O_RDWR | O_CREAT, 0600);
  }

  base::Bytes noise(std::size_t size) {
    base::Bytes bytes(size);
    for (base::Byte& byte : bytes) byte = static_cast<base::Byte>(1 + random_() % 255);
    return bytes;
  }
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

  void put(std::uint64_t offset, ByteView bytes) {
    if (model_.size() < offset + bytes.size()) model_.resize(offset + bytes.size());
    std::copy(bytes.begin(), bytes.end(), model_.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  void start(std::size_t size) {
    model_ = noise(size);
    ASSERT_TRUE(base::sys::ftruncate(fd_, 0));
    ASSERT_TRUE(base::sys::pwrite_full(fd_, model_, 0));
  }
  void change() {
    const std::uint64_t offset = below(20000);
    const std::uint64_t length = 1 + below(5000);
    switch (below(4)) {
      case 0: {
        base::Bytes bytes = noise(length);
        put(offset, bytes);
        overlay_.write(offset, std::move(bytes));
        break;
      }
      case 1: {
        const base::Bytes bytes = noise(length);
        ASSERT_TRUE(base::sys::pwrite_full(elsewhere_, bytes, kept_));
        put(offset, bytes);
        overlay_.write(offset, length, elsewhere_, kept_);
        kept_ += length;
        break;
      }
      case 2:
        put(offset, base::Bytes(length));
        overlay_.punch(offset, length);
        break;
      default:
        if (offset < model_.size()) overlay_.cut(offset);
        model_.resize(offset);
    }
  }

  test::TempDir folder_;
  UniqueFd dir_ = folder_.open();
  UniqueFd fd_;
  UniqueFd elsewhere_;
  std::uint64_t kept_ = 0;
  Backing backing_;
  Overlay overlay_;
  base::Bytes model_;
  std::mt19937_64 random_{20261122};
};

TEST_F(OverlayTest, ReadsAsIfTheChangesWereInTheFileAndPutsThemThere) {
  for (int round = 0; round < 100; ++round) {
    start(below(20000));
    for (int step = 0; step < 12; ++step) {
      change();
      const std::uint64_t offset = below(model_.size() + 100);
      base::Bytes out(1 + below(9000));
      auto got = overlay_.read(backing_, fd_, model_.size(), out, offset);
      ASSERT_TRUE(got);
      const std::size_t expected =
          offset >= model_.size() ? 0 : std::min<std::size_t>(out.size(), model_.size() - offset);
      ASSERT_EQ(*got, expected);
      ASSERT_TRUE(std::equal(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(expected),
                             model_.begin() + static_cast<std::ptrdiff_t>(offset)))
          << "round " << round << " step " << step;
    }
    for (int again = 0; again < 2; ++again) {  // twice comes to the same
      ASSERT_TRUE(overlay_.apply(backing_, fd_, model_.size()));
      base::Bytes out(model_.size() + 1);
      auto got = backing_.pread(fd_, out, 0);
      ASSERT_TRUE(got);
      out.resize(*got);
      ASSERT_EQ(out, model_) << "round " << round;
    }
    overlay_.clear();
  }
}

TEST_F(OverlayTest, SaysWhereDataAndHolesMayBeginAndNeverBehindThat) {
  for (int round = 0; round < 100; ++round) {
    start(below(20000));
    for (int step = 0; step < 8; ++step) change();
    for (std::uint64_t offset = 0; offset < model_.size(); offset += 1 + below(3000)) {
      const auto from = model_.begin() + static_cast<std::ptrdiff_t>(offset);
      const auto data = std::find_if(from, model_.end(), [](base::Byte byte) { return byte != 0; });
      const auto hole = std::find(from, model_.end(), 0);
      auto may_be = overlay_.seek_data(backing_, fd_, offset);
      if (data != model_.end()) {
        ASSERT_TRUE(may_be);
        ASSERT_LE(*may_be, static_cast<std::uint64_t>(data - model_.begin()));
        ASSERT_GE(*may_be, offset);
      }
      may_be = overlay_.seek_hole(backing_, fd_, offset);
      ASSERT_TRUE(may_be);
      ASSERT_LE(*may_be, static_cast<std::uint64_t>(hole - model_.begin()));
    }
    overlay_.clear();
  }
}

}  // namespace
}  // namespace coffer::fs
