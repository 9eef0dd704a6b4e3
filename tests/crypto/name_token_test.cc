#include <gtest/gtest.h>

#include "crypto/base32.h"
#include "crypto/name_cipher.h"
#include "tests/crypto/support.h"

namespace coffer::crypto {
namespace {

const DirId kDirectory = test_id<DirId>(0x55);
constexpr Kind kKinds[] = {Kind::kFileOrDirectory, Kind::kSymlink, Kind::kSpecial};

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(c));
  return text;
}

// What sync clients and file managers make of a name they want to keep twice, or have not finished.
std::vector<std::string> decorations_of(const std::string& x) {
  return {x + " (1)",
          x + " (12)",
          x + "(1)",
          "Copy of " + x,
          "Copy (2) of " + x,
          "Kopie von " + x,
          x + " - Copy",
          x + " - Copy (2)",
          x + " copy",
          x + " copy 2",
          x + ".sync-conflict-20261122-101500-ABCDEFG",
          x + ".sync-conflict-20261122-101500-ABCDEFG.",
          x + "-LAPTOP",
          x + "-LAPTOP-2",
          x + " 2",
          x + ".tmp",
          x + ".part",
          x + ".partial",
          x + ".crdownload",
          x + "~",
          "~" + x,
          ".~" + x,
          "." + x + ".swp",
          ".syncthing." + x + ".tmp",
          "~syncthing~" + x + ".tmp",
          x + " (LAPTOP's conflicted copy 2026-11-22)",
          x + " (Case Conflict)",
          x + " (conflicted copy 2026-11-22 101500)",
          x + "_conflict-20261122-101500",
          x + ".conflict1",
          x + ".rclone-conflict",
          x + " [Conflict]",
          x + ".orig",
          x + ".",
          " " + x + " ",
          x + "\xe2\x80\x8b",
          "Copy of Copy of " + x,
          "Copy of " + x + " (1)",
          x + "-DESKTOP-0123456789",
          upper(x)};
}

std::optional<std::string> first_authentic(std::string_view file_name, const NameCipher& cipher) {
  for (const NameToken& token : find_name_tokens(file_name)) {
    if (auto name = cipher.decrypt(kDirectory, token.text)) return name;
  }
  return std::nullopt;
}

TEST(NameToken, UndecoratedNames) {
  const NameCipher cipher(test_keys());
  for (std::size_t size = 1; size <= 140; ++size) {
    for (Kind kind : kKinds) {
      const std::string text = cipher.encrypt(kDirectory, kind, std::string(size, 'x'));
      const auto tokens = find_name_tokens(text);
      ASSERT_EQ(tokens.size(), 1u);
      EXPECT_EQ(tokens[0].text, text);
      EXPECT_EQ(tokens[0].kind, kind);
      EXPECT_FALSE(tokens[0].decorated);
      EXPECT_FALSE(tokens[0].is_long);
    }
  }
}

TEST(NameToken, EveryDecoration) {
  const NameCipher cipher(test_keys());
  for (std::string_view plain : {"a", "four", "report.odt", "a name of thirty-two characters!"}) {
    for (Kind kind : kKinds) {
      const std::string text = cipher.encrypt(kDirectory, kind, plain);
      for (const std::string& file_name : decorations_of(text)) {
        const auto tokens = find_name_tokens(file_name);
        ASSERT_EQ(tokens.size(), 1u) << file_name;
        EXPECT_EQ(tokens[0].text, text) << file_name;
        EXPECT_EQ(tokens[0].kind, kind) << file_name;
        EXPECT_TRUE(tokens[0].decorated) << file_name;
        EXPECT_FALSE(tokens[0].is_long) << file_name;
        EXPECT_EQ(first_authentic(file_name, cipher), plain);
        EXPECT_EQ(first_authentic(upper(file_name), cipher), plain);
      }
    }
  }
}

TEST(NameToken, EveryDecorationOfALongName) {
  const NameCipher cipher(test_keys());
  for (Kind kind : kKinds) {
    const std::string full = cipher.encrypt(kDirectory, kind, std::string(200, 'x'));
    const std::string text = entry_name(full, 200);
    const auto plain_tokens = find_name_tokens(text);
    ASSERT_FALSE(plain_tokens.empty());
    EXPECT_EQ(plain_tokens[0].text, text);
    EXPECT_FALSE(plain_tokens[0].decorated);
    for (const std::string& file_name : decorations_of(text)) {
      const auto tokens = find_name_tokens(file_name);
      ASSERT_FALSE(tokens.empty()) << file_name;
      EXPECT_TRUE(tokens[0].is_long) << file_name;
      EXPECT_EQ(tokens[0].text, text) << file_name;
      EXPECT_EQ(tokens[0].kind, kind) << file_name;
      EXPECT_TRUE(tokens[0].decorated) << file_name;
    }
  }
}

TEST(NameToken, SideFilesAndTheirCopiesAreNoEntries) {
  const std::string text = short_form(std::string(250, 'a'));
  for (const std::string& x : {text, text + "8", text + "9"}) {
    for (const std::string& file_name : {x + ".name", upper(x + ".name"), x + " (1).name", x + ".name (1)",
                                         "Copy of " + x + ".name", x + ".sync-conflict-20261122-101500-ABCDEFG.name",
                                         x + "-LAPTOP.name", x + ".name.tmp", ".syncthing." + x + ".name.tmp"}) {
      EXPECT_TRUE(find_name_tokens(file_name).empty()) << file_name;
    }
  }
}

TEST(NameToken, ARunOf32BehindAZeroIsBoth) {
  // "backup0" put before the ciphertext name of a four-byte name.
  const NameCipher cipher(test_keys());
  const std::string text = cipher.encrypt(kDirectory, Kind::kFileOrDirectory, "four");
  ASSERT_EQ(text.size(), 32u);
  const auto tokens = find_name_tokens("backup0" + text);
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_TRUE(tokens[0].is_long);
  EXPECT_EQ(tokens[1].text, text);
  EXPECT_EQ(first_authentic("backup0" + text, cipher), "four");
}

TEST(NameToken, SeveralRuns) {
  const NameCipher cipher(test_keys());
  const std::string first = cipher.encrypt(kDirectory, Kind::kSymlink, "first");
  const std::string second = cipher.encrypt(kDirectory, Kind::kSpecial, "second");
  const auto tokens = find_name_tokens(first + " and " + second);
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_EQ(tokens[0].text, first);
  EXPECT_EQ(tokens[0].kind, Kind::kSymlink);
  EXPECT_EQ(tokens[1].text, second);
  EXPECT_EQ(tokens[1].kind, Kind::kSpecial);
  EXPECT_EQ(first_authentic("x" + first + " " + second, cipher), "second");  // the first run is longer than the name
}

TEST(NameToken, RunsOfEveryLength) {
  for (std::size_t length = 0; length <= 255; ++length) {
    const std::string run(length, 'q');
    EXPECT_EQ(find_name_tokens(run).size(), length >= 28 ? 1u : 0u);
    EXPECT_EQ(find_name_tokens("(" + run + ")").size(), length >= 28 ? 1u : 0u);
    const auto tokens = find_name_tokens("0" + run);
    EXPECT_EQ(tokens.size(), length < 28 ? 0u : length == 32 ? 2u : 1u);
    if (length != 32 && !tokens.empty()) {
      EXPECT_FALSE(tokens[0].is_long);
    }
  }
}

TEST(NameToken, ForeignNames) {
  for (std::string_view name :
       {"", "desktop.ini", ".DS_Store", ".stfolder", "coffer.json", "coffer-copy.json", "README.txt", "Thumbs.db",
        "abcdefghijklmnopqrstuvwxyz", "1111111111111111111111111111111111", "\xff\xfe\xfd", ".~coffer-1234.tmp"}) {
    EXPECT_TRUE(find_name_tokens(name).empty()) << name;
  }
}

TEST(LongName, OnlyAboveTheLimit) {
  const NameCipher cipher(test_keys());
  for (std::uint16_t name_max : {std::uint16_t{132}, std::uint16_t{200}, std::uint16_t{255}}) {
    for (std::size_t size = 1; size <= 255; ++size) {
      for (Kind kind : kKinds) {
        const std::string full = cipher.encrypt(kDirectory, kind, std::string(size, 'x'));
        const std::string entry = entry_name(full, name_max);
        if (full.size() <= name_max) {
          EXPECT_EQ(entry, full);
        } else {
          EXPECT_EQ(entry, short_form(full));
          EXPECT_EQ(entry.size(), kind == Kind::kFileOrDirectory ? 33u : 34u);
          EXPECT_EQ(entry.front(), '0');
          if (kind != Kind::kFileOrDirectory) {
            EXPECT_EQ(entry.back(), full.back());
          }
          EXPECT_LE(entry.size() + kSideFileSuffix.size(), name_max);
        }
      }
    }
  }
}

TEST(LongName, HashesTheWholeCiphertextName) {
  const std::string full(250, 'a');
  EXPECT_NE(short_form(full).substr(0, 33), short_form(full + "8").substr(0, 33));
  EXPECT_NE(short_form(full + "9").substr(0, 33), short_form(full + "8").substr(0, 33));
  EXPECT_EQ(short_form("").size(), 33u);
}

}  // namespace
}  // namespace coffer::crypto
