#include "base/scratch.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace coffer::base {
namespace {

TEST(Scratch, IsAsLargeAsAskedFor) {
  for (const std::size_t size : {0U, 1U, 5000U, 100U, 3U << 20}) {
    Scratch scratch(size);
    EXPECT_EQ(scratch.size(), size);
    EXPECT_EQ(scratch.span().size(), size);
    std::fill(scratch.span().begin(), scratch.span().end(), Byte{1});
  }
  EXPECT_EQ(Scratch().size(), 0U);
}

TEST(Scratch, SeveralAtOnceAreApart) {
  Scratch one(1000);
  Scratch other(1000);
  EXPECT_NE(one.view().data(), other.view().data());
  std::fill(one.span().begin(), one.span().end(), Byte{1});
  std::fill(other.span().begin(), other.span().end(), Byte{2});
  EXPECT_EQ(one.view()[999], 1);
}

TEST(Scratch, IsLentAgain) {
  const Byte* first;
  {
    Scratch scratch(1000);
    first = scratch.view().data();
  }
  EXPECT_EQ(Scratch(500).view().data(), first);
}

TEST(Scratch, MovesWithItsMemory) {
  Scratch scratch(1000);
  const Byte* data = scratch.view().data();
  Scratch moved(std::move(scratch));
  EXPECT_EQ(moved.view().data(), data);
  EXPECT_EQ(moved.size(), 1000U);
  Scratch assigned;
  assigned = std::move(moved);
  EXPECT_EQ(assigned.view().data(), data);
}

}  // namespace
}  // namespace coffer::base
