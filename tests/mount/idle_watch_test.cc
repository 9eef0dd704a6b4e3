#include "mount/idle_watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>

namespace coffer::mount {
namespace {

using namespace std::chrono_literals;

// Waits for a number to reach a value, with a limit that only a broken watch runs into.
bool reaches(const std::atomic<int>& number, int value, std::chrono::milliseconds limit = 20s) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (number < value && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(5ms);
  return number >= value;
}

TEST(IdleWatch, LocksOnceNobodyCame) {
  std::atomic<int> locks = 0;
  IdleWatch watch(
      200ms, [] { return Activity{}; }, [&] { return ++locks > 0; });
  EXPECT_TRUE(reaches(locks, 1));
  std::this_thread::sleep_for(400ms);
  EXPECT_EQ(locks, 1);  // it ended
}

TEST(IdleWatch, RequestsAndOpenFilesKeepItOpen) {
  std::atomic<std::uint64_t> requests = 0;
  std::atomic<bool> busy = true;
  std::atomic<std::uint64_t> open = 0;
  std::atomic<int> locks = 0;
  IdleWatch watch(
      300ms,
      [&] {
        if (busy) ++requests;
        return Activity{requests, open};
      },
      [&] { return ++locks > 0; });
  std::this_thread::sleep_for(900ms);
  EXPECT_EQ(locks, 0);
  open = 1;
  busy = false;
  std::this_thread::sleep_for(900ms);
  EXPECT_EQ(locks, 0);
  open = 0;
  EXPECT_TRUE(reaches(locks, 1));
}

TEST(IdleWatch, TriesAgainWhenTheMountWasBusy) {
  std::atomic<int> locks = 0;
  IdleWatch watch(
      100ms, [] { return Activity{}; }, [&] { return ++locks >= 3; });
  EXPECT_TRUE(reaches(locks, 3));
}

TEST(IdleWatch, EndsAtOnceWhenAsked) {
  const auto begin = std::chrono::steady_clock::now();
  {
    IdleWatch watch(
        std::chrono::hours(1), [] { return Activity{}; }, [] { return true; });
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
}

}  // namespace
}  // namespace coffer::mount
