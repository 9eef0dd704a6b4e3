#include "crypto/vault_config.h"

#include <gtest/gtest.h>

#include <clocale>
#include <functional>

#include "crypto/blake2b.h"
#include "tests/crypto/support.h"

namespace coffer::crypto {
namespace {

VaultConfig example() {
  VaultConfig config;
  config.vault = test_id<VaultId>(0x11);
  config.suite = Suite::kXChaCha20Poly1305;
  config.chunk_size = 65536;
  config.name_max = 143;
  config.key_epoch = 2;
  config.generation = 9;
  config.created = "2026-11-22T10:15:00Z";
  Slot password;
  password.id = 1;
  password.label = "B\xc3\xbcro \"Anna\" \\ \xf0\x9f\x94\x91";
  password.created = "2026-11-22T10:15:01Z";
  password.cost = {3, 262144};
  password.salt = pattern(16);
  std::copy_n(pattern(24, 2).begin(), 24, password.nonce.begin());
  std::copy_n(pattern(48, 3).begin(), 48, password.wrapped.begin());
  Slot keyfile = password;
  keyfile.id = 4294967295;
  keyfile.type = SlotType::kKeyfile;
  keyfile.label = "";
  keyfile.cost = {0, 0};
  keyfile.salt = pattern(32, 4);
  config.slots = {password, keyfile};
  return config;
}

std::string text_of(const VaultConfig& config) {
  return std::string(base::as_text(serialise_config(config, test_keys())));
}

// The error, if any.
std::optional<ConfigError> parse_error(std::string_view text) {
  const auto result = parse_config(base::as_bytes(text));
  const ConfigError* error = std::get_if<ConfigError>(&result);
  return error == nullptr ? std::nullopt : std::optional(*error);
}
std::optional<ConfigError> open_error(std::string_view text) {
  const auto result = authenticate_config(base::as_bytes(text), test_keys());
  const ConfigError* error = std::get_if<ConfigError>(&result);
  return error == nullptr ? std::nullopt : std::optional(*error);
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

// As the owner of the key would write it, so that only the content can be wrong.
std::string with_true_mac(std::string text) {
  const std::size_t digits = text.size() - 4 - 64;
  text.replace(digits, 64, 64, '0');
  ByteArray<32> mac;
  blake2b(mac, test_keys().config.view(), {base::as_bytes(text)});
  return text.replace(digits, 64, to_hex(mac));
}

TEST(VaultConfig, RoundTrip) {
  for (std::size_t slots : {0, 1, 2}) {
    VaultConfig config = example();
    config.slots.resize(slots);
    const Bytes bytes = serialise_config(config, test_keys());
    const auto opened = authenticate_config(bytes, test_keys());
    ASSERT_TRUE(std::holds_alternative<VaultConfig>(opened));
    EXPECT_EQ(std::get<VaultConfig>(opened), config);
    const auto parsed = parse_config(bytes);
    ASSERT_TRUE(std::holds_alternative<UnverifiedConfig>(parsed));
    EXPECT_EQ(std::get<UnverifiedConfig>(parsed).config, config);
  }
}

TEST(VaultConfig, RoundTripOfExtremes) {
  VaultConfig config = example();
  config.key_epoch = ~0u;
  config.generation = ~std::uint64_t{0};
  config.slots.resize(1);
  config.slots[0].cost = kMaxPasswordCost;
  config.slots[0].label = std::string(64, 'x');
  while (config.slots.size() < 64) {
    config.slots.push_back(config.slots.back());
    ++config.slots.back().id;
  }
  for (std::uint32_t chunk_size : {kMinChunkSize, kMaxChunkSize}) {
    for (std::uint16_t name_max : {kMinNameMax, kMaxNameMax}) {
      config.chunk_size = chunk_size;
      config.name_max = name_max;
      EXPECT_EQ(open_error(text_of(config)), std::nullopt);
    }
  }
}

TEST(VaultConfig, EndsAsTheFormatSays) {
  const std::string text = text_of(example());
  ASSERT_GT(text.size(), 76u);
  const std::string tail = text.substr(text.size() - 76);
  EXPECT_EQ(tail.substr(0, 8), "\"mac\": \"");
  EXPECT_EQ(tail.substr(72), "\"\n}\n");
}

TEST(VaultConfig, OtherVaultsKeys) {
  const auto result = authenticate_config(serialise_config(example(), test_keys()), other_keys());
  ASSERT_TRUE(std::holds_alternative<ConfigError>(result));
  EXPECT_EQ(std::get<ConfigError>(result), ConfigError::kForged);
}

TEST(VaultConfig, EveryBitIsAuthenticated) {
  const std::string text = text_of(example());
  for (std::size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string changed = text;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ 1 << bit % 8);
    EXPECT_NE(open_error(changed), std::nullopt) << bit;
  }
}

TEST(VaultConfig, TruncatedAtEveryByte) {
  const std::string text = text_of(example());
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_EQ(parse_error(text.substr(0, size)), ConfigError::kTruncated) << size;
    // A power cut may leave zeros in place of the rest.
    EXPECT_EQ(parse_error(text.substr(0, size) + std::string(text.size() - size, '\0')), ConfigError::kTruncated)
        << size;
    EXPECT_NE(parse_error(text.substr(text.size() - size)), std::nullopt) << size;
  }
}

TEST(VaultConfig, AnythingBehindTheEnd) {
  const std::string text = text_of(example());
  for (const std::string& more : {std::string("\n"), std::string(" "), std::string("{}"), std::string("//"), text}) {
    EXPECT_EQ(parse_error(text + more), ConfigError::kNotConfig);
  }
  EXPECT_EQ(parse_error(text + '\0' + text), ConfigError::kNotConfig);
  EXPECT_EQ(parse_error("\xEF\xBB\xBF" + text), ConfigError::kNotConfig);
  EXPECT_EQ(parse_error("/* */" + text), ConfigError::kNotConfig);
}

TEST(VaultConfig, NoConfigAtAll) {
  for (std::string_view text : {"[]", "null", "1", "\"x\"", "{}", "<html>", "coffer", "{\"vault_id\": 1}", "}", "]"}) {
    EXPECT_EQ(parse_error(text), ConfigError::kNotConfig) << text;
  }
  EXPECT_EQ(parse_error(""), ConfigError::kTruncated);
  EXPECT_EQ(parse_error("  \n"), ConfigError::kTruncated);
}

TEST(VaultConfig, SizeLimit) {
  const std::string text = text_of(example());
  const std::string largest = replaced(text, "{", "{" + std::string(kMaxConfigSize - text.size(), ' '));
  ASSERT_EQ(largest.size(), kMaxConfigSize);
  EXPECT_EQ(open_error(with_true_mac(largest)), std::nullopt);
  EXPECT_EQ(parse_error(replaced(largest, "{", "{ ")), ConfigError::kNotConfig);
}

TEST(VaultConfig, DepthLimit) {
  for (std::size_t depth : {5, 100, 100000}) {
    const std::string nested = std::string(depth, '[') + std::string(depth, ']');
    EXPECT_NE(parse_error(replaced(text_of(example()), "\"features\": []", "\"features\": " + nested)), std::nullopt);
    EXPECT_NE(parse_error(nested), std::nullopt);
    EXPECT_NE(parse_error(std::string(depth, '[')), std::nullopt);
  }
}

TEST(VaultConfig, NewerFormatsAreToldApart) {
  const std::string text = text_of(example());
  for (std::string_view format : {"1", "2", "18446744073709551615"}) {
    const std::string newer = replaced(text, "\"format\": 0", "\"format\": " + std::string(format));
    EXPECT_EQ(parse_error(newer), ConfigError::kNewer);
    EXPECT_EQ(parse_error(replaced(newer, "\"features\"", "\"something new\"")), ConfigError::kNewer);
  }
  EXPECT_EQ(parse_error("{\"format\": 1}"), ConfigError::kNewer);
  EXPECT_EQ(parse_error("{\"format\": 0}\n"), ConfigError::kNotConfig);
}

struct Wrong {
  std::string_view from, to;
  ConfigError error;
};

// One thing changed by somebody who has the key: the mac is right, the content is not.
class VaultConfigWrong : public testing::TestWithParam<Wrong> {};

TEST_P(VaultConfigWrong, IsRefused) {
  const std::string text = with_true_mac(replaced(text_of(example()), GetParam().from, GetParam().to));
  EXPECT_EQ(parse_error(text), GetParam().error);
  EXPECT_EQ(open_error(text), GetParam().error);
}

constexpr ConfigError kMalformed = ConfigError::kMalformed;
constexpr ConfigError kUnknown = ConfigError::kUnknownFeature;

constexpr Wrong kDuplicateKeys[] = {{"\"format\": 0", "\"format\": 0, \"format\": 0", kMalformed},
                                    {"\"format\": 0", "\"format\": 0, \"form\\u0061t\": 0", kMalformed},
                                    {"\"slots\"", "\"slots\": [], \"slots\"", kMalformed},
                                    {"\"features\"", "\"mac\": \"\", \"features\"", kMalformed},
                                    {"\"salt\"", "\"salt\": \"\", \"salt\"", kMalformed},
                                    {"\"passes\": 3", "\"passes\": 64, \"passes\": 3", kMalformed}};
INSTANTIATE_TEST_SUITE_P(DuplicateKeys, VaultConfigWrong, testing::ValuesIn(kDuplicateKeys));

constexpr Wrong kUnknownThings[] = {{"\"features\": []", "\"features\": [\"holes\"]", kUnknown},
                                    {"\"features\"", "\"new\": 1, \"features\"", kUnknown},
                                    {"\"features\"", "\"\": 1, \"features\"", kUnknown},
                                    {"\"format\"", "\"Format\": 0, \"format\"", kUnknown},
                                    {"\"salt\"", "\"pepper\": \"\", \"salt\"", kUnknown},
                                    {"\"type\": \"password\"", "\"type\": \"escrow\"", kUnknown},
                                    {"\"type\": \"password\"", "\"type\": \"\"", kUnknown}};
INSTANTIATE_TEST_SUITE_P(UnknownThings, VaultConfigWrong, testing::ValuesIn(kUnknownThings));

constexpr Wrong kWrongTypes[] = {{"\"format\": 0", "\"format\": \"0\"", kMalformed},
                                 {"\"format\": 0", "\"format\": 0.0", kMalformed},
                                 {"\"format\": 0", "\"format\": -0", kMalformed},
                                 {"\"format\": 0", "\"format\": null", kMalformed},
                                 {"\"format\": 0", "\"format\": false", kMalformed},
                                 {"\"format\": 0", "\"format\": [0]", kMalformed},
                                 {"\"vault_id\": \"11", "\"vault_id\": 11, \"x\": \"", kUnknown},
                                 {"\"key_epoch\": 2", "\"key_epoch\": true", kMalformed},
                                 {"\"key_epoch\": 2", "\"key_epoch\": 2e0", kMalformed},
                                 {"\"features\": []", "\"features\": {}", kMalformed},
                                 {"\"features\": []", "\"features\": null", kMalformed},
                                 {"\"features\": []", "\"features\": [1]", kMalformed},
                                 {"\"slots\": [", "\"slots\": [1,", kMalformed},
                                 {"\"slots\": [", "\"slots\": [[],", kMalformed},
                                 {"\"slots\": [", "\"slots\": [{},", kMalformed},
                                 {"\"type\": \"password\"", "\"type\": 1", kMalformed},
                                 {"\"label\": \"\"", "\"label\": null", kMalformed},
                                 {"\"passes\": 3", "\"passes\": \"3\"", kMalformed}};
INSTANTIATE_TEST_SUITE_P(WrongTypes, VaultConfigWrong, testing::ValuesIn(kWrongTypes));

constexpr Wrong kOutOfBounds[] = {
    {"\"vault_id\": \"1111", "\"vault_id\": \"111", kMalformed},
    {"\"vault_id\": \"1111", "\"vault_id\": \"11111", kMalformed},
    {"\"vault_id\": \"1111", "\"vault_id\": \"111A", kMalformed},
    {"xchacha20-poly1305", "aegis-256", kMalformed},
    {"xchacha20-poly1305", "XCHACHA20-POLY1305", kMalformed},
    {"65536", "65535", kMalformed},
    {"65536", "2048", kMalformed},
    {"65536", "2097152", kMalformed},
    {"65536", "0", kMalformed},
    {"65536", "12288", kMalformed},
    {"\"name_max\": 143", "\"name_max\": 131", kMalformed},
    {"\"name_max\": 143", "\"name_max\": 256", kMalformed},
    {"\"name_max\": 143", "\"name_max\": 65679", kMalformed},
    {"\"key_epoch\": 2", "\"key_epoch\": 4294967296", kMalformed},
    {"\"key_epoch\": 2", "\"key_epoch\": -1", kMalformed},
    {"\"generation\": 9", "\"generation\": 18446744073709551616", kMalformed},
    {"\"generation\": 9", "\"generation\": -9", kMalformed},
    {"\"created\": \"2026-11-22T10:15:00Z\"", "\"created\": \"yesterday\"", kMalformed},
    {"\"id\": 4294967295", "\"id\": 1", kMalformed},
    {"\"id\": 4294967295", "\"id\": 4294967296", kMalformed},
    {"\"label\": \"\"", "\"label\": \"\\n\"", kMalformed},
    {"\"label\": \"\"", "\"label\": \"\\u001b[2J\"", kMalformed},
    {"\"label\": \"\"", "\"label\": \"01234567890123456789012345678901234567890123456789012345678901234\"", kMalformed},
    {"\"salt\": \"", "\"salt\": \"00", kMalformed},
    {"\"nonce\": \"", "\"nonce\": \"00", kMalformed},
    {"\"wrapped\": \"", "\"wrapped\": \"00", kMalformed},
    {"\"type\": \"password\"", "\"type\": \"keyfile\"", kMalformed},
    {"\"type\": \"keyfile\"", "\"type\": \"password\"", kMalformed},
    {"\"type\": \"keyfile\"", "\"type\": \"keyfile\", \"passes\": 0", kMalformed}};
INSTANTIATE_TEST_SUITE_P(OutOfBounds, VaultConfigWrong, testing::ValuesIn(kOutOfBounds));

constexpr Wrong kCostsThatWouldHoldTheReader[] = {{"\"passes\": 3", "\"passes\": 0", kMalformed},
                                                  {"\"passes\": 3", "\"passes\": 65", kMalformed},
                                                  {"\"passes\": 3", "\"passes\": 18446744073709551615", kMalformed},
                                                  {"262144", "8191", kMalformed},
                                                  {"262144", "4194305", kMalformed},
                                                  {"262144", "18446744073709551615", kMalformed},
                                                  {"262144", "1e9", kMalformed}};
INSTANTIATE_TEST_SUITE_P(CostsThatWouldHoldTheReader, VaultConfigWrong,
                         testing::ValuesIn(kCostsThatWouldHoldTheReader));

TEST(VaultConfig, EveryKeyIsNeeded) {
  const std::string text = text_of(example());
  std::size_t lines = 0, begin = 0;
  while (begin < text.size()) {
    const std::size_t end = text.find('\n', begin) + 1;
    const std::string line = text.substr(begin, end - begin);
    if (line.find("\": ") != std::string::npos && line.back() == '\n' && line.find('[') == std::string::npos &&
        line.find("mac") == std::string::npos) {
      std::string without = text.substr(0, begin) + text.substr(end);
      if (without[begin - 1] == '\n' && line[line.size() - 2] != ',') without.erase(begin - 2, 1);  // the comma before
      const auto error = open_error(with_true_mac(without));
      EXPECT_EQ(error, line.find("\"format\"") != std::string::npos ? ConfigError::kNotConfig : kMalformed) << line;
      ++lines;
    }
    begin = end;
  }
  EXPECT_EQ(lines, 8u + 9 + 7);
}

TEST(VaultConfig, MacMustBeWhereItMust) {
  const std::string text = text_of(example());
  const std::string mac = text.substr(text.size() - 68, 64);
  std::string upper = text;
  for (std::size_t i = text.size() - 68; i < text.size() - 4; ++i) upper[i] = static_cast<char>(std::toupper(upper[i]));
  EXPECT_EQ(parse_error(upper), ConfigError::kNotConfig);
  EXPECT_EQ(parse_error(replaced(text, "\"mac\": ", "\"mac\":")), ConfigError::kNotConfig);
  EXPECT_EQ(parse_error(replaced(text, "\"\n}\n", "\" }\n")), ConfigError::kNotConfig);
  EXPECT_EQ(parse_error(replaced(text, "\"\n}\n", "\"\r\n}\r\n")), ConfigError::kNotConfig);
  EXPECT_EQ(parse_error(replaced(text, mac, mac.substr(1))), ConfigError::kNotConfig);
  EXPECT_EQ(open_error(replaced(text, mac, std::string(64, '0'))), ConfigError::kForged);
}

TEST(VaultConfig, OtherSpacingIsTheSameConfig) {
  std::string text = text_of(example());
  text = with_true_mac(replaced(text, ",\n", "  ,  \t\r\n"));
  const auto opened = authenticate_config(base::as_bytes(text), test_keys());
  ASSERT_TRUE(std::holds_alternative<VaultConfig>(opened));
  EXPECT_EQ(std::get<VaultConfig>(opened), example());
}

TEST(VaultConfig, TooManySlots) {
  VaultConfig config = example();
  config.slots.resize(1);
  while (config.slots.size() < 64) {
    config.slots.push_back(config.slots.back());
    ++config.slots.back().id;
  }
  const std::string text = text_of(config);
  const std::size_t begin = text.find("    {\n"), end = text.find("    },\n") + 7;
  std::string one_more = text;
  one_more.insert(begin, replaced(text.substr(begin, end - begin), "\"id\": 1", "\"id\": 100"));
  EXPECT_EQ(open_error(with_true_mac(one_more)), kMalformed);
}

TEST(VaultConfig, LocaleDoesNotMatter) {
  // Debian's C.UTF-8 aside, tests cannot count on any locale; where a German one is, decimal commas must do no harm.
  const char* locale = std::setlocale(LC_ALL, "de_DE.UTF-8");
  const std::string text = text_of(example());
  EXPECT_EQ(open_error(text), std::nullopt);
  std::setlocale(LC_ALL, "C");
  EXPECT_EQ(text_of(example()), text) << (locale == nullptr ? "no such locale" : locale);
}

TEST(VaultConfig, Times) {
  EXPECT_EQ(rfc3339_now().size(), 20u);
  const auto error_with = [](std::string_view created) {
    return open_error(with_true_mac(replaced(text_of(example()), "2026-11-22T10:15:00Z", created)));
  };
  for (std::string_view good :
       {"1970-01-01T00:00:00Z", "2026-12-31T23:59:60Z", "9999-12-31T23:59:59.123456789Z", "2026-11-22T10:15:00.5Z"}) {
    EXPECT_EQ(error_with(good), std::nullopt) << good;
  }
  EXPECT_EQ(error_with(rfc3339_now()), std::nullopt);
  for (std::string_view bad :
       {"", "Z", "2026-11-22T10:15:00", "2026-11-22 10:15:00Z", "2026-11-22T10:15:00z", "2026-11-22T10:15:00+00:00",
        "2026-13-22T10:15:00Z", "2026-00-22T10:15:00Z", "2026-11-00T10:15:00Z", "2026-11-32T10:15:00Z",
        "2026-11-22T24:15:00Z", "2026-11-22T10:60:00Z", "2026-11-22T10:15:61Z", "2026-11-22T10:15:00.Z",
        "2026-11-22T10:15:00.1234567890Z", "2026-11-22T10:15:00,5Z", "2026-11-22T10:15:00.5.5Z",
        "26-11-22T10:15:00Z"}) {
    EXPECT_EQ(error_with(bad), kMalformed) << bad;
  }
}

TEST(VaultConfig, Labels) {
  for (std::string_view good : {"", "Anna", "B\xc3\xbcro", "\"\\/", "\xf0\x9f\x94\x91"})
    EXPECT_TRUE(is_slot_label(good));
  EXPECT_TRUE(is_slot_label(std::string(64, 'x')));
  EXPECT_FALSE(is_slot_label(std::string(65, 'x')));
  for (std::string_view bad : {"\n", "a\tb", "\x7f", "\x1b[31m", "\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80"}) {
    EXPECT_FALSE(is_slot_label(bad)) << bad;
  }
  EXPECT_FALSE(is_slot_label(std::string_view("\0", 1)));
}

using Change = std::function<void(VaultConfig&)>;
class VaultConfigDeathTest : public testing::TestWithParam<Change> {};

TEST_P(VaultConfigDeathTest, SerialiseRefusesWhatParseWould) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  VaultConfig config = example();
  GetParam()(config);
  EXPECT_DEATH(serialise_config(config, test_keys()), "internal error");
}

INSTANTIATE_TEST_SUITE_P(Forbidden, VaultConfigDeathTest,
                         testing::Values(Change([](VaultConfig& c) { c.chunk_size = 5000; }),
                                         Change([](VaultConfig& c) { c.name_max = 0; }),
                                         Change([](VaultConfig& c) { c.created = "now"; }),
                                         Change([](VaultConfig& c) { c.slots[1].id = 1; }),
                                         Change([](VaultConfig& c) { c.slots[0].label = "\xff"; }),
                                         Change([](VaultConfig& c) { c.slots[0].cost.passes = 65; }),
                                         Change([](VaultConfig& c) { c.slots[0].salt.pop_back(); }),
                                         Change([](VaultConfig& c) {
                                           c.slots[1].cost = {3, 8192};
                                         })));

}  // namespace
}  // namespace coffer::crypto
