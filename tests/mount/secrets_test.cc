#include "mount/secrets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>

#include "crypto/keys.h"
#include "crypto/random.h"
#include "mount/secret_source.h"
#include "tests/support/temp_dir.h"

namespace coffer::mount {
namespace {

using fs::ExitCode;
using ::testing::HasSubstr;

std::string text_of(const fs::Outcome<crypto::SecretBuffer>& secret) {
  return secret ? std::string(base::as_text(secret->view())) : "error: " + secret.error().message;
}

class SecretsTest : public ::testing::Test {
 protected:
  SecretsTest() {
    crypto::init();
    ::unsetenv("COFFER_PASSWORD_FILE");
    ::unsetenv("COFFER_PASSWORD_COMMAND");
  }

  std::string file(const std::string& name, const std::string& content) {
    const std::string path = dir_.path() + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    ::chmod(path.c_str(), 0600);
    return path;
  }

  fs::Outcome<crypto::SecretBuffer> password(SecretOptions options) { return first_password(options, "not asked"); }

  test::TempDir dir_;
};

TEST_F(SecretsTest, APasswordFileLosesExactlyOneNewline) {
  const auto from = [&](const std::string& content) {
    SecretOptions options;
    options.password_file = file("pw", content);
    return password(options);
  };
  EXPECT_EQ(text_of(from("secret")), "secret");
  EXPECT_EQ(text_of(from("secret\n")), "secret");
  EXPECT_EQ(text_of(from("secret\n\n")), "secret\n");
  EXPECT_EQ(text_of(from(" se\ncret \r\n")), " se\ncret \r");
  EXPECT_EQ(text_of(from(std::string("a\0b\n", 4))), std::string("a\0b", 3));
}

TEST_F(SecretsTest, EmptyPasswordsAreRefused) {
  for (const char* content : {"", "\n"}) {
    SecretOptions options;
    options.password_file = file("pw", content);
    const auto refused = password(options);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ExitCode::kNoSecret);
    EXPECT_THAT(refused.error().message, HasSubstr("is empty"));
  }
}

TEST_F(SecretsTest, AMissingFileAndAFolderSaySo) {
  for (const std::string& path : {dir_.path() + "/missing", dir_.path()}) {
    SecretOptions options;
    options.password_file = path;
    const auto refused = password(options);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ExitCode::kNoSecret);
    EXPECT_THAT(refused.error().message, HasSubstr(path));
  }
}

TEST_F(SecretsTest, ACommandsOutputIsThePassword) {
  SecretOptions options;
  options.password_command = "echo secret; echo to the terminal >&2";
  EXPECT_EQ(text_of(password(options)), "secret");
}

TEST_F(SecretsTest, ACommandThatFailsGivesNoPassword) {
  const auto from = [&](const std::string& command) {
    SecretOptions options;
    options.password_command = command;
    return password(options);
  };
  EXPECT_THAT(text_of(from("echo half; exit 3")), HasSubstr("exit code 3"));
  EXPECT_THAT(text_of(from("kill -9 $$")), HasSubstr("signal 9"));
  EXPECT_THAT(text_of(from("no-such-command-anywhere")), HasSubstr("exit code 127"));
  EXPECT_THAT(text_of(from("true")), HasSubstr("is empty"));
  EXPECT_THAT(text_of(from("yes")), HasSubstr("more than 1.0 MiB"));  // and does not go on for ever
}

TEST_F(SecretsTest, StandardInputIsReadToItsEnd) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  ASSERT_EQ(::write(ends[1], "sec", 3), 3);
  ASSERT_EQ(::write(ends[1], "ret\n", 4), 4);
  ::close(ends[1]);
  const int before = ::dup(STDIN_FILENO);
  ::dup2(ends[0], STDIN_FILENO);
  SecretOptions options;
  options.password_stdin = true;
  EXPECT_EQ(text_of(password(options)), "secret");
  ::dup2(before, STDIN_FILENO);
  ::close(before);
  ::close(ends[0]);
}

TEST_F(SecretsTest, TheEnvironmentCountsOnlyWithoutOptions) {
  ::setenv("COFFER_PASSWORD_COMMAND", "echo from the command", 1);
  EXPECT_EQ(text_of(password({})), "from the command");
  ::setenv("COFFER_PASSWORD_FILE", file("env", "from the file").c_str(), 1);
  EXPECT_EQ(text_of(password({})), "from the file");
  SecretOptions options;
  options.password_file = file("pw", "from the option");
  EXPECT_EQ(text_of(password(options)), "from the option");
}

TEST_F(SecretsTest, ALongSecretIsReadWhole) {
  std::string content;
  for (int i = 0; i < 5000; ++i) content += std::to_string(i) + " ";
  EXPECT_EQ(text_of(read_secret_file(file("long", content))), content);
  EXPECT_FALSE(read_secret_file(file("huge", std::string(kSecretSizeMax + 1, 'x'))));
}

TEST_F(SecretsTest, KeyfilesHaveAMeasureAndAreNoVaultKeys) {
  EXPECT_TRUE(read_keyfile(file("good", std::string(32, 'x'))));
  EXPECT_FALSE(read_keyfile(file("short", std::string(31, 'x'))));
  EXPECT_FALSE(read_keyfile(file("huge", std::string((1 << 20) + 1, 'x'))));
  EXPECT_THAT(text_of(read_keyfile(file("digits", std::string(64, 'a')))), HasSubstr("holds 64 digits"));
}

TEST_F(SecretsTest, SecretFilesAreNewAndPrivate) {
  const std::string path = dir_.path() + "/new";
  EXPECT_TRUE(may_write_secret_file(path));
  ASSERT_TRUE(write_secret_file(path, base::as_bytes("digits"), true));
  struct stat attributes {};
  ASSERT_EQ(::stat(path.c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 07777, 0600u);
  EXPECT_EQ(attributes.st_size, 7);
  EXPECT_EQ(may_write_secret_file(path).error().code, ExitCode::kNotEmpty);
  EXPECT_EQ(write_secret_file(path, base::as_bytes("other"), true).error().code, ExitCode::kNotEmpty);
  EXPECT_FALSE(may_write_secret_file(dir_.path() + "/no/such"));
}

// --- unlock()
// ------------------------------------------------------------------------------------------------------------

class UnlockTest : public SecretsTest {
 protected:
  UnlockTest() {
    ::setenv("XDG_STATE_HOME", (dir_.path() + "/state").c_str(), 1);
    auto made = fs::VaultFolder::create(path_, {}, base::as_bytes("secret"), {1, 8192});
    EXPECT_TRUE(made);
    const crypto::SecretBuffer digits = crypto::format_vault_key(made->key);
    digits_ = std::string(base::as_text(digits.view()));
  }
  ~UnlockTest() override { ::unsetenv("XDG_STATE_HOME"); }

  fs::Outcome<UnlockedBy> unlock_with(const SecretOptions& options) {
    auto folder = fs::VaultFolder::open(path_);
    EXPECT_TRUE(folder);
    return unlock(*folder, options);
  }

  std::string path_ = dir_.path() + "/vault";
  std::string digits_;
};

TEST_F(UnlockTest, ThePasswordNamesItsSlot) {
  SecretOptions options;
  options.password_file = file("pw", "secret\n");
  const auto unlocked = unlock_with(options);
  ASSERT_TRUE(unlocked);
  EXPECT_EQ(unlocked->slot, 1u);
  options.password_file = file("pw", "wrong\n");
  EXPECT_EQ(unlock_with(options).error().code, ExitCode::kWrongSecret);
}

TEST_F(UnlockTest, AKeyFileMayHoldTheDigitsInAnyShape) {
  std::string dashes = digits_ + "\n";
  for (char& c : dashes) c = c == ' ' ? '-' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  std::string lines = digits_;
  for (std::size_t at = 19; at < lines.size(); at += 20) lines[at] = '\n';
  for (const std::string& text : {digits_, dashes, lines}) {
    SecretOptions options;
    options.key_file = file("key", text);
    const auto unlocked = unlock_with(options);
    ASSERT_TRUE(unlocked) << text;
    EXPECT_EQ(unlocked->slot, std::nullopt);
  }
}

TEST_F(UnlockTest, AKeyFileThatIsNeitherSaysWhatItShouldBe) {
  SecretOptions options;
  options.key_file = file("key", "1234");
  EXPECT_EQ(unlock_with(options).error().code, ExitCode::kNoSecret);
  options.key_file = file("key", std::string(64, 'z'));  // a keyfile, of which this vault has none
  EXPECT_EQ(unlock_with(options).error().code, ExitCode::kNoSecret);
  options.key_file = file("key", std::string(64, '0'));  // a key, of another vault
  EXPECT_EQ(unlock_with(options).error().code, ExitCode::kWrongSecret);
}

}  // namespace
}  // namespace coffer::mount
