#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace coffer::base {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return Errno(EINVAL);
  return value / 2;
}

Result<int> quarter(int value) {
  COFFER_ASSIGN_OR_RETURN(int first, half(value));
  COFFER_ASSIGN_OR_RETURN(int second, half(first));
  return second;
}

Status both_even(int a, int b) {
  COFFER_RETURN_IF_ERROR(half(a));
  COFFER_RETURN_IF_ERROR(half(b));
  return ok();
}

TEST(Result, HoldsAValueOrAnErrno) {
  Result<int> good = half(4);
  ASSERT_TRUE(good.has_value());
  EXPECT_TRUE(static_cast<bool>(good));
  EXPECT_EQ(*good, 2);
  Result<int> bad = half(3);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error(), Errno(EINVAL));
  EXPECT_EQ(bad.error().code(), EINVAL);
}

TEST(Result, MacrosPassErrorsOn) {
  EXPECT_EQ(*quarter(12), 3);
  EXPECT_EQ(quarter(6).error(), Errno(EINVAL));
  EXPECT_EQ(quarter(5).error(), Errno(EINVAL));
  EXPECT_TRUE(both_even(2, 4));
  EXPECT_FALSE(both_even(2, 3));
}

TEST(Result, MovesWhatCannotBeCopied) {
  Result<std::unique_ptr<std::string>> result = std::make_unique<std::string>("text");
  EXPECT_EQ((*result)->size(), 4U);
  std::unique_ptr<std::string> taken = *std::move(result);
  EXPECT_EQ(*taken, "text");
}

TEST(Result, ErrnoOfTheLastCall) {
  errno = ENOSPC;
  EXPECT_EQ(Errno::last(), Errno(ENOSPC));
}

using ResultDeathTest = testing::Test;

TEST(ResultDeathTest, MisuseAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({ [[maybe_unused]] Errno none(0); }, "errno");
  EXPECT_DEATH({ [[maybe_unused]] Errno negative(-EIO); }, "errno");
  EXPECT_DEATH({ [[maybe_unused]] int value = *half(3); }, "");
  EXPECT_DEATH({ [[maybe_unused]] Errno error = half(4).error(); }, "");
}

}  // namespace
}  // namespace coffer::base
