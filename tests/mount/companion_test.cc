#include "mount/companion.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace coffer::mount {
namespace {

constexpr int kWindow = 64;  // requests between decisions

cpu_set_t allowed() {
  cpu_set_t set;
  EXPECT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  return set;
}

// A thread that stays on one processor and does nothing, to be named as a caller.
class Caller {
 public:
  explicit Caller(int processor) : processor_(processor), thread_([this] { run(); }) {
    while (id_ == 0) ::sched_yield();
  }
  ~Caller() {
    end_ = true;
    thread_.join();
  }
  pid_t id() const { return id_; }
  void move_to(int processor) {
    moved_ = false;
    processor_ = processor;
    while (!moved_) ::sched_yield();
  }

 private:
  void run() {
    for (int now = -1; !end_;) {
      if (const int wanted = processor_; wanted != now) {
        cpu_set_t only;
        CPU_ZERO(&only);
        CPU_SET(static_cast<unsigned>(wanted), &only);
        ::sched_setaffinity(0, sizeof only, &only);
        now = wanted;
        moved_ = true;
        id_ = ::gettid();
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  std::atomic<int> processor_;
  std::atomic<pid_t> id_{0};
  std::atomic<bool> moved_{false};
  std::atomic<bool> end_{false};
  std::thread thread_;
};

class CompanionTest : public testing::Test {
 protected:
  void SetUp() override {
    before_ = allowed();
    if (CPU_COUNT(&before_) < 2) GTEST_SKIP() << "only one processor";
    for (unsigned i = 0; i < CPU_SETSIZE; ++i) {
      if (CPU_ISSET(i, &before_)) processors_[count_++ % 2] = static_cast<int>(i);
    }
  }
  void TearDown() override { ::sched_setaffinity(0, sizeof before_, &before_); }

  void ask(pid_t caller, int times) {
    for (int i = 0; i < times; ++i) companion_.asked_by(caller);
  }
  static bool is_bound_to(int processor) {
    const cpu_set_t now = allowed();
    return CPU_COUNT(&now) == 1 && CPU_ISSET(static_cast<unsigned>(processor), &now);
  }
  bool is_free() const {
    const cpu_set_t now = allowed();
    return CPU_EQUAL(&now, &before_) != 0;
  }

  Companion companion_{1'000'000'000};  // however busy the machine is that runs the tests
  cpu_set_t before_{};
  int processors_[2] = {};
  int count_ = 0;
};

TEST_F(CompanionTest, GoesWhereItsOnlyCallerIs) {
  for (const int processor : processors_) {
    const Caller caller(processor);
    ask(caller.id(), kWindow - 1);
    ask(caller.id(), 1);
    EXPECT_TRUE(companion_.is_close());
    EXPECT_TRUE(is_bound_to(processor));
    companion_.part();
    EXPECT_TRUE(is_free());
  }
}

TEST_F(CompanionTest, FollowsAnotherCaller) {
  const Caller one(processors_[0]);
  const Caller other(processors_[1]);
  ask(one.id(), kWindow);
  EXPECT_TRUE(is_bound_to(processors_[0]));
  ask(other.id(), kWindow);
  EXPECT_TRUE(is_bound_to(processors_[1]));
}

TEST_F(CompanionTest, KeepsApartFromACallerThatDoesNotStay) {
  Caller caller(processors_[0]);
  ask(caller.id(), kWindow);
  EXPECT_TRUE(is_bound_to(processors_[0]));
  caller.move_to(processors_[1]);
  for (int i = 0; i < 15; ++i) {
    ask(caller.id(), kWindow);
    EXPECT_FALSE(companion_.is_close()) << i;
    EXPECT_TRUE(is_free());
  }
  ask(caller.id(), 2 * kWindow);  // then it is tried again
  EXPECT_TRUE(is_bound_to(processors_[1]));
  ask(caller.id(), kWindow);
  EXPECT_TRUE(is_bound_to(processors_[1]));
}

TEST_F(CompanionTest, KeepsApartFromSeveralCallers) {
  const Caller one(processors_[0]);
  const Caller other(processors_[1]);
  ask(one.id(), kWindow);
  EXPECT_TRUE(companion_.is_close());
  for (int i = 0; i < kWindow; ++i) ask(i % 2 == 0 ? one.id() : other.id(), 1);
  EXPECT_FALSE(companion_.is_close());
  EXPECT_TRUE(is_free());
}

TEST_F(CompanionTest, RequestsThatNobodyWaitsForDoNotCount) {
  const Caller caller(processors_[0]);
  for (int i = 0; i < kWindow; ++i) {
    ask(caller.id(), 1);
    ask(0, 1);
  }
  EXPECT_TRUE(is_bound_to(processors_[0]));
}

TEST_F(CompanionTest, StaysWhereItIsAllowed) {
  const Caller caller(processors_[0]);
  cpu_set_t other;
  CPU_ZERO(&other);
  CPU_SET(static_cast<unsigned>(processors_[1]), &other);
  ASSERT_EQ(::sched_setaffinity(0, sizeof other, &other), 0);
  ask(caller.id(), kWindow);
  EXPECT_FALSE(companion_.is_close());
  EXPECT_TRUE(is_bound_to(processors_[1]));
}

TEST_F(CompanionTest, ACallerThatIsGoneIsNoReason) {
  ask(0x3fffffff, 2 * kWindow);
  EXPECT_FALSE(companion_.is_close());
  EXPECT_TRUE(is_free());
}

}  // namespace
}  // namespace coffer::mount
