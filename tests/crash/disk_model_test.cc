// The model of a disk does what it says.
#include "tests/crash/disk_model.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace coffer::crash {
namespace {

using Kind = Operation::Kind;

Variant variant(const std::string& name) {
  const auto all = variants();
  return *std::find_if(all.begin(), all.end(), [&](const Variant& each) { return each.name == name; });
}

class DiskModel : public testing::Test {
 protected:
  void create(NodeId node, const std::string& name, Disk disk = Disk::kVault) {
    Operation operation{Kind::kCreate, disk, node};
    operation.dir = disk == Disk::kVault ? kVaultRoot : kStateRoot;
    operation.name = name;
    done_.push_back(operation);
  }
  void write(NodeId node, std::uint64_t offset, const std::string& bytes, Disk disk = Disk::kVault) {
    Operation operation{Kind::kWrite, disk, node};
    operation.offset = offset;
    operation.length = bytes.size();
    operation.bytes = bytes;
    done_.push_back(operation);
  }
  void rename(NodeId node, const std::string& from, const std::string& to, NodeId over = 0) {
    Operation operation{Kind::kRename, Disk::kVault, node, over, kVaultRoot, kVaultRoot};
    operation.name = from;
    operation.to_name = to;
    done_.push_back(operation);
  }
  void plain(Kind kind, NodeId node, Disk disk = Disk::kVault, std::uint64_t length = 0) {
    Operation operation{kind, disk, node};
    operation.length = length;
    done_.push_back(operation);
  }
  Image cut(const std::string& name, std::uint64_t seed = 1) const {
    return crash::cut(empty_image(), done_, done_.size(), variant(name), seed);
  }
  static std::vector<std::string> names(const Image& image, NodeId directory = kVaultRoot) {
    std::vector<std::string> result;
    for (const auto& [name, node] : image.at(directory).entries) result.push_back(name);
    return result;
  }

  std::vector<Operation> done_;
};

using Names = std::vector<std::string>;

TEST_F(DiskModel, KillingTheProcessLosesNothing) {
  create(3, "a");
  write(3, 0, "content");
  EXPECT_EQ(cut("kill").at(3).content, "content");
  EXPECT_EQ(names(cut("kill")), Names{"a"});
}

TEST_F(DiskModel, AKillInTheMiddleOfAWriteLeavesWholePages) {
  create(3, "a");
  write(3, 100, std::string(20000, 'x'));
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const std::size_t size = cut("kill-in-write", seed).at(3).content.size();
    EXPECT_EQ(size % 4096, 0U);
    EXPECT_LT(size, 20100U);
  }
}

TEST_F(DiskModel, WhatIsFlushedIsThereAndItsNameToo) {
  create(3, "a");
  write(3, 0, "content");
  plain(Kind::kFsync, 3);
  create(4, "b");
  write(4, 0, "lost");
  const Image image = cut("flushed-only");
  EXPECT_EQ(names(image), Names{"a"});
  EXPECT_EQ(image.at(3).content, "content");
}

TEST_F(DiskModel, NamesComeWithoutData) {
  create(3, "a");
  write(3, 0, "old");
  plain(Kind::kSyncfs, kVaultRoot);
  create(4, "new");
  write(4, 0, "content");
  rename(4, "new", "a", 3);
  EXPECT_EQ(names(cut("no-data")), Names{"a"});
  EXPECT_EQ(cut("no-data").at(4).content, "");
  EXPECT_EQ(cut("no-data-but-sizes").at(4).content, std::string(7, '\0'));
  EXPECT_EQ(cut("flushed-only").at(3).content, "old");
}

TEST_F(DiskModel, FdatasyncDoesNotWaitForARename) {
  create(3, "a");
  write(3, 0, "content");
  plain(Kind::kSyncfs, kVaultRoot);
  rename(3, "a", "b");
  plain(Kind::kFdatasync, 3);
  EXPECT_EQ(names(cut("flushed-only")), Names{"a"});
  plain(Kind::kFsync, 3);
  EXPECT_EQ(names(cut("flushed-only")), Names{"b"});
}

TEST_F(DiskModel, MetadataComesInOrder) {
  for (NodeId node = 3; node < 12; ++node) create(node, "n" + std::to_string(node));
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Image image = cut("torn-512", seed);
    for (NodeId node = 4; node < 12; ++node) EXPECT_TRUE(image.count(node) == 0 || image.count(node - 1) == 1);
  }
}

TEST_F(DiskModel, UnflushedOverwritesAreTorn) {
  create(3, "a");
  write(3, 0, std::string(4096, 'o'));
  plain(Kind::kSyncfs, kVaultRoot);
  write(3, 0, std::string(4096, 'n'));
  bool torn = false;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const std::string content = cut("torn-512", seed).at(3).content;
    ASSERT_EQ(content.size(), 4096U);
    for (std::size_t at = 0; at < 4096; at += 512) {
      EXPECT_EQ(content.substr(at, 512), std::string(512, content[at]));
      torn = torn || content[at] != content[0];
    }
  }
  EXPECT_TRUE(torn);
  EXPECT_EQ(cut("flushed-only").at(3).content[0], 'o');
}

TEST_F(DiskModel, WhatIsWrittenBehindACutThatIsNotThereDoesNotShow) {
  create(3, "a");
  write(3, 0, std::string(8192, 'o'));
  plain(Kind::kSyncfs, kVaultRoot);
  plain(Kind::kTruncate, 3, Disk::kVault, 0);
  write(3, 0, std::string(8192, 'n'));
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const std::string content = cut("torn-4096", seed).at(3).content;
    const bool was_cut = content.empty() || content[0] != 'o';
    EXPECT_TRUE(was_cut || content == std::string(8192, 'o'));
  }
}

TEST_F(DiskModel, LocalStateMayLieOnAnotherDisk) {
  create(3, "journal", Disk::kState);
  write(3, 0, "entry", Disk::kState);
  create(4, "a");
  write(4, 0, "applied");
  Image image = cut("vault-ahead");
  EXPECT_EQ(names(image), Names{"a"});
  EXPECT_TRUE(names(image, kStateRoot).empty());
  image = cut("state-ahead");
  EXPECT_TRUE(names(image).empty());
  EXPECT_EQ(image.at(3).content, "entry");
}

}  // namespace
}  // namespace coffer::crash
