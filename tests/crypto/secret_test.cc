#include "crypto/secret.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "tests/crypto/support.h"

namespace coffer::crypto {
namespace {

using Secret = SecretBytes<32>;
static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);
static_assert(!std::equality_comparable<Secret>);
static_assert(std::is_nothrow_move_constructible_v<Secret> && std::is_nothrow_move_assignable_v<Secret>);
static_assert(!std::is_copy_constructible_v<SecretBuffer>);

TEST(Secret, StartsAsZeros) {
  for (int i = 0; i < 100; ++i) {
    Secret secret;
    EXPECT_TRUE(base::all_zero(secret.view()));
    random_bytes(secret.span());
  }
  for (std::size_t size : {0, 1, 31, 32, 33, 79, 4096, 100000}) {
    SecretBuffer buffer(size);
    EXPECT_EQ(buffer.size(), size);
    EXPECT_TRUE(base::all_zero(buffer.view()));
    random_bytes(buffer.span());
  }
}

TEST(Secret, WipedWhenGivenBack) {
  const Secret neighbour;  // keeps the page
  const Byte* place = nullptr;
  {
    Secret secret;
    std::fill_n(secret.data(), secret.size(), Byte{0xaa});
    place = secret.data();
  }
  EXPECT_TRUE(base::all_zero({place, 32}));
}

TEST(Secret, MovedNotCopied) {
  Secret first;
  first.data()[0] = 7;
  const Byte* place = first.data();
  Secret second(std::move(first));
  EXPECT_EQ(second.data(), place);
  Secret third;
  const Byte* freed = third.data();
  std::fill_n(third.data(), third.size(), Byte{0xaa});
  third = std::move(second);
  EXPECT_EQ(third.data(), place);
  EXPECT_EQ(third.data()[0], 7);
  EXPECT_TRUE(base::all_zero({freed, 32}));
}

TEST(Secret, ShrinkWipesTheRest) {
  SecretBuffer buffer(100);
  std::fill_n(buffer.span().data(), 100, Byte{0xaa});
  const Byte* place = buffer.view().data();
  buffer.shrink(10);
  EXPECT_EQ(buffer.size(), 10u);
  EXPECT_EQ(buffer.view()[9], 0xaa);
  EXPECT_TRUE(base::all_zero({place + 10, 90}));
  buffer.shrink(10);
  buffer.shrink(0);
  SecretBuffer other(3);
  other = std::move(buffer);  // is given back with its first size, else the allocator would notice
  EXPECT_EQ(other.size(), 0u);
  const SecretBuffer third(std::move(other));
  EXPECT_EQ(third.view().data(), place);
}

TEST(Secret, ManySmallOnesShareNoByte) {
  std::vector<Secret> secrets(10000);
  for (std::size_t i = 0; i < secrets.size(); ++i) {
    EXPECT_TRUE(base::all_zero(secrets[i].view()));
    std::fill_n(secrets[i].data(), 32, static_cast<Byte>(i % 255 + 1));
  }
  for (std::size_t i = 0; i < secrets.size(); ++i) {
    ASSERT_EQ(secrets[i].data()[0], i % 255 + 1);
    ASSERT_EQ(secrets[i].data()[31], i % 255 + 1);
  }
  // Given back in another order than taken, and taken again.
  for (std::size_t i = 0; i < secrets.size(); i += 2) secrets[i] = Secret();
  while (secrets.size() > 5) secrets.erase(secrets.end() - 1);
  secrets.resize(5000);
  for (std::size_t i = 5; i < secrets.size(); ++i) ASSERT_TRUE(base::all_zero(secrets[i].view()));
}

TEST(Secret, ManyThreads) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&wrong, t] {
      std::vector<Secret> mine;
      for (int i = 0; i < 3000; ++i) {
        mine.emplace_back();
        if (!base::all_zero(mine.back().view())) ++wrong;
        std::fill_n(mine.back().data(), 32, static_cast<Byte>(t + 1));
        if (i % 3 == 0) mine.erase(mine.begin());
      }
      for (const Secret& secret : mine) wrong += secret.data()[0] != t + 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

// In a process of its own, which has no privilege to lock beyond the limit.
[[noreturn]] void use_secrets_without_locked_memory() {
  if (geteuid() == 0 && setuid(65534) != 0) exit(3);
  const rlimit none{0, 0};
  if (setrlimit(RLIMIT_MEMLOCK, &none) != 0) exit(4);
  const Bytes probe(100000);
  if (mlock(probe.data(), probe.size()) == 0) exit(0);  // sanitizers make nothing of mlock
  SecretBuffer big(100000);
  random_bytes(big.span());
  const Secret small;
  exit(!locked_memory_available() && base::all_zero(small.view()) ? 0 : 1);
}

TEST(SecretDeathTest, RunningOutOfLockedMemoryIsNoError) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(use_secrets_without_locked_memory(), testing::ExitedWithCode(0), "");
}

// KiB locked in this process; 0 also where the system does not say.
long locked_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmLck:")) return std::strtol(line.c_str() + 6, nullptr, 10);
  }
  return 0;
}

TEST(Secret, LockedAgainAfterAFork) {
  const Secret secret;
  if (locked_kib() == 0) GTEST_SKIP() << "nothing can be locked here";
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const bool was_unlocked = locked_kib() == 0;
    relock_secrets();
    _exit(was_unlocked && locked_kib() > 0 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(SecretDeathTest, GivenBackTwice) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Byte* neighbour = secret_allocate(32);
        Byte* memory = secret_allocate(32);
        secret_free(memory, 32);
        secret_free(memory, 32);
        secret_free(neighbour, 32);
      },
      "internal error");
}

}  // namespace
}  // namespace coffer::crypto
