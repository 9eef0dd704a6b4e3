// The trampolines from wire to wire: requests as the kernel writes them, a real vault behind.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <map>
#include <string>
#include <vector>

#include "mount/device_io.h"
#include "mount/fuse_ops.h"
#include "mount/mount_context.h"
#include "tests/mount/fake_kernel.h"
#include "tests/support/test_vault.h"

namespace coffer::mount {
namespace {

using test::Answer;
using test::FakeKernel;
using test::with;

std::string zero_terminated(std::string_view text) { return std::string(text) + '\0'; }

class OperationsTest : public ::testing::Test {
 protected:
  Answer lookup(std::uint64_t parent, std::string_view name) {
    return kernel_.ask_names(FUSE_LOOKUP, parent, zero_terminated(name));
  }
  Answer mkdir(std::uint64_t parent, std::string_view name, mode_t mode = 0755, mode_t umask = 022) {
    return kernel_.ask(FUSE_MKDIR, parent, fuse_mkdir_in{.mode = mode, .umask = umask}, zero_terminated(name));
  }
  Answer create(std::uint64_t parent, std::string_view name, int flags = O_RDWR, mode_t mode = 0644,
                mode_t umask = 022) {
    fuse_create_in in{};
    in.flags = static_cast<std::uint32_t>(flags | O_CREAT);
    in.mode = S_IFREG | mode;
    in.umask = umask;
    return kernel_.ask(FUSE_CREATE, parent, in, zero_terminated(name));
  }
  Answer write(std::uint64_t node, std::uint64_t handle, std::string_view data, std::uint64_t offset = 0) {
    fuse_write_in in{};
    in.fh = handle;
    in.offset = offset;
    in.size = static_cast<std::uint32_t>(data.size());
    return kernel_.ask(FUSE_WRITE, node, in, data);
  }
  Answer read(std::uint64_t node, std::uint64_t handle, std::uint32_t size, std::uint64_t offset = 0) {
    fuse_read_in in{};
    in.fh = handle;
    in.offset = offset;
    in.size = size;
    return kernel_.ask(FUSE_READ, node, in);
  }
  int release(std::uint64_t node, std::uint64_t handle, int flags = O_RDWR) {
    fuse_release_in in{};
    in.fh = handle;
    in.flags = static_cast<std::uint32_t>(flags);
    return kernel_.ask(FUSE_RELEASE, node, in).error;
  }
  struct File {
    std::uint64_t node, handle;
  };
  File make_file(std::string_view name, std::string_view data) {
    const Answer made = create(FUSE_ROOT_ID, name);
    EXPECT_EQ(made.error, 0);
    const File file{made.as<fuse_entry_out>().nodeid, made.as<fuse_open_out>(sizeof(fuse_entry_out)).fh};
    if (!data.empty()) {
      EXPECT_EQ(write(file.node, file.handle, data).as<fuse_write_out>().size, data.size());
    }
    return file;
  }
  fuse_attr attributes(std::uint64_t node) {
    return kernel_.ask(FUSE_GETATTR, node, fuse_getattr_in{}).as<fuse_attr_out>().attr;
  }
  std::uint64_t open_root() { return kernel_.ask(FUSE_OPENDIR, FUSE_ROOT_ID, fuse_open_in{}).as<fuse_open_out>().fh; }
  Answer list(fuse_opcode opcode, std::uint64_t handle, std::uint32_t size, std::uint64_t offset) {
    fuse_read_in in{};
    in.fh = handle;
    in.offset = offset;
    in.size = size;
    return kernel_.ask(opcode, FUSE_ROOT_ID, in);
  }

  test::TestVault vault_;
  MountContext context_{vault_.fs()};
  FakeKernel kernel_{operations(), &context_, device_io()};
};

TEST_F(OperationsTest, InitAsksForWhatIsOffered) {
  const auto out = kernel_.init().as<fuse_init_out>();
  for (const std::uint32_t flag :
       {FUSE_WRITEBACK_CACHE, FUSE_PARALLEL_DIROPS, FUSE_HANDLE_KILLPRIV_V2, FUSE_POSIX_ACL, FUSE_DONT_MASK,
        FUSE_CACHE_SYMLINKS, FUSE_ATOMIC_O_TRUNC, FUSE_DO_READDIRPLUS, FUSE_READDIRPLUS_AUTO, FUSE_ASYNC_READ}) {
    EXPECT_TRUE((out.flags & flag) != 0) << flag;
  }
  EXPECT_EQ(out.flags & FUSE_EXPORT_SUPPORT, 0U);
  EXPECT_EQ(out.max_write, 1U << 20);
  EXPECT_EQ(out.max_pages, 256U);
  EXPECT_TRUE(context_.initialised);
  EXPECT_TRUE(context_.features.handle_killpriv_v2);
}

TEST_F(OperationsTest, AnAbsentNameIsAnEntryWithoutInode) {
  const Answer answer = lookup(FUSE_ROOT_ID, "nothing");
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(answer.as<fuse_entry_out>().nodeid, 0U);
}

TEST_F(OperationsTest, FilesAreMadeWrittenReadAndListed) {
  const File file = make_file("hello", "plain text");
  EXPECT_EQ(kernel_.ask(FUSE_FLUSH, file.node, with(&fuse_flush_in::fh, file.handle)).error, 0);
  const Answer got = read(file.node, file.handle, 4096);
  EXPECT_EQ(base::as_text(got.payload), "plain text");
  EXPECT_EQ(attributes(file.node).size, 10U);
  EXPECT_EQ(release(file.node, file.handle), 0);
  EXPECT_EQ(lookup(FUSE_ROOT_ID, "hello").as<fuse_entry_out>().nodeid, file.node);
  EXPECT_EQ(kernel_.ask_names(FUSE_UNLINK, FUSE_ROOT_ID, zero_terminated("hello")).error, 0);
  EXPECT_EQ(lookup(FUSE_ROOT_ID, "hello").as<fuse_entry_out>().nodeid, 0U);
}

TEST_F(OperationsTest, WriteLongerThanItsRequestIsRefused) {
  const File file = make_file("file", "");
  fuse_write_in in{};
  in.fh = file.handle;
  in.size = 100;  // but nothing follows
  EXPECT_EQ(kernel_.ask(FUSE_WRITE, file.node, in).error, -EIO);
  release(file.node, file.handle);
}

TEST_F(OperationsTest, TheUmaskOfTheCallerCounts) {
  const auto folder = mkdir(FUSE_ROOT_ID, "folder", 0777, 027).as<fuse_entry_out>();
  EXPECT_EQ(folder.attr.mode, static_cast<std::uint32_t>(S_IFDIR | 0750));
  const Answer file = create(FUSE_ROOT_ID, "file", O_RDWR, 0666, 077);
  EXPECT_EQ(file.as<fuse_entry_out>().attr.mode, static_cast<std::uint32_t>(S_IFREG | 0600));
  release(file.as<fuse_entry_out>().nodeid, file.as<fuse_open_out>(sizeof(fuse_entry_out)).fh);
}

TEST_F(OperationsTest, WhatIsCreatedBelongsToTheCaller) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_TRUE(keep_capabilities_for_callers());  // or 12345 could not enter the vault folder, which is mkdtemp(3)'s
  kernel_.as_caller(12345, 23456);
  const auto folder = mkdir(FUSE_ROOT_ID, "hers").as<fuse_entry_out>();
  EXPECT_EQ(folder.attr.uid, 12345U);
  EXPECT_EQ(folder.attr.gid, 23456U);
  const Answer link = kernel_.ask_names(FUSE_SYMLINK, FUSE_ROOT_ID, zero_terminated("link") + zero_terminated("hers"));
  EXPECT_EQ(link.as<fuse_entry_out>().attr.uid, 12345U);
  // The vault folder's owner is asked by the next verb as the daemon again.
  EXPECT_EQ(kernel_.ask(FUSE_GETATTR, FUSE_ROOT_ID, fuse_getattr_in{}).error, 0);
  kernel_.as_caller(0, 0);
  EXPECT_EQ(mkdir(FUSE_ROOT_ID, "ours").as<fuse_entry_out>().attr.uid, 0U);
}

TEST_F(OperationsTest, LinksAndRenames) {
  const File file = make_file("a", "x");
  release(file.node, file.handle);
  const Answer hard = kernel_.ask(FUSE_LINK, FUSE_ROOT_ID, fuse_link_in{.oldnodeid = file.node}, zero_terminated("b"));
  EXPECT_EQ(hard.as<fuse_entry_out>().attr.nlink, 2U);
  const std::string names = zero_terminated("a") + zero_terminated("b");
  const fuse_rename2_in keep{.newdir = FUSE_ROOT_ID, .flags = RENAME_NOREPLACE, .padding = 0};
  EXPECT_EQ(kernel_.ask(FUSE_RENAME2, FUSE_ROOT_ID, keep, names).error, -EEXIST);
  const std::string soft = zero_terminated("s") + zero_terminated("to/nowhere");
  const Answer link = kernel_.ask_names(FUSE_SYMLINK, FUSE_ROOT_ID, soft);
  ASSERT_EQ(link.error, 0);
  EXPECT_EQ(base::as_text(kernel_.ask_names(FUSE_READLINK, link.as<fuse_entry_out>().nodeid, "").payload),
            "to/nowhere");
  EXPECT_EQ(kernel_.ask_names(FUSE_RMDIR, FUSE_ROOT_ID, zero_terminated("s")).error, -ENOTDIR);
}

TEST_F(OperationsTest, AttributesAreSet) {
  const File file = make_file("file", "0123456789");
  fuse_setattr_in in{};
  in.valid = FATTR_SIZE | FATTR_MODE | FATTR_MTIME | FATTR_CTIME;
  in.size = 4;
  in.mode = S_IFREG | 0600;
  in.mtime = 1000000000;
  in.mtimensec = 5;
  const auto attr = kernel_.ask(FUSE_SETATTR, file.node, in).as<fuse_attr_out>().attr;
  EXPECT_EQ(attr.size, 4U);
  EXPECT_EQ(attr.mode, static_cast<std::uint32_t>(S_IFREG | 0600));
  EXPECT_EQ(attr.mtime, 1000000000U);
  EXPECT_EQ(attr.mtimensec, 5U);
  release(file.node, file.handle);
}

TEST_F(OperationsTest, WritersCanTakeSuidAway) {
  const File file = make_file("tool", "x");
  fuse_setattr_in in{};
  in.valid = FATTR_MODE;
  in.mode = S_IFREG | 06755;
  kernel_.ask(FUSE_SETATTR, file.node, in);
  EXPECT_EQ(attributes(file.node).mode & 07777, 06755U);
  fuse_write_in harmless{};
  harmless.fh = file.handle;
  harmless.size = 1;
  kernel_.ask(FUSE_WRITE, file.node, harmless, "y");
  EXPECT_EQ(attributes(file.node).mode & 07777, 06755U);
  harmless.write_flags = FUSE_WRITE_KILL_SUIDGID;
  kernel_.ask(FUSE_WRITE, file.node, harmless, "z");
  EXPECT_EQ(attributes(file.node).mode & 07777, 0755U);
  release(file.node, file.handle);
}

TEST_F(OperationsTest, ExtendedAttributes) {
  const File file = make_file("file", "");
  release(file.node, file.handle);
  const auto set = [&](std::string_view name, std::string_view value, std::uint32_t flags) {
    fuse_setxattr_in in{};
    in.size = static_cast<std::uint32_t>(value.size());
    in.flags = flags;
    return kernel_.ask(FUSE_SETXATTR, file.node, in, zero_terminated(name) + std::string(value)).error;
  };
  const auto get = [&](std::string_view name, std::uint32_t size) {
    return kernel_.ask(FUSE_GETXATTR, file.node, with(&fuse_getxattr_in::size, size), zero_terminated(name));
  };
  EXPECT_EQ(set("user.colour", "red", 0), 0);
  EXPECT_EQ(set("user.colour", "blue", XATTR_CREATE), -EEXIST);
  EXPECT_EQ(get("user.colour", 0).as<fuse_getxattr_out>().size, 3U);
  EXPECT_EQ(base::as_text(get("user.colour", 10).payload), "red");
  EXPECT_EQ(get("user.colour", 2).error, -ERANGE);
  EXPECT_EQ(get("user.none", 10).error, -ENODATA);
  const Answer names = kernel_.ask(FUSE_LISTXATTR, file.node, with(&fuse_getxattr_in::size, 1000));
  EXPECT_NE(base::as_text(names.payload).find(zero_terminated("user.colour")), std::string_view::npos);
  EXPECT_EQ(kernel_.ask_names(FUSE_REMOVEXATTR, file.node, zero_terminated("user.colour")).error, 0);
  EXPECT_EQ(get("user.colour", 10).error, -ENODATA);
}

TEST_F(OperationsTest, AnAclFromOutsideTheGroupTakesSgid) {
  const File file = make_file("file", "");
  release(file.node, file.handle);
  fuse_setattr_in mode{};
  mode.valid = FATTR_MODE;
  mode.mode = S_IFREG | 02755;
  kernel_.ask(FUSE_SETATTR, file.node, mode);
  fuse_setxattr_in in{};
  in.size = 1;
  in.setxattr_flags = FUSE_SETXATTR_ACL_KILL_SGID;
  EXPECT_EQ(kernel_.ask(FUSE_SETXATTR, file.node, in, zero_terminated("user.like_an_acl") + "x").error, 0);
  EXPECT_EQ(attributes(file.node).mode & 07777, 0755U);
}

TEST_F(OperationsTest, ListingsContinueWhereTheyStopped) {
  std::map<std::string, int> expected{{".", 1}, {"..", 1}};
  for (int i = 0; i < 40; i++) {
    const std::string name = "entry-" + std::to_string(i);
    expected[name] = 1;
    mkdir(FUSE_ROOT_ID, name);
  }
  const std::uint64_t handle = open_root();
  std::map<std::string, int> seen;
  std::uint64_t offset = 0;
  while (true) {
    const Answer part = list(FUSE_READDIR, handle, 256, offset);
    ASSERT_EQ(part.error, 0);
    EXPECT_LE(part.payload.size(), 256U);
    if (part.payload.empty()) break;
    for (std::size_t at = 0; at < part.payload.size();) {
      const auto entry = part.as<fuse_dirent>(at);
      seen[std::string(base::as_text(part.payload).substr(at + FUSE_NAME_OFFSET, entry.namelen))]++;
      EXPECT_EQ(entry.type, static_cast<std::uint32_t>(DT_DIR));
      offset = entry.off;
      at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + entry.namelen);
    }
  }
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(kernel_.ask(FUSE_RELEASEDIR, FUSE_ROOT_ID, with(&fuse_release_in::fh, handle)).error, 0);
}

// Each entry with a node id is one lookup count: those that did not fit, and those of an answer that the kernel did not
// take, must not be counted. Seen by forgetting what was counted: then nothing but the root is known.
TEST_F(OperationsTest, ListingsWithAttributesCountExactly) {
  constexpr int kEntries = 12;
  std::map<std::uint64_t, std::uint64_t> counts;
  for (int i = 0; i < kEntries; i++) counts[mkdir(FUSE_ROOT_ID, "e" + std::to_string(i)).as<fuse_entry_out>().nodeid]++;
  const std::uint64_t handle = open_root();
  std::uint64_t offset = 0;
  for (bool first = true; true; first = false) {
    if (first) kernel_.refuse_next();
    const Answer part = list(FUSE_READDIRPLUS, handle, 700, offset);
    if (first) continue;
    ASSERT_EQ(part.error, 0);
    if (part.payload.empty()) break;
    for (std::size_t at = 0; at < part.payload.size();) {
      const auto entry = part.as<fuse_direntplus>(at);
      if (entry.entry_out.nodeid != 0) counts[entry.entry_out.nodeid]++;
      offset = entry.dirent.off;
      at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + entry.dirent.namelen);
    }
  }
  kernel_.ask(FUSE_RELEASEDIR, FUSE_ROOT_ID, with(&fuse_release_in::fh, handle));
  EXPECT_EQ(counts.size(), std::size_t{kEntries});
  const std::uint64_t known = vault_.fs().status().inodes_known;
  for (const auto& [node, count] : counts) {
    EXPECT_EQ(count, 2U);
    kernel_.ask(FUSE_FORGET, node, fuse_forget_in{.nlookup = count});
  }
  EXPECT_EQ(vault_.fs().status().inodes_known, known - kEntries);
}

TEST_F(OperationsTest, ForgetManyAtOnce) {
  const std::uint64_t before = vault_.fs().status().inodes_known;
  std::string forgets;
  for (const char* name : {"a", "b", "c"}) {
    const fuse_forget_one one{.nodeid = mkdir(FUSE_ROOT_ID, name).as<fuse_entry_out>().nodeid, .nlookup = 1};
    forgets.append(reinterpret_cast<const char*>(&one), sizeof one);
  }
  EXPECT_EQ(vault_.fs().status().inodes_known, before + 3);
  EXPECT_FALSE(kernel_.ask(FUSE_BATCH_FORGET, 0, fuse_batch_forget_in{.count = 3, .dummy = 0}, forgets).given);
  EXPECT_EQ(vault_.fs().status().inodes_known, before);
}

TEST_F(OperationsTest, WhatTheKernelDoesNotTakeIsTakenBack) {
  const auto before = vault_.fs().status();
  kernel_.refuse_next();
  create(FUSE_ROOT_ID, "file");
  EXPECT_EQ(vault_.fs().status().inodes_known, before.inodes_known);
  EXPECT_EQ(vault_.fs().status().files_open, 0U);
  kernel_.refuse_next();
  lookup(FUSE_ROOT_ID, "file");
  EXPECT_EQ(vault_.fs().status().inodes_known, before.inodes_known);
  const auto found = lookup(FUSE_ROOT_ID, "file").as<fuse_entry_out>();
  kernel_.refuse_next();
  kernel_.ask(FUSE_OPEN, found.nodeid, fuse_open_in{.flags = O_RDWR, .open_flags = 0});
  EXPECT_EQ(vault_.fs().status().files_open, 0U);
  EXPECT_TRUE(context_.may_sleep());  // no writer is counted
}

TEST_F(OperationsTest, PlacesInFiles) {
  const File file = make_file("file", std::string(100, 'x'));
  EXPECT_EQ(kernel_.ask(FUSE_FSYNC, file.node, with(&fuse_fsync_in::fh, file.handle)).error, 0);
  fuse_fallocate_in grow{};
  grow.fh = file.handle;
  grow.length = 8192;
  EXPECT_EQ(kernel_.ask(FUSE_FALLOCATE, file.node, grow).error, 0);
  EXPECT_EQ(attributes(file.node).size, 8192U);
  fuse_lseek_in seek{};
  seek.fh = file.handle;
  seek.whence = SEEK_DATA;
  EXPECT_EQ(kernel_.ask(FUSE_LSEEK, file.node, seek).as<fuse_lseek_out>().offset, 0U);
  seek.offset = 9000;
  EXPECT_EQ(kernel_.ask(FUSE_LSEEK, file.node, seek).error, -ENXIO);
  const File copy = make_file("copy", "");
  fuse_copy_file_range_in range{};
  range.fh_in = file.handle;
  range.nodeid_out = copy.node;
  range.fh_out = copy.handle;
  range.len = 100;
  EXPECT_EQ(kernel_.ask(FUSE_COPY_FILE_RANGE, file.node, range).as<fuse_write_out>().size, 100U);
  EXPECT_EQ(base::as_text(read(copy.node, copy.handle, 200).payload), std::string(100, 'x'));
  range.flags = 1;
  EXPECT_EQ(kernel_.ask(FUSE_COPY_FILE_RANGE, file.node, range).error, -EINVAL);
  release(file.node, file.handle);
  release(copy.node, copy.handle);
}

TEST_F(OperationsTest, RoomIsReported) {
  const auto room = kernel_.ask_names(FUSE_STATFS, FUSE_ROOT_ID, "").as<fuse_statfs_out>().st;
  EXPECT_GT(room.blocks, 0U);
  EXPECT_EQ(room.namelen, 255U);
}

TEST_F(OperationsTest, UnknownHandlesAreErrors) {
  EXPECT_EQ(read(FUSE_ROOT_ID, 999999, 10).error, -EBADF);
  EXPECT_EQ(write(FUSE_ROOT_ID, 999999, "x").error, -EBADF);
  EXPECT_NE(attributes(FUSE_ROOT_ID).mode, 0U);
}

TEST_F(OperationsTest, WhatIsNotServedIsRefused) {
  EXPECT_EQ(kernel_.ask(FUSE_ACCESS, FUSE_ROOT_ID, fuse_access_in{}).error, -ENOSYS);
  EXPECT_EQ(kernel_.ask(FUSE_IOCTL, FUSE_ROOT_ID, fuse_ioctl_in{}).error, -ENOSYS);
}

TEST(Operations, AKernelWithoutTheFeaturesGetsNoneOfThem) {
  test::TestVault vault;
  MountContext context(vault.fs());
  FakeKernel kernel(operations(), &context, device_io(), FUSE_ASYNC_READ | FUSE_BIG_WRITES);
  const auto out = kernel.init().as<fuse_init_out>();
  EXPECT_EQ(out.flags & (FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT | FUSE_POSIX_ACL), 0U);
  // Then SETXATTR has no extension to take out.
  const fuse_getxattr_in compat{.size = 1, .padding = 0};  // size, flags: the first half of fuse_setxattr_in
  EXPECT_EQ(kernel.ask(FUSE_SETXATTR, FUSE_ROOT_ID, compat, zero_terminated("user.a") + "x").error, 0);
}

}  // namespace
}  // namespace coffer::mount
