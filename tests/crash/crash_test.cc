// Random workloads cut short in every way: the small set that runs with every build (scripts/power-cut runs the large).
#include <gtest/gtest.h>

#include "tests/crash/run.h"

namespace coffer::crash {
namespace {

std::uint64_t count(const Report& report, const std::string& what) {
  auto found = report.violations.find(what);
  return found == report.violations.end() ? 0 : found->second.count;
}

TEST(PowerCut, LeavesEveryFileOldOrNewAndWhatWasPromised) {
  const Report report = run({.points = 2000});
  EXPECT_TRUE(report.failed.empty()) << to_string(report);
  EXPECT_GT(report.images, 500U);
  EXPECT_TRUE(report.violations.empty()) << to_string(report);
}

TEST(PowerCut, IsTheSameForTheSameSeed) {
  const Report one = run({.seed = 7, .points = 300});
  const Report other = run({.seed = 7, .points = 300});
  EXPECT_EQ(one.images, other.images);
  const auto counts = [](const std::map<std::string, Example>& examples) {
    std::map<std::string, std::uint64_t> result;
    for (const auto& [what, example] : examples) result[what] = example.count;
    return result;
  };
  EXPECT_EQ(counts(one.violations), counts(other.violations));
  EXPECT_EQ(counts(one.tolerated), counts(other.tolerated));
}

// The harness is worth something only if it notices.
TEST(PowerCut, FlushesOfTheVaultThatDoNotHappenAreNoticed) {
  const Report whole = run({.points = 2000});
  const Report broken = run({.points = 2000, .broken = {.vault_flush = true, .journal_flush = false}});
  for (const std::string what : {"promise-broken", "unknown-name"}) {
    EXPECT_EQ(count(whole, what), 0U) << to_string(whole);
    EXPECT_GT(count(broken, what), 0U) << to_string(broken);
  }
}

TEST(PowerCut, FlushesOfTheJournalThatDoNotHappenAreNoticed) {
  const Report whole = run({.points = 2000});
  EXPECT_GT(whole.state_writes, 0U);
  const Report broken = run({.points = 2000, .broken = {.vault_flush = false, .journal_flush = true}});
  const auto sum = [](const Report& report) {
    std::uint64_t all = 0;
    for (const auto& [what, example] : report.violations) all += example.count;
    return all;
  };
  EXPECT_EQ(sum(whole), 0U) << to_string(whole);
  EXPECT_GT(sum(broken), 0U) << to_string(broken);
}

FileHistory history_of(std::vector<std::string> contents) {
  FileHistory history;
  for (std::string& content : contents) history.versions.push_back({0, std::move(content)});
  return history;
}

TEST(Judge, ChunksMayBeOfDifferentVersionsAndNotMixed) {
  const FileHistory file = history_of({"aaaabbbb", "ccccdddd", "eeeeffff"});
  EXPECT_FALSE(judge(file, 0, 2, "aaaadddd", 4));
  EXPECT_FALSE(judge(file, 1, 2, "eeeedddd", 4));
  EXPECT_EQ(judge(file, 1, 2, "aaaadddd", 4)->what, "promise-broken");
  EXPECT_EQ(judge(file, 0, 1, "eeeedddd", 4)->what, "chunk-of-nothing");  // not written yet
  EXPECT_EQ(judge(file, 0, 2, "aaccdddd", 4)->what, "chunk-of-nothing");
  EXPECT_EQ(judge(file, 0, 2, "aaaa", 4)->what, "wrong-size");
}

TEST(Judge, SizesAreThoseOfTheVersionsThatItMayBe) {
  const FileHistory file = history_of({"aaaabb", "aaaabbbb", ""});
  EXPECT_FALSE(judge(file, 0, 2, "", 4));
  EXPECT_FALSE(judge(file, 0, 1, "aaaabb", 4));
  EXPECT_EQ(judge(file, 1, 2, "aaaabb", 4)->what, "promise-broken");
  EXPECT_EQ(judge(file, 0, 1, "aaaabbb", 4)->what, "wrong-size");
  EXPECT_FALSE(judge(file, std::nullopt, 1, "aaaa", 4));  // new: may have come this far
}

}  // namespace
}  // namespace coffer::crash
