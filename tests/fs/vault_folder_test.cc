#include "fs/vault_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "crypto/random.h"
#include "fs/durable_file.h"
#include "fs/local_state_path.h"
#include "fs/user_text.h"
#include "fs/vault_files.h"
#include "fs/vault_maker.h"
#include "tests/support/temp_dir.h"

namespace coffer::fs {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr crypto::PasswordCost kCheap{1, 8192};

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path)) names.push_back(entry.path().filename().string());
  return names;
}

mode_t mode_of(const std::string& path) {
  struct stat attributes {};
  EXPECT_EQ(::lstat(path.c_str(), &attributes), 0) << path;
  return attributes.st_mode & 07777;
}

template <class T>
ExitCode code_of(const Outcome<T>& outcome) {
  return outcome ? ExitCode::kOk : outcome.error().code;
}

// A temporary home: local state goes there.
class VaultFolderTest : public ::testing::Test {
 protected:
  VaultFolderTest() {
    crypto::init();
    ::setenv("XDG_STATE_HOME", (dir_.path() + "/state").c_str(), 1);
  }
  ~VaultFolderTest() override { ::unsetenv("XDG_STATE_HOME"); }

  std::string path(const std::string& name = "vault") const { return dir_.path() + "/" + name; }
  std::string config_path() const { return path() + "/coffer.json"; }

  Outcome<Unlocked> create(const std::string& name = "vault") {
    return VaultFolder::create(path(name), {}, base::as_bytes("secret"), kCheap);
  }

  // A vault with the password "secret"; its key.
  crypto::VaultKey made() {
    Outcome<Unlocked> unlocked = create();
    EXPECT_TRUE(unlocked) << unlocked.error().message;
    return std::move(unlocked->key);
  }

  VaultFolder opened(const std::string& name = "vault") {
    Outcome<VaultFolder> folder = VaultFolder::open(path(name));
    EXPECT_TRUE(folder) << folder.error().message;
    return *std::move(folder);
  }

  // A change of coffer.json, as `coffer key add` makes one.
  void change(VaultFolder& folder, const std::string& label = "another") {
    Outcome<Unlocked> unlocked = folder.unlock_with_password(base::as_bytes("secret"));
    ASSERT_TRUE(unlocked) << unlocked.error().message;
    crypto::VaultConfig config = unlocked->config;
    config.slots.push_back(crypto::make_password_slot(unlocked->key, config.vault,
                                                      static_cast<std::uint32_t>(config.generation + 1),
                                                      base::as_bytes("second"), kCheap, label));
    Done done = folder.replace_config(*unlocked, std::move(config));
    ASSERT_TRUE(done) << done.error().message;
  }

  test::TempDir dir_;
};

crypto::VaultKey copy_of(const crypto::VaultKey& key) {
  crypto::VaultKey copy;
  std::copy(key.view().begin(), key.view().end(), copy.span().begin());
  return copy;
}

// --- making one ------------------------------------------------------------------------------------------------------

TEST_F(VaultFolderTest, ANewVaultHoldsItsThreeFilesAndOpens) {
  Outcome<Unlocked> unlocked = create();
  ASSERT_TRUE(unlocked) << unlocked.error().message;
  EXPECT_EQ(unlocked->config.generation, 1u);
  EXPECT_THAT(names_in(path()), UnorderedElementsAre("coffer.json", "coffer-copy.json", "README.txt"));
  EXPECT_EQ(content(config_path()), content(path() + "/coffer-copy.json"));
  EXPECT_EQ(mode_of(path()), 0700u);
  EXPECT_EQ(mode_of(config_path()), 0600u);
  EXPECT_THAT(content(path() + "/README.txt"), HasSubstr("64 hexadecimal digits"));

  VaultFolder folder = opened();
  Outcome<Unlocked> again = folder.unlock_with_password(base::as_bytes("secret"));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->config, unlocked->config);
  EXPECT_TRUE(std::ranges::equal(again->key.view(), unlocked->key.view()));
}

TEST_F(VaultFolderTest, AnEmptyFolderWillDoAndKeepsItsMode) {
  std::filesystem::create_directory(path());
  ::chmod(path().c_str(), 0755);
  ASSERT_TRUE(create());
  EXPECT_EQ(mode_of(path()), 0755u);
}

TEST_F(VaultFolderTest, AFolderThroughALinkWillDo) {
  std::filesystem::create_directory(path("real"));
  std::filesystem::create_directory_symlink(path("real"), path("link"));
  ASSERT_TRUE(create("link"));
  EXPECT_EQ(opened("link").path(), path("real"));
}

TEST_F(VaultFolderTest, AFilledFolderIsRefusedUntouched) {
  std::filesystem::create_directory(path());
  write(path() + "/letter", "mine");
  Outcome<Unlocked> refused = create();
  EXPECT_EQ(code_of(refused), ExitCode::kNotEmpty);
  EXPECT_THAT(refused.error().message, HasSubstr("letter"));
  EXPECT_THAT(names_in(path()), UnorderedElementsAre("letter"));
}

TEST_F(VaultFolderTest, AVaultIsNotMadeTwice) {
  made();
  const std::string before = content(config_path());
  Outcome<Unlocked> refused = create();
  EXPECT_EQ(code_of(refused), ExitCode::kNotEmpty);
  EXPECT_THAT(refused.error().message, HasSubstr("is a vault already"));
  EXPECT_EQ(content(config_path()), before);
}

TEST_F(VaultFolderTest, AFileIsNoPlaceForAVault) {
  write(path(), "mine");
  EXPECT_EQ(code_of(create()), ExitCode::kNotAVault);
  EXPECT_EQ(content(path()), "mine");
  EXPECT_EQ(code_of(may_become_vault(path())), ExitCode::kNotAVault);
}

TEST_F(VaultFolderTest, AMissingFolderAboveIsSaid) {
  Outcome<Unlocked> refused = create("no/vault");
  EXPECT_EQ(code_of(refused), ExitCode::kOther);
  EXPECT_THAT(refused.error().message, HasSubstr("the folder above it does not exist"));
  EXPECT_FALSE(std::filesystem::exists(path("no")));
}

TEST_F(VaultFolderTest, WhatCannotBeFinishedLeavesNothing) {
  VaultMaker* maker = new VaultMaker(path());
  ASSERT_TRUE(maker->take_folder());
  ASSERT_TRUE(maker->write("README.txt", base::as_bytes("text"), 0644));
  EXPECT_FALSE(maker->write("no/such", base::as_bytes("text"), 0644));
  delete maker;
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(VaultFolderTest, OfTwoMakersOneGetsTheFolder) {
  std::filesystem::create_directory(path());
  VaultMaker first(path());
  ASSERT_TRUE(first.take_folder());
  VaultMaker second(path());
  EXPECT_EQ(code_of(second.take_folder()), ExitCode::kBusy);
}

TEST_F(VaultFolderTest, MayBecomeVaultTouchesNothing) {
  EXPECT_TRUE(may_become_vault(path()));
  EXPECT_TRUE(may_become_vault(path() + "/"));
  EXPECT_FALSE(std::filesystem::exists(path()));
  EXPECT_EQ(code_of(may_become_vault(path("no/vault"))), ExitCode::kOther);
}

// --- opening
// -----------------------------------------------------------------------------------------------------------

TEST_F(VaultFolderTest, WhatIsNoVaultSaysSo) {
  EXPECT_EQ(code_of(VaultFolder::open(path("missing"))), ExitCode::kNotAVault);
  EXPECT_EQ(code_of(VaultFolder::open(dir_.path())), ExitCode::kNotAVault);
  write(path("file"), "x");
  EXPECT_EQ(code_of(VaultFolder::open(path("file"))), ExitCode::kNotAVault);
}

TEST_F(VaultFolderTest, AMissingConfigPointsToTheCopyInTheVault) {
  made();
  std::filesystem::remove(config_path());
  Outcome<VaultFolder> folder = VaultFolder::open(path());
  ASSERT_EQ(code_of(folder), ExitCode::kConfigDamaged);
  EXPECT_THAT(folder.error().hint, HasSubstr("cp -- " + path() + "/coffer-copy.json " + config_path()));
}

TEST_F(VaultFolderTest, AMissingConfigPointsToTheCopyInLocalState) {
  made();
  const std::string state = opened().state_path();
  std::filesystem::remove(config_path());
  std::filesystem::remove(path() + "/coffer-copy.json");
  Outcome<VaultFolder> folder = VaultFolder::open(path());
  ASSERT_EQ(code_of(folder), ExitCode::kConfigDamaged);
  EXPECT_THAT(folder.error().hint, HasSubstr("cp -- " + state + "/coffer.json " + config_path()));
}

TEST_F(VaultFolderTest, DamageIsToldApart) {
  made();
  const std::string good = content(config_path());
  const auto with = [&](const std::string& text) {
    write(config_path(), text);
    return VaultFolder::open(path());
  };
  EXPECT_EQ(code_of(with("")), ExitCode::kConfigDamaged);
  EXPECT_EQ(code_of(with(good.substr(0, good.size() / 2))), ExitCode::kConfigDamaged);
  EXPECT_EQ(code_of(with("hello")), ExitCode::kConfigDamaged);
  EXPECT_EQ(code_of(with(std::string(crypto::kMaxConfigSize + 1, ' '))), ExitCode::kConfigDamaged);
  std::string newer = good;
  newer.replace(newer.find("\"format\": 0"), 11, "\"format\": 7");
  EXPECT_EQ(code_of(with(newer)), ExitCode::kNewerFormat);
  std::string feature = good;
  feature.replace(feature.find("[]"), 2, "[\"teleport\"]");
  EXPECT_EQ(code_of(with(feature)), ExitCode::kNewerFormat);
  Outcome<VaultFolder> damaged = with("hello");
  EXPECT_THAT(damaged.error().hint, HasSubstr("coffer-copy.json"));
}

TEST_F(VaultFolderTest, AConfigThatIsALinkIsNotFollowed) {
  made();
  std::filesystem::rename(config_path(), path("elsewhere.json"));
  std::filesystem::create_symlink(path("elsewhere.json"), config_path());
  EXPECT_EQ(code_of(VaultFolder::open(path())), ExitCode::kConfigDamaged);
}

// --- unlocking
// -----------------------------------------------------------------------------------------------------------

TEST_F(VaultFolderTest, WrongSecretsAreRefused) {
  const crypto::VaultKey key = made();
  VaultFolder folder = opened();
  EXPECT_EQ(code_of(folder.unlock_with_password(base::as_bytes("Secret"))), ExitCode::kWrongSecret);
  EXPECT_EQ(code_of(folder.unlock_with_keyfile(base::Bytes(64, 1))), ExitCode::kNoSecret);
  EXPECT_EQ(code_of(folder.unlock_with_vault_key(crypto::random_vault_key())), ExitCode::kWrongSecret);
  EXPECT_TRUE(folder.unlock_with_vault_key(copy_of(key)));
}

TEST_F(VaultFolderTest, AVaultWithoutSlotsTakesOnlyTheKey) {
  Outcome<Unlocked> unlocked = VaultFolder::create(path(), {}, std::nullopt, kCheap);
  ASSERT_TRUE(unlocked);
  VaultFolder folder = opened();
  EXPECT_EQ(code_of(folder.unlock_with_password(base::as_bytes("secret"))), ExitCode::kNoSecret);
  EXPECT_TRUE(folder.unlock_with_vault_key(std::move(unlocked->key)));
}

TEST_F(VaultFolderTest, AKeyfileOpensItsSlot) {
  made();
  VaultFolder folder = opened();
  Outcome<Unlocked> unlocked = folder.unlock_with_password(base::as_bytes("secret"));
  ASSERT_TRUE(unlocked);
  crypto::VaultConfig config = unlocked->config;
  const base::Bytes keyfile(64, 7);
  config.slots.push_back(crypto::make_keyfile_slot(unlocked->key, config.vault, 2, keyfile, "stick"));
  ASSERT_TRUE(folder.replace_config(*unlocked, std::move(config)));
  EXPECT_TRUE(opened().unlock_with_keyfile(keyfile));
  EXPECT_EQ(code_of(opened().unlock_with_keyfile(base::Bytes(64, 8))), ExitCode::kWrongSecret);
}

TEST_F(VaultFolderTest, AForgedConfigIsNoticedWhicheverSecretIsUsed) {
  const crypto::VaultKey key = made();
  std::string forged = content(config_path());
  forged.replace(forged.find("\"name_max\": 200"), 15, "\"name_max\": 255");
  write(config_path(), forged);
  VaultFolder folder = opened();
  Outcome<Unlocked> by_password = folder.unlock_with_password(base::as_bytes("secret"));
  ASSERT_EQ(code_of(by_password), ExitCode::kConfigDamaged);
  EXPECT_THAT(by_password.error().hint, HasSubstr("coffer-copy.json"));
  // The key alone cannot tell a forged file from another vault's; the copy says that the key is right.
  EXPECT_EQ(code_of(folder.unlock_with_vault_key(copy_of(key))), ExitCode::kConfigDamaged);
}

// --- changing
// ------------------------------------------------------------------------------------------------------------

TEST_F(VaultFolderTest, AChangeCountsUpAndReachesAllThreeCopies) {
  made();
  VaultFolder folder = opened();
  change(folder);
  EXPECT_EQ(folder.unverified().generation, 2u);
  EXPECT_EQ(content(config_path()), content(path() + "/coffer-copy.json"));
  EXPECT_EQ(content(config_path()), content(folder.state_path() + "/coffer.json"));
  EXPECT_THAT(names_in(path()), UnorderedElementsAre("coffer.json", "coffer-copy.json", "README.txt"));
  EXPECT_TRUE(opened().unlock_with_password(base::as_bytes("second")));
  change(folder, "third");  // the same object goes on
  EXPECT_EQ(opened().unverified().generation, 3u);
}

TEST_F(VaultFolderTest, AChangeOverAForeignChangeIsRefused) {
  made();
  VaultFolder mine = opened();
  Outcome<Unlocked> unlocked = mine.unlock_with_password(base::as_bytes("secret"));
  ASSERT_TRUE(unlocked);
  VaultFolder other = opened();
  change(other);
  const std::string before = content(config_path());
  EXPECT_EQ(code_of(mine.replace_config(*unlocked, unlocked->config)), ExitCode::kBusy);
  EXPECT_EQ(content(config_path()), before);
}

TEST_F(VaultFolderTest, AnOlderConfigIsARollback) {
  made();
  const std::string old = content(config_path());
  VaultFolder folder = opened();
  change(folder);
  write(config_path(), old);
  Outcome<Unlocked> rolled_back = opened().unlock_with_password(base::as_bytes("secret"));
  ASSERT_EQ(code_of(rolled_back), ExitCode::kRolledBack);
  const std::string remembered = folder.state_path() + "/coffer.json";
  EXPECT_THAT(rolled_back.error().hint, HasSubstr("cp -- " + remembered + " " + config_path()));
  // Both ways out that the hint names:
  std::filesystem::remove(remembered);
  EXPECT_TRUE(opened().unlock_with_password(base::as_bytes("secret")));
}

TEST_F(VaultFolderTest, ANewerConfigFromAnotherMachineIsRemembered) {
  made();
  const std::string old = content(config_path());
  const std::string state = opened().state_path();
  {
    VaultFolder folder = opened();
    change(folder);
  }
  write(state + "/coffer.json", old);  // as if the change had been made elsewhere
  ASSERT_TRUE(opened().unlock_with_password(base::as_bytes("secret")));
  write(config_path(), old);
  EXPECT_EQ(code_of(opened().unlock_with_password(base::as_bytes("secret"))), ExitCode::kRolledBack);
}

TEST_F(VaultFolderTest, AForgedMemoryCountsAsNone) {
  made();
  std::string forged = content(config_path());
  forged.replace(forged.find("\"generation\": 1"), 15, "\"generation\": 9");
  write(opened().state_path() + "/coffer.json", forged);
  EXPECT_TRUE(opened().unlock_with_password(base::as_bytes("secret")));
}

// --- local state and the lock
// ------------------------------------------------------------------------------------------

TEST_F(VaultFolderTest, LocalStateIsPrivateAndBelongsToTheFolder) {
  made();
  VaultFolder folder = opened();
  ASSERT_TRUE(folder.open_state());
  EXPECT_EQ(mode_of(folder.state_path()), 0700u);
  EXPECT_THAT(folder.state_path(),
              HasSubstr(dir_.path() + "/state/coffer/" + crypto::to_hex(folder.unverified().vault.view())));
  // A copy of the vault is another folder; the same folder under another name is not.
  std::filesystem::copy(path(), path("copy"));
  EXPECT_NE(opened("copy").state_path(), folder.state_path());
}

TEST_F(VaultFolderTest, AStateFolderOpenToOthersIsClosed) {
  made();
  VaultFolder folder = opened();
  ::chmod(folder.state_path().c_str(), 0777);
  ASSERT_TRUE(folder.open_state());
  EXPECT_EQ(mode_of(folder.state_path()), 0700u);
}

TEST_F(VaultFolderTest, WithoutLocalStateAVaultStillOpens) {
  made();
  ::setenv("XDG_STATE_HOME", "/proc/nowhere", 1);
  VaultFolder folder = opened();
  EXPECT_FALSE(folder.open_state());
  EXPECT_TRUE(folder.unlock_with_password(base::as_bytes("secret")));
  change(folder);
}

TEST_F(VaultFolderTest, TheLockIsHeldOnceAndNamesItsHolder) {
  made();
  VaultFolder folder = opened();
  Outcome<base::UniqueFd> first = folder.lock_for_mount(0);
  ASSERT_TRUE(first);
  Outcome<base::UniqueFd> second = opened().lock_for_mount(50);
  ASSERT_EQ(code_of(second), ExitCode::kBusy);
  EXPECT_THAT(second.error().message, HasSubstr("process " + std::to_string(::getpid())));
  first->reset();
  EXPECT_TRUE(opened().lock_for_mount(0));
}

TEST_F(VaultFolderTest, SlotsMayBeChangedWhileTheLockIsHeld) {
  made();
  VaultFolder folder = opened();
  Outcome<base::UniqueFd> lock = folder.lock_for_mount(0);
  ASSERT_TRUE(lock);
  change(folder);
}

// --- small files and texts
// ---------------------------------------------------------------------------------------------

TEST_F(VaultFolderTest, WriteDurablyReplacesOrRefuses) {
  base::UniqueFd folder = dir_.open();
  ASSERT_TRUE(write_durably(folder, "f", base::as_bytes("one"), 0600, IfExists::kFail));
  EXPECT_EQ(write_durably(folder, "f", base::as_bytes("two"), 0600, IfExists::kFail).error().code(), EEXIST);
  EXPECT_EQ(content(path("f")), "one");
  ASSERT_TRUE(write_durably(folder, "f", base::as_bytes("two"), 0644, IfExists::kReplace));
  EXPECT_EQ(content(path("f")), "two");
  EXPECT_EQ(mode_of(path("f")), 0644u);
  EXPECT_FALSE(write_durably(folder, "no/f", base::as_bytes("x"), 0600, IfExists::kReplace));
  EXPECT_THAT(names_in(dir_.path()), UnorderedElementsAre("f"));
}

TEST(TemporaryName, IsSkippedBySyncClientsAndNeverTheSame) {
  const std::string name = temporary_name();
  EXPECT_TRUE(name.starts_with(".~coffer-") && name.ends_with(".tmp")) << name;
  EXPECT_NE(name, temporary_name());
}

TEST(ShellWord, CanBePasted) {
  EXPECT_EQ(shell_word("/a/b.c"), "/a/b.c");
  EXPECT_EQ(shell_word("/a b"), "'/a b'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("-rf"), "'-rf'");
  EXPECT_EQ(shell_word("~"), "'~'");
  EXPECT_EQ(shell_word("a\nb'"), "$'a\\012b\\''");
}

TEST(SystemError, SaysWhatItMeans) {
  EXPECT_EQ(system_error(base::Errno(ENOSPC), "f").code, ExitCode::kNoSpace);
  EXPECT_EQ(system_error(base::Errno(EDQUOT), "f").code, ExitCode::kNoSpace);
  EXPECT_EQ(system_error(base::Errno(EROFS), "f").code, ExitCode::kReadOnly);
  EXPECT_EQ(system_error(base::Errno(EACCES), "f").code, ExitCode::kOther);
  EXPECT_EQ(write_error(base::Errno(EACCES), "f").code, ExitCode::kReadOnly);
  EXPECT_EQ(system_error(base::Errno(EIO), "f").message, "f: Input/output error");
}

TEST(StateRoot, FollowsTheSpecification) {
  const char* home = std::getenv("HOME");
  const std::string before = home == nullptr ? "/" : home;
  ::setenv("XDG_STATE_HOME", "/x", 1);
  EXPECT_EQ(state_root(), "/x/coffer");
  ::setenv("XDG_STATE_HOME", "relative", 1);
  ::setenv("HOME", "/home/user", 1);
  EXPECT_EQ(state_root(), "/home/user/.local/state/coffer");
  ::unsetenv("XDG_STATE_HOME");
  EXPECT_EQ(state_root(), "/home/user/.local/state/coffer");
  ::setenv("HOME", before.c_str(), 1);
}

}  // namespace
}  // namespace coffer::fs
