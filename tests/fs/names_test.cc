// Names: long ones, kinds, links, renames and pins, seen through the verbs.
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "crypto/name_cipher.h"
#include "crypto/xattr_cipher.h"
#include "tests/support/test_vault.h"

namespace coffer {
namespace {

using test::TestVault;

std::vector<std::string> sorted(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  return names;
}

// What a file holds, or why it cannot be read.
std::string text_of(TestVault& vault, const std::string& path) {
  auto content = vault.read_file(path);
  return content ? *content : "errno " + std::to_string(content.error().code());
}

TEST(Names, OfEveryLengthComeBackAfterARemount) {
  for (std::uint16_t name_max : {std::uint16_t{132}, std::uint16_t{200}, std::uint16_t{255}}) {
    TestVault vault({.name_max = name_max});
    std::vector<std::string> names;
    for (std::size_t length : {1, 2, 60, 66, 67, 108, 109, 110, 142, 143, 144, 200, 254, 255}) {
      names.push_back(std::string(length, 'n'));
      ASSERT_TRUE(vault.write_file(names.back(), std::to_string(length))) << length;
    }
    names.push_back("Größe 大きさ 🗄.txt");
    names.push_back(std::string("invalid \xff\xfe utf-8"));
    names.push_back("line\nbreak");
    for (std::size_t i = names.size() - 3; i < names.size(); ++i) ASSERT_TRUE(vault.write_file(names[i], names[i]));
    vault.remount();
    EXPECT_EQ(vault.list(""), sorted(names));
    for (std::size_t i = 0; i + 3 < names.size(); ++i) {
      EXPECT_EQ(text_of(vault, names[i]), std::to_string(names[i].size()));
    }
    for (const std::string& name : names) ASSERT_TRUE(vault.unlink(name));
    EXPECT_TRUE(vault.list("").empty());
    EXPECT_TRUE(std::filesystem::is_empty(vault.folder())) << "side files stay behind";
  }
}

TEST(Names, TooLongOrIllegalOnesAreRefused) {
  TestVault vault;
  EXPECT_EQ(vault.write_file(std::string(256, 'n'), "").error(), base::Errno(ENAMETOOLONG));
  EXPECT_EQ(vault.fs().lookup(fs::kRootInode, std::string(256, 'n')).error(), base::Errno(ENAMETOOLONG));
}

TEST(Names, OneNameIsOneNameWhateverItsKind) {
  TestVault vault;
  auto caller = TestVault::caller();
  ASSERT_TRUE(vault.fs().symlink(fs::kRootInode, "a", "target", caller));
  EXPECT_EQ(vault.mkdir("a").error(), base::Errno(EEXIST));
  EXPECT_EQ(vault.fs().mknod(fs::kRootInode, "a", S_IFIFO | 0600, 0, caller).error(), base::Errno(EEXIST));
  EXPECT_EQ(vault.fs().create(fs::kRootInode, "a", 0600, O_EXCL, caller).error(), base::Errno(EEXIST));
  ASSERT_TRUE(vault.write_file("b", "file"));
  EXPECT_EQ(vault.rename("b", "a", RENAME_NOREPLACE).error(), base::Errno(EEXIST));
  ASSERT_TRUE(vault.rename("b", "a"));
  EXPECT_EQ(vault.list(""), (std::vector<std::string>{"a"}));
  EXPECT_EQ(text_of(vault, "a"), "file");
  ASSERT_TRUE(vault.fs().mknod(fs::kRootInode, "dev", S_IFCHR | 0640, makedev(5, 7), caller));
  ASSERT_TRUE(vault.rename("dev", "a", RENAME_EXCHANGE));
  vault.remount();
  auto device = vault.lookup("a");
  ASSERT_TRUE(device);
  EXPECT_TRUE(S_ISCHR(device->mode));
  EXPECT_EQ(device->rdev, makedev(5, 7));
  EXPECT_EQ(text_of(vault, "dev"), "file");
}

TEST(Names, SymbolicLinksKeepTheirTarget) {
  TestVault vault;
  for (std::size_t length : {1, 100, 4000, 4095}) {
    std::string name = "l" + std::to_string(length);
    auto made = vault.fs().symlink(fs::kRootInode, name, std::string(length, 't'), TestVault::caller());
    ASSERT_TRUE(made) << length;
    EXPECT_EQ(made->size, length);
    EXPECT_TRUE(S_ISLNK(made->mode));
  }
  vault.remount();
  for (std::size_t length : {1, 100, 4000, 4095}) {
    auto attr = vault.lookup("l" + std::to_string(length));
    EXPECT_EQ(*vault.fs().readlink(attr->id), std::string(length, 't'));
  }
}

TEST(Names, HardLinksAreOneInode) {
  TestVault vault;
  ASSERT_TRUE(vault.mkdir("d"));
  ASSERT_TRUE(vault.write_file("d/one", "shared"));
  auto one = vault.lookup("d/one");
  auto two = vault.fs().link(one->id, fs::kRootInode, "two");
  ASSERT_TRUE(two);
  EXPECT_EQ(two->id, one->id);
  EXPECT_EQ(two->nlink, 2U);
  ASSERT_TRUE(vault.unlink("d/one"));
  EXPECT_EQ(text_of(vault, "two"), "shared");
  EXPECT_EQ(vault.fs().getattr(two->id)->nlink, 1U);
  vault.remount();
  EXPECT_EQ(text_of(vault, "two"), "shared");
}

// Listing and look-up follow one rule (FORMAT.md 5.4): the smaller kind, then the surer id.
TEST(Names, OfTwoKindsUnderTwoIdsLookUpFindsTheOneThatIsListed) {
  TestVault vault;
  const fs::Caller caller = TestVault::caller();
  // d/a is a file under the id that d has by its place; after a newer pin new names lie under another.
  ASSERT_TRUE(vault.mkdir("d"));
  ASSERT_TRUE(vault.write_file("d/a", "file"));
  ASSERT_TRUE(vault.fs().symlink(vault.lookup("d")->id, "b", "target of b", caller));
  const std::string d = vault.below("d");
  vault.lock();
  const crypto::NameCipher names(vault.keys());
  const crypto::DirId derived = vault.derived_id("d");
  const auto newer = crypto::random_id<crypto::DirId>();
  std::ofstream(d + "/" + names.pin_name({newer, derived, derived, 1})) << "";
  vault.mount();
  // As two machines could leave it: made where the other one was not known.
  const std::string a = names.encrypt(derived, crypto::Kind::kFileOrDirectory, "a");
  const std::string b = names.encrypt(derived, crypto::Kind::kSymlink, "b");
  std::filesystem::rename(d + "/" + a, d + "/aside-a");
  std::filesystem::rename(d + "/" + b, d + "/aside-b");
  ASSERT_TRUE(vault.fs().symlink(vault.lookup("d")->id, "a", "target of a", caller));
  ASSERT_TRUE(vault.write_file("d/b", "other file"));
  vault.lock();
  std::filesystem::rename(d + "/aside-a", d + "/" + a);
  std::filesystem::rename(d + "/aside-b", d + "/" + b);
  vault.mount();
  for (bool listed : {false, true}) {
    if (listed) {
      EXPECT_EQ(vault.list("d"),
                (std::vector<std::string>{"a", "a (conflict, symlink)", "b", "b (conflict, symlink)"}));
    }
    EXPECT_EQ(text_of(vault, "d/a"), "file");
    EXPECT_EQ(text_of(vault, "d/b"), "other file");
    auto link = vault.lookup("d/a (conflict, symlink)");
    ASSERT_TRUE(link);
    EXPECT_EQ(*vault.fs().readlink(link->id), "target of a");
  }
  // With the first gone the other has the name, and both can go.
  ASSERT_TRUE(vault.unlink("d/a"));
  EXPECT_TRUE(S_ISLNK(vault.lookup("d/a")->mode));
  EXPECT_EQ(vault.list("d"), (std::vector<std::string>{"a", "b", "b (conflict, symlink)"}));
  EXPECT_TRUE(S_ISLNK(vault.lookup("d/a")->mode));
  ASSERT_TRUE(vault.rename("d/b (conflict, symlink)", "d/c"));
  ASSERT_TRUE(vault.unlink("d/a"));
  EXPECT_EQ(vault.list("d"), (std::vector<std::string>{"b", "c"}));
}

std::string upper_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

// A cloud that knows no lower case: nothing of that is a conflict.
TEST(Names, UpperCaseAloneIsTheSameName) {
  TestVault vault;
  const fs::Caller caller = TestVault::caller();
  const std::string long_name(250, 'n'), long_dir(250, 'd');
  ASSERT_TRUE(vault.write_file("f", "f"));
  ASSERT_TRUE(vault.fs().symlink(fs::kRootInode, "l", "target", caller));
  ASSERT_TRUE(vault.write_file(long_name, "long"));
  for (const std::string& dir : {std::string("d"), long_dir}) {
    ASSERT_TRUE(vault.mkdir(dir));
    ASSERT_TRUE(vault.write_file(dir + "/g", "g"));
    ASSERT_TRUE(vault.mkdir(dir + "/sub"));
    ASSERT_TRUE(vault.rename(dir, dir.substr(1) + "r"));  // with a pin
  }
  const std::vector<std::string> all = vault.list("");
  vault.lock();
  std::vector<std::filesystem::path> below;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(vault.folder())) below.push_back(entry.path());
  std::reverse(below.begin(), below.end());  // from the leaves up
  for (const auto& path : below) {
    std::filesystem::rename(path, path.parent_path() / upper_case(path.filename()));
  }
  vault.forget_state();
  for (bool listed : {false, true}) {
    vault.mount();
    if (listed) {
      EXPECT_EQ(vault.list(""), all);
    }
    EXPECT_EQ(text_of(vault, "f"), "f");
    EXPECT_EQ(*vault.fs().readlink(vault.lookup("l")->id), "target");
    EXPECT_EQ(text_of(vault, long_name), "long");
    EXPECT_EQ(text_of(vault, "r/g"), "g");
    EXPECT_EQ(text_of(vault, long_dir.substr(1) + "r/g"), "g");
    EXPECT_EQ(vault.fs().status().files_moved, 0U);
    EXPECT_EQ(vault.fs().status().names_unreadable, 0U);
    vault.lock();
  }
  vault.mount();
  // It is one name for whoever makes or moves things.
  EXPECT_EQ(vault.fs().create(fs::kRootInode, "f", 0644, O_EXCL, caller).error(), base::Errno(EEXIST));
  EXPECT_EQ(vault.mkdir("r").error(), base::Errno(EEXIST));
  ASSERT_TRUE(vault.write_file("f", "rewritten"));
  ASSERT_TRUE(vault.write_file("g", "over"));
  ASSERT_TRUE(vault.rename("g", "f"));
  ASSERT_TRUE(vault.rename(long_name, "short"));
  ASSERT_TRUE(vault.rename("r", "s"));
  ASSERT_TRUE(vault.unlink("l"));
  ASSERT_TRUE(vault.unlink("s/g"));
  ASSERT_TRUE(vault.rmdir("s/sub"));
  ASSERT_TRUE(vault.rmdir("s"));
  vault.remount();
  EXPECT_EQ(vault.list(""), sorted({"f", "short", long_dir.substr(1) + "r"}));
  EXPECT_EQ(text_of(vault, "f"), "over");
  EXPECT_EQ(text_of(vault, "short"), "long");
  ASSERT_TRUE(vault.rename(long_dir.substr(1) + "r", "t"));
  EXPECT_EQ(text_of(vault, "t/g"), "g");
  ASSERT_TRUE(vault.unlink("t/g"));
  ASSERT_TRUE(vault.rmdir("t/sub"));
  ASSERT_TRUE(vault.rmdir("t"));
}

TEST(Names, UpperCaseBesideLowerCaseIsAConflictCopy) {
  TestVault vault({.strict = true});
  ASSERT_TRUE(vault.write_file("f", "lower"));
  ASSERT_TRUE(vault.write_file("other", "other"));
  ASSERT_TRUE(vault.fs().sync());
  const std::string below = vault.below("f");
  const std::string copy = vault.folder() + "/" + upper_case(TestVault::name_of(below));
  std::filesystem::copy(below, copy);
  vault.remount();
  EXPECT_EQ(vault.list(""), (std::vector<std::string>{"f", "f (conflict, copy)", "other"}));
  EXPECT_EQ(text_of(vault, "f (conflict, copy)"), "lower");
  ASSERT_TRUE(vault.write_file("f (conflict, copy)", "upper"));
  EXPECT_EQ(text_of(vault, "f"), "lower");
  ASSERT_TRUE(vault.unlink("f"));
  EXPECT_EQ(vault.list(""), (std::vector<std::string>{"f", "other"}));
  EXPECT_EQ(text_of(vault, "f"), "upper");
  ASSERT_TRUE(vault.fs().sync());
  // Whose name it keeps must it be: case does not hide what was put there.
  std::filesystem::rename(vault.below("other"), copy);
  vault.remount();
  EXPECT_EQ(vault.list(""), (std::vector<std::string>{"f"}));
  EXPECT_EQ(text_of(vault, "f"), "errno 5");
}

TEST(Names, AConflictCopyThatIsWrittenToKeepsItsRealNameInItsHeader) {
  for (const std::string& name : {std::string("d.txt"), std::string(250, 'n')}) {
    TestVault vault;
    ASSERT_TRUE(vault.write_file(name, "first"));
    ASSERT_TRUE(vault.fs().sync());
    const std::string below = vault.below(name);
    std::filesystem::copy(below, below + " (1)");
    vault.remount();
    const std::string copy = vault.list("").front() == name ? vault.list("").back() : vault.list("").front();
    ASSERT_NE(copy, name);
    ASSERT_TRUE(vault.write_file(copy, "second"));
    ASSERT_TRUE(vault.fs().sync());
    vault.lock();
    std::filesystem::rename(below + " (1)", below);
    vault.forget_state();
    vault.mount();
    EXPECT_EQ(text_of(vault, name), "second");
    EXPECT_EQ(vault.fs().status().files_moved, 0U);
  }
}

TEST(Directories, KeepTheirContentWhereverTheyAreRenamed) {
  TestVault vault;
  ASSERT_TRUE(vault.mkdir("a"));
  ASSERT_TRUE(vault.mkdir("a/sub"));
  ASSERT_TRUE(vault.write_file("a/sub/file", "content"));
  ASSERT_TRUE(vault.mkdir("elsewhere"));
  const char* places[] = {"b", "elsewhere/c", "elsewhere/d", "a", "elsewhere/e"};
  std::string at = "a";
  for (int round = 0; round < 2; ++round) {
    for (const char* place : places) {
      ASSERT_TRUE(vault.rename(at, place)) << at << " -> " << place;
      at = place;
      EXPECT_EQ(text_of(vault, at + "/sub/file"), "content");
      ASSERT_TRUE(vault.write_file(at + "/after", at));
      vault.remount();
      EXPECT_EQ(text_of(vault, at + "/sub/file"), "content");
      EXPECT_EQ(text_of(vault, at + "/after"), at);
      EXPECT_EQ(vault.fs().status().names_unreadable, 0U);
    }
  }
}

TEST(Directories, AHandleIntoADirectoryOutlivesItsRename) {
  TestVault vault;
  auto dir = vault.mkdir("a");
  ASSERT_TRUE(vault.write_file("a/x", "1"));
  auto file = vault.lookup("a/x");
  ASSERT_TRUE(vault.rename("a", "b"));
  EXPECT_TRUE(vault.fs().lookup(dir->id, "x"));
  EXPECT_EQ(vault.fs().getattr(file->id)->size, 1U);
  ASSERT_TRUE(vault.mkdir("a"));
  ASSERT_TRUE(vault.write_file("a/x", "other"));
  EXPECT_EQ(text_of(vault, "b/x"), "1");
  EXPECT_EQ(text_of(vault, "a/x"), "other");
  vault.remount();
  EXPECT_EQ(text_of(vault, "b/x"), "1");
  EXPECT_EQ(text_of(vault, "a/x"), "other");
  // The place's own id belongs to the directory that moved away.
  EXPECT_NE(TestVault::name_of(vault.below("a/x")), TestVault::name_of(vault.below("b/x")));
}

TEST(Directories, OneMadeWhereAnotherLeftHasAnIdOfItsOwnAlsoAfterARemount) {
  TestVault vault;
  ASSERT_TRUE(vault.mkdir("d"));
  ASSERT_TRUE(vault.write_file("d/f", "old"));
  ASSERT_TRUE(vault.rename("d", "d.old"));
  vault.remount();
  vault.remount();
  ASSERT_TRUE(vault.mkdir("d"));  // before anybody looks at d.old
  ASSERT_TRUE(vault.write_file("d/f", "new"));
  EXPECT_NE(TestVault::name_of(vault.below("d/f")), TestVault::name_of(vault.below("d.old/f")));
  vault.remount();
  EXPECT_EQ(text_of(vault, "d/f"), "new");
  EXPECT_EQ(text_of(vault, "d.old/f"), "old");
}

// After a pin that came late names lie under two ids; both go along.
TEST(Directories, NamesUnderSeveralIdsOutliveARename) {
  TestVault vault;
  ASSERT_TRUE(vault.mkdir("d"));
  ASSERT_TRUE(vault.write_file("d/f", "older id"));
  ASSERT_TRUE(vault.fs().setxattr(vault.lookup("d")->id, "user.a", base::as_bytes("older id"), 0));
  const std::string d = vault.below("d");
  vault.lock();
  const crypto::NameCipher names(vault.keys());
  const crypto::DirId derived = vault.derived_id("d");
  std::ofstream(d + "/" + names.pin_name({crypto::random_id<crypto::DirId>(), derived, derived, 1})) << "";
  vault.mount();
  ASSERT_TRUE(vault.write_file("d/g", "newer id"));
  for (const char* place : {"e", "h", "d"}) {
    ASSERT_TRUE(vault.rename(vault.list("").front(), place));
    vault.remount();
    EXPECT_EQ(vault.list(place), (std::vector<std::string>{"f", "g"}));
    EXPECT_EQ(text_of(vault, std::string(place) + "/f"), "older id");
    EXPECT_EQ(text_of(vault, std::string(place) + "/g"), "newer id");
    EXPECT_TRUE(vault.fs().getxattr(vault.lookup(place)->id, "user.a")) << place;
    EXPECT_EQ(vault.fs().status().names_unreadable, 0U);
  }
}

TEST(Directories, ExchangeKeepsBothContents) {
  TestVault vault;
  ASSERT_TRUE(vault.mkdir("a"));
  ASSERT_TRUE(vault.mkdir("b"));
  ASSERT_TRUE(vault.write_file("a/f", "from a"));
  ASSERT_TRUE(vault.write_file("b/f", "from b"));
  ASSERT_TRUE(vault.rename("a", "b", RENAME_EXCHANGE));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(text_of(vault, "a/f"), "from b");
    EXPECT_EQ(text_of(vault, "b/f"), "from a");
    vault.remount();
  }
}

TEST(Directories, RemovalTakesPinsAndLitterButNothingElse) {
  TestVault vault;
  ASSERT_TRUE(vault.mkdir("a"));
  ASSERT_TRUE(vault.rename("a", "b"));
  std::string below = vault.below("b");
  std::ofstream(below + "/.DS_Store") << "litter";
  std::ofstream(below + "/keep.txt") << "somebody else's";
  EXPECT_EQ(vault.rmdir("b").error(), base::Errno(ENOTEMPTY));
  std::filesystem::remove(below + "/keep.txt");
  ASSERT_TRUE(vault.write_file("b/f", ""));
  EXPECT_EQ(vault.rmdir("b").error(), base::Errno(ENOTEMPTY));
  ASSERT_TRUE(vault.unlink("b/f"));
  EXPECT_TRUE(vault.rmdir("b"));
  EXPECT_TRUE(vault.list("").empty());
}

TEST(Directories, RenameOverAnEmptyOneThatHasBeenMoved) {
  TestVault vault;
  ASSERT_TRUE(vault.mkdir("a"));
  ASSERT_TRUE(vault.rename("a", "empty"));
  ASSERT_TRUE(vault.mkdir("full"));
  ASSERT_TRUE(vault.write_file("full/f", "x"));
  EXPECT_EQ(vault.rename("empty", "full").error(), base::Errno(ENOTEMPTY));
  ASSERT_TRUE(vault.rename("full", "empty"));
  vault.remount();
  EXPECT_EQ(text_of(vault, "empty/f"), "x");
}

TEST(Directories, ADirectoryCannotMoveIntoItself) {
  TestVault vault;
  ASSERT_TRUE(vault.mkdir("a"));
  ASSERT_TRUE(vault.mkdir("a/b"));
  EXPECT_EQ(vault.rename("a", "a/b/c").error(), base::Errno(EINVAL));
  ASSERT_TRUE(vault.write_file("a/f", "x"));
  vault.remount();
  EXPECT_EQ(text_of(vault, "a/f"), "x");
}

TEST(Directories, LongNamesMove) {
  TestVault vault;
  std::string first(250, 'd');
  std::string second(240, 'e');
  ASSERT_TRUE(vault.mkdir(first));
  ASSERT_TRUE(vault.write_file(first + "/" + second, "x"));
  ASSERT_TRUE(vault.rename(first, second));
  ASSERT_TRUE(vault.rename(second + "/" + second, second + "/" + first));
  vault.remount();
  EXPECT_EQ(text_of(vault, second + "/" + first), "x");
  ASSERT_TRUE(vault.unlink(second + "/" + first));
  ASSERT_TRUE(vault.rmdir(second));
  EXPECT_TRUE(std::filesystem::is_empty(vault.folder()));
}

TEST(Descriptors, StayFewWithManyDirectories) {
  TestVault vault({.directory_fds_max = 8});
  std::string path;
  for (int i = 0; i < 60; ++i) {
    path += (i == 0 ? "" : "/") + std::string("d");
    ASSERT_TRUE(vault.mkdir(path));
  }
  ASSERT_TRUE(vault.write_file(path + "/deep", "down"));
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(vault.mkdir("w" + std::to_string(i)));
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(vault.write_file("w" + std::to_string(i) + "/f", "x"));
  EXPECT_EQ(text_of(vault, path + "/deep"), "down");
  std::size_t open = static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator()));
  EXPECT_LT(open, 40U);
}

TEST(Xattrs, AreEncryptedAndComeBack) {
  TestVault vault;
  ASSERT_TRUE(vault.write_file("f", "x"));
  ASSERT_TRUE(vault.mkdir("d"));
  for (const char* path : {"f", "d"}) {
    auto id = vault.lookup(path)->id;
    ASSERT_TRUE(vault.fs().setxattr(id, "user.comment", base::as_bytes("a secret remark"), 0));
    ASSERT_TRUE(vault.fs().setxattr(id, "user.empty", {}, 0));
    EXPECT_EQ(vault.fs().setxattr(id, "user.empty", {}, XATTR_CREATE).error(), base::Errno(EEXIST));
    EXPECT_EQ(vault.fs().setxattr(id, "user.none", {}, XATTR_REPLACE).error(), base::Errno(ENODATA));
    EXPECT_EQ(vault.fs().getxattr(id, "user.none").error(), base::Errno(ENODATA));
    EXPECT_EQ(vault.fs().setxattr(id, "nonsense", {}, 0).error(), base::Errno(EOPNOTSUPP));
  }
  ASSERT_TRUE(vault.rename("d", "e"));
  vault.remount();
  for (const char* path : {"f", "e"}) {
    auto id = vault.lookup(path)->id;
    auto value = vault.fs().getxattr(id, "user.comment");
    ASSERT_TRUE(value) << path;
    EXPECT_EQ(base::as_text(*value), "a secret remark");
    EXPECT_EQ(sorted(*vault.fs().listxattr(id)), (std::vector<std::string>{"user.comment", "user.empty"}));
    ASSERT_TRUE(vault.fs().removexattr(id, "user.comment"));
    EXPECT_EQ(vault.fs().getxattr(id, "user.comment").error(), base::Errno(ENODATA));
  }
}

// Verbs that start from an inode take no lock of names: they must not be told that it is gone while it is on its way.
class OnTheMove : public testing::Test {
 protected:
  // `move` again and again, and meanwhile everything that one may ask of the inode `id`.
  void ask_while(const std::function<bool(int)>& move, const fs::InodeId& id, int moves) {
    std::atomic<bool> done{false};
    std::map<std::string, int> failed;
    std::mutex mutex;
    const auto ask = [&](const std::string& what, const auto& answer) {
      if (answer) return;
      const std::lock_guard<std::mutex> lock(mutex);
      ++failed[what + ": errno " + std::to_string(answer.error().code())];
    };
    std::vector<std::thread> users;
    users.emplace_back([&] {
      while (!done) ask("getattr", vault_.fs().getattr(id));
    });
    users.emplace_back([&] {
      while (!done) {
        auto opened = vault_.fs().open_file(id, O_RDWR, false);
        ask("open", opened);
        if (opened) vault_.fs().release(opened->handle);
        ask("listxattr", vault_.fs().listxattr(id));
      }
    });
    for (int i = 0; i < moves; ++i) ASSERT_TRUE(move(i));
    done = true;
    for (std::thread& user : users) user.join();
    for (const auto& [what, times] : failed) ADD_FAILURE() << what << ", " << times << " times";
  }
  TestVault vault_;
};

TEST_F(OnTheMove, AFileIsThere) {
  ASSERT_TRUE(vault_.mkdir("a"));
  ASSERT_TRUE(vault_.mkdir("b"));
  ASSERT_TRUE(vault_.write_file("a/x", "text"));
  ask_while([&](int i) { return bool(i % 2 ? vault_.rename("b/y", "a/x") : vault_.rename("a/x", "b/y")); },
            vault_.lookup("a/x")->id, 4000);
}

TEST_F(OnTheMove, AFileWithALongNameIsThere) {
  const std::string name(200, 'n');
  ASSERT_TRUE(vault_.write_file("x", "text"));
  ask_while([&](int i) { return bool(i % 2 ? vault_.rename(name, "x") : vault_.rename("x", name)); },
            vault_.lookup("x")->id, 2000);
}

TEST_F(OnTheMove, AFileInAFolderIsThere) {
  ASSERT_TRUE(vault_.mkdir("a"));
  ASSERT_TRUE(vault_.mkdir("a/deep"));
  ASSERT_TRUE(vault_.write_file("a/deep/x", "text"));
  const fs::InodeId id = vault_.lookup("a/deep/x")->id;
  ask_while([&](int i) { return bool(i % 2 ? vault_.rename("b", "a") : vault_.rename("a", "b")); }, id, 1000);
}

TEST_F(OnTheMove, AnOpenFileMayGo) {
  std::atomic<int> failed{0};
  for (int i = 0; i < 300; ++i) {
    auto made = vault_.fs().create(fs::kRootInode, "x", 0600, O_RDWR, TestVault::caller());
    ASSERT_TRUE(made);
    std::atomic<bool> done{false};
    std::thread user([&] {
      fs::AttrChange change;
      change.mtime = timespec{1000000000, 0};
      while (!done) failed += !vault_.fs().getattr(made->attr.id) || !vault_.fs().setattr(made->attr.id, change);
    });
    EXPECT_TRUE(vault_.unlink("x"));
    done = true;
    user.join();
    vault_.fs().release(made->opened.handle);
  }
  EXPECT_EQ(failed, 0);
}

// Without open files an inode that nobody moves is gone at once, however much else is moved.
TEST_F(OnTheMove, WhatIsGoneIsGone) {
  ASSERT_TRUE(vault_.write_file("gone", "text"));
  const fs::InodeId id = vault_.lookup("gone")->id;
  std::filesystem::remove(vault_.below("gone"));
  ASSERT_TRUE(vault_.write_file("x", "text"));
  std::atomic<bool> done{false};
  std::thread mover([&] {
    for (int i = 0; !done; ++i) EXPECT_TRUE(i % 2 ? vault_.rename("y", "x") : vault_.rename("x", "y"));
  });
  for (int i = 0; i < 10; ++i) EXPECT_EQ(vault_.fs().getattr(id).error(), base::Errno(ESTALE));
  done = true;
  mover.join();
}

// A disk that refuses what a test names.
class Refusing : public fs::Backing {
 public:
  explicit Refusing(std::vector<std::string> refused) : refused_(std::move(refused)) {}
  base::Status unlink(base::FdRef dir, const std::string& name) override {
    if (refuses("unlink")) return base::Errno(EIO);
    return Backing::unlink(dir, name);
  }
  base::Status rename(base::FdRef from_dir, const std::string& from, base::FdRef to_dir, const std::string& to,
                      unsigned flags) override {
    if (++renames_ > 1 && refuses("second rename")) return base::Errno(EIO);
    return Backing::rename(from_dir, from, to_dir, to, flags);
  }

 private:
  bool refuses(const std::string& call) const {
    return std::find(refused_.begin(), refused_.end(), call) != refused_.end();
  }
  const std::vector<std::string> refused_;
  int renames_ = 0;
};

TEST(RenameOverAnotherKind, LeavesBothWhereTheyWereIfTheOldOneCannotGo) {
  TestVault vault;
  ASSERT_TRUE(vault.write_file("file", "text"));
  ASSERT_TRUE(vault.fs().symlink(fs::kRootInode, "link", "target", TestVault::caller()));
  vault.lock();
  vault.mount(std::make_unique<Refusing>(std::vector<std::string>{"unlink"}));
  const auto link = vault.lookup("link");
  ASSERT_TRUE(link);
  EXPECT_EQ(vault.rename("link", "file").error(), base::Errno(EIO));
  EXPECT_EQ(sorted(vault.list("")), (std::vector<std::string>{"file", "link"}));
  EXPECT_EQ(text_of(vault, "file"), "text");
  const auto target = vault.fs().readlink(link->id);
  ASSERT_TRUE(target);
  EXPECT_EQ(*target, "target");
}

TEST(RenameOverAnotherKind, IsKnownToHaveHappenedIfItCannotBeUndone) {
  TestVault vault;
  ASSERT_TRUE(vault.write_file("file", "text"));
  ASSERT_TRUE(vault.fs().symlink(fs::kRootInode, "link", "target", TestVault::caller()));
  vault.lock();
  vault.mount(std::make_unique<Refusing>(std::vector<std::string>{"unlink", "second rename"}));
  const auto file = vault.lookup("file");
  ASSERT_TRUE(file);
  EXPECT_EQ(vault.rename("file", "link").error(), base::Errno(EIO));
  EXPECT_FALSE(vault.lookup("file"));
  EXPECT_TRUE(vault.fs().getattr(file->id));  // where it lies now
  EXPECT_EQ(text_of(vault, "link"), "text");
}

TEST(Xattrs, OfADirectoryOutliveAChangeOfItsFirstId) {
  TestVault vault;
  ASSERT_TRUE(vault.mkdir("d"));
  ASSERT_TRUE(vault.write_file("d/f", "x"));
  ASSERT_TRUE(vault.fs().setxattr(vault.lookup("d")->id, "user.comment", base::as_bytes("old"), 0));
  ASSERT_TRUE(vault.fs().setxattr(vault.lookup("d")->id, "user.other", base::as_bytes("kept"), 0));
  const std::string d = vault.below("d");
  vault.lock();
  const crypto::NameCipher names(vault.keys());
  const crypto::DirId derived = vault.derived_id("d");
  // As a daemon that is not root keeps a mode that would lock it out.
  crypto::XattrCipher xattrs(vault.keys());
  base::ByteArray<4> mode;
  base::store_le<std::uint32_t>(mode.data(), 0500);
  const base::Bytes sealed = xattrs.seal(derived.view(), "coffer.mode", mode);
  ASSERT_EQ(::setxattr(d.c_str(), xattrs.stored_name("coffer.mode").c_str(), sealed.data(), sealed.size(), 0), 0);
  ASSERT_EQ(::chmod(d.c_str(), 01700), 0);
  // A pin arrives from another machine.
  std::ofstream(d + "/" + names.pin_name({crypto::random_id<crypto::DirId>(), derived, derived, 1})) << "";
  vault.mount();
  const auto id = vault.lookup("d")->id;
  EXPECT_EQ(vault.lookup("d")->mode & 07777, 0500U);
  EXPECT_EQ(sorted(*vault.fs().listxattr(id)), (std::vector<std::string>{"user.comment", "user.other"}));
  auto value = vault.fs().getxattr(id, "user.comment");
  ASSERT_TRUE(value);
  EXPECT_EQ(base::as_text(*value), "old");
  ASSERT_TRUE(vault.fs().setxattr(id, "user.comment", base::as_bytes("new"), 0));
  vault.remount();
  value = vault.fs().getxattr(vault.lookup("d")->id, "user.comment");
  ASSERT_TRUE(value);
  EXPECT_EQ(base::as_text(*value), "new");
  EXPECT_EQ(vault.fs().status().integrity_events, 0U);
  // One of another directory is none of them.
  ASSERT_TRUE(vault.mkdir("e"));
  ASSERT_EQ(
      ::setxattr(vault.below("e").c_str(), xattrs.stored_name("coffer.mode").c_str(), sealed.data(), sealed.size(), 0),
      0);
  EXPECT_EQ(vault.fs().listxattr(vault.lookup("e")->id).error(), base::Errno(EIO));
}

}  // namespace
}  // namespace coffer
