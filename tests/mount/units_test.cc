// Sizes, lengths of time, suites, slots, costs: what people write and read.
#include <gtest/gtest.h>

#include "mount/duration.h"
#include "mount/password_cost.h"
#include "mount/sizes.h"
#include "mount/slots.h"
#include "mount/suites.h"
#include "mount/terminal.h"

namespace coffer::mount {
namespace {

TEST(ParseSize, KnowsNumbersAndUnits) {
  EXPECT_EQ(parse_size("4096"), 4096u);
  EXPECT_EQ(parse_size("4K"), 4096u);
  EXPECT_EQ(parse_size("16k"), 16384u);
  EXPECT_EQ(parse_size("1M"), 1048576u);
  EXPECT_EQ(parse_size("1MiB"), 1048576u);
  EXPECT_EQ(parse_size("2G"), std::uint64_t{2} << 30);
}

TEST(ParseSize, RefusesEverythingElse) {
  for (const char* text :
       {"", "K", "-1", "1.5K", "1X", "1KK", "1 K", "18446744073709551615K", "99999999999999999999"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
}

TEST(ParseDuration, KnowsNumbersAndUnits) {
  using std::chrono::seconds;
  EXPECT_EQ(parse_duration("90"), seconds(90));
  EXPECT_EQ(parse_duration("90s"), seconds(90));
  EXPECT_EQ(parse_duration("15m"), seconds(900));
  EXPECT_EQ(parse_duration("2h"), seconds(7200));
  EXPECT_EQ(parse_duration("1d"), seconds(86400));
}

TEST(ParseDuration, RefusesEverythingElse) {
  for (const char* text : {"", "0", "0m", "m", "-5", "5 m", "5min", "1e3", "400d", "9999999999999999999h"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(Describe, SpeaksOfTimeAsPeopleDo) {
  EXPECT_EQ(describe(std::chrono::seconds(1)), "1 second");
  EXPECT_EQ(describe(std::chrono::seconds(90)), "90 seconds");
  EXPECT_EQ(describe(std::chrono::seconds(900)), "15 minutes");
  EXPECT_EQ(describe(std::chrono::seconds(3600)), "1 hour");
}

TEST(HumanBytes, ChoosesTheUnit) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1.0 KiB");
  EXPECT_EQ(human_bytes(1536 * 1024), "1.5 MiB");
  EXPECT_EQ(human_bytes(~std::uint64_t{0}), "16.0 EiB");
}

TEST(Suites, NamesGoBothWays) {
  for (crypto::Suite suite : {crypto::Suite::kAes256Gcm, crypto::Suite::kXChaCha20Poly1305}) {
    EXPECT_EQ(suite_by_name(suite_name(suite)), suite);
  }
  EXPECT_FALSE(suite_by_name("rot13"));
}

TEST(ChosenCost, IsMeasuredUnlessAskedForAndKeepsTheBounds) {
  const auto cost_of = [](std::uint64_t memory_mib, std::uint64_t passes) { return chosen_cost({memory_mib, passes}); };
  EXPECT_EQ(*cost_of(0, 0), std::nullopt);
  EXPECT_EQ(*cost_of(8, 1), (crypto::PasswordCost{1, 8192}));
  EXPECT_EQ(*cost_of(4096, 64), (crypto::PasswordCost{64, 4194304}));
  EXPECT_EQ((*cost_of(0, 5))->memory_kib, crypto::PasswordCost{}.memory_kib);
  for (auto [memory_mib, passes] :
       {std::pair<std::uint64_t, std::uint64_t>{7, 1}, {4097, 1}, {8, 65}, {~0ULL, 1}, {1ULL << 54, 1}}) {
    const auto refused = cost_of(memory_mib, passes);
    ASSERT_FALSE(refused) << memory_mib << " " << passes;
    EXPECT_EQ(refused.error().code, fs::ExitCode::kUsage);
  }
}

TEST(NextSlotId, IsNeverOneThatWas) {
  crypto::VaultConfig config;
  config.generation = 1;
  config.slots.resize(1);
  config.slots[0].id = 1;
  EXPECT_EQ(next_slot_id(config), 2u);
  config.generation = 7;  // slots came and went meanwhile
  EXPECT_EQ(next_slot_id(config), 8u);
  config.slots[0].id = 40;  // another program counted otherwise
  EXPECT_EQ(next_slot_id(config), 41u);
}

}  // namespace
}  // namespace coffer::mount
