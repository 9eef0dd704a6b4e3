// Which ids a directory has, and under which names its entries are shown.
#include "fs/directory.h"

#include <gtest/gtest.h>

namespace coffer::fs {
namespace {

crypto::DirId id(unsigned char n) {
  crypto::DirId result;
  result.bytes.fill(n);
  return result;
}

PinFile pin(unsigned char its, unsigned char from, unsigned char to, std::int64_t time) {
  return {"", {id(its), id(from), id(to), time}};
}

TEST(DirectoryIds, WithoutPinsIsTheDerivedOne) {
  EXPECT_EQ(directory_ids(id(1), {}), (std::vector<crypto::DirId>{id(1)}));
}

TEST(DirectoryIds, ANewerFittingPinComesFirst) {
  auto ids = directory_ids(id(1), {pin(7, 1, 2, 10), pin(8, 3, 1, 20), pin(9, 4, 5, 30)});
  EXPECT_EQ(ids, (std::vector<crypto::DirId>{id(8), id(7), id(1)}));
}

TEST(DirectoryIds, AgeDecidesThenTheId) {
  EXPECT_EQ(directory_ids(id(1), {pin(7, 1, 1, 5), pin(8, 1, 1, 5)}).front(), id(8));
}

ShownEntry entry(std::string name, crypto::Kind kind, bool decorated = false, std::string decoration = "") {
  ShownEntry result;
  result.decoded.name = std::move(name);
  result.decoded.entry = result.decoded.name + decoration + std::to_string(static_cast<int>(kind));
  result.decoded.kind = kind;
  result.decoded.under = id(1);
  result.decoded.decorated = decorated;
  result.decoded.decoration = std::move(decoration);
  return result;
}

std::vector<std::string> shown(std::vector<ShownEntry> entries, std::map<std::string, DecodedEntry>& odd) {
  std::vector<std::string> names;
  for (const ShownEntry& e : name_listing(std::move(entries), {id(1)}, odd)) names.push_back(e.shown);
  return names;
}

TEST(NameListing, ConflictCopiesAreNamedFromTheirOwnEntryAlone) {
  std::map<std::string, DecodedEntry> odd;
  auto names = shown({entry("report.odt", crypto::Kind::kFileOrDirectory),
                      entry("report.odt", crypto::Kind::kFileOrDirectory, true, " (1)"),
                      entry("report.odt", crypto::Kind::kFileOrDirectory, true, "-LAPTOP")},
                     odd);
  EXPECT_EQ(names,
            (std::vector<std::string>{"report.odt", "report (conflict, 1).odt", "report (conflict, LAPTOP).odt"}));
  EXPECT_EQ(odd.size(), 2U);
  odd.clear();
  EXPECT_EQ(shown({entry("report.odt", crypto::Kind::kFileOrDirectory, true, " (1)")}, odd),
            (std::vector<std::string>{"report (conflict, 1).odt"}));
}

TEST(NameListing, OfSeveralKindsTheFirstCounts) {
  std::map<std::string, DecodedEntry> odd;
  auto names = shown({entry("a", crypto::Kind::kSymlink), entry("a", crypto::Kind::kFileOrDirectory)}, odd);
  EXPECT_EQ(names, (std::vector<std::string>{"a (conflict, symlink)", "a"}));
}

TEST(NameListing, OtherCaseKeepsTheNameUnlessTheFoldedOneIsThere) {
  auto other_case = [](std::string on_disk) {
    ShownEntry result = entry("a", crypto::Kind::kFileOrDirectory);
    result.decoded.entry = std::move(on_disk);
    result.decoded.other_case = true;
    return result;
  };
  std::map<std::string, DecodedEntry> odd;
  EXPECT_EQ(shown({other_case("X")}, odd), (std::vector<std::string>{"a"}));
  EXPECT_EQ(odd.count("a"), 1U) << "not found by computing its entry name";
  odd.clear();
  EXPECT_EQ(shown({other_case("X"), entry("a", crypto::Kind::kFileOrDirectory)}, odd),
            (std::vector<std::string>{"a (conflict, copy)", "a"}));
  odd.clear();
  EXPECT_EQ(shown({other_case("Xx"), other_case("XX")}, odd), (std::vector<std::string>{"a (conflict, copy)", "a"}));
}

TEST(ConflictName, StaysAName) {
  EXPECT_EQ(conflict_name("archive.tar", "Copy of "), "archive (conflict, Copy of).tar");
  EXPECT_EQ(conflict_name(".profile", "-X"), ".profile (conflict, X)");
  EXPECT_EQ(conflict_name("x", ""), "x (conflict, copy)");
  EXPECT_EQ(conflict_name(std::string(255, 'n'), " (1)").size(), 255U);
  EXPECT_LE(conflict_name("n." + std::string(253, 'e'), std::string(200, 'd')).size(), 255U);
}

}  // namespace
}  // namespace coffer::fs
