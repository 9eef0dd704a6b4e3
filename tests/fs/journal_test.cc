// What was appended reads back, and nothing that is torn, flipped or older is taken for it.
#include "fs/journal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <limits>

#include "crypto/file_header.h"
#include "tests/support/hooked_backing.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_vault.h"

namespace coffer::fs {
namespace {

class JournalTest : public testing::Test {
 protected:
  void open() {
    auto journal = Journal::open(backing_, state_);
    ASSERT_TRUE(journal);
    journal_ = *std::move(journal);
  }
  std::uint64_t append(std::string_view payload, bool live = false) {
    auto sequence = journal_->append(JournalKind::kWrite, file_, payload.size(), 7, base::as_bytes(payload), live);
    EXPECT_TRUE(sequence);
    return sequence ? *sequence : 0;
  }
  UniqueFd segment(int number) { return *base::sys::openat(FdRef(state_), journal_segment_name(number), O_RDWR); }
  // Payloads of all entries but the resets.
  std::vector<std::string> left() {
    std::vector<std::string> result;
    for (int number = 0; number < kJournalSegments; ++number) {
      UniqueFd fd = segment(number);
      auto entries = read_journal_segment(backing_, fd, number);
      EXPECT_TRUE(entries);
      for (const JournalEntry& entry : *entries) {
        if (entry.head.kind == JournalKind::kReset) continue;
        EXPECT_EQ(entry.head.file, file_);
        auto payload = read_journal_payload(backing_, fd, entry);
        EXPECT_TRUE(payload);
        result.emplace_back(base::as_text(*payload));
      }
    }
    return result;
  }
  using Payloads = std::vector<std::string>;

  test::TempDir folder_;
  UniqueFd state_ = folder_.open();
  Backing backing_;
  std::unique_ptr<Journal> journal_;
  const JournalFile file_{{{1, 2, 3}}, 42, -5};
};

TEST_F(JournalTest, WhatWasAppendedReadsBack) {
  open();
  EXPECT_TRUE(left().empty());
  append("one");
  append("");
  const std::uint64_t last = append("three");
  EXPECT_TRUE(journal_->flush(last));
  EXPECT_EQ(left(), (Payloads{"one", "", "three"}));
}

TEST_F(JournalTest, ANewOneBeginsEmpty) {
  open();
  append("one");
  journal_.reset();
  open();
  EXPECT_TRUE(left().empty());
}

TEST_F(JournalTest, EveryByteFlippedEndsItThere) {
  open();
  append("one");
  append("two");
  UniqueFd fd = segment(0);
  const std::uint64_t second = 2 * kJournalHeadSize + 3;
  for (std::uint64_t at = second; at < second + kJournalHeadSize + 3; ++at) {
    base::Byte byte = 0;
    ASSERT_TRUE(base::sys::pread_full(fd, {&byte, 1}, at));
    const base::Byte flipped = byte ^ 0x10;
    ASSERT_TRUE(base::sys::pwrite_full(fd, {&flipped, 1}, at));
    EXPECT_EQ(left(), Payloads{"one"}) << "byte " << at;
    ASSERT_TRUE(base::sys::pwrite_full(fd, {&byte, 1}, at));
  }
  EXPECT_EQ(left(), (Payloads{"one", "two"}));
}

TEST_F(JournalTest, ATornEndEndsItThere) {
  open();
  append("one");
  append("two");
  const std::uint64_t end = 3 * kJournalHeadSize + 6;
  for (std::uint64_t size = end - 1; size >= 2 * kJournalHeadSize + 3; --size) {
    ASSERT_TRUE(base::sys::ftruncate(segment(0), size));
    EXPECT_EQ(left(), Payloads{"one"}) << size << " bytes";
  }
}

TEST_F(JournalTest, WhatIsDoneIsForgottenAndWhatIsLiveIsKept) {
  open();
  const std::uint64_t one = append("one", true);
  EXPECT_EQ(journal_->ended_before(), one);
  journal_->retire(journal_->ended_before());
  EXPECT_EQ(left(), Payloads{"one"});
  append("two");  // into the other segment
  const std::uint64_t three = append("three", true);
  journal_->end(one);
  EXPECT_EQ(journal_->ended_before(), three);
  journal_->retire(journal_->ended_before());
  EXPECT_EQ(left(), (Payloads{"two", "three"}));
  journal_->end(three);
  journal_->retire(journal_->ended_before());
  EXPECT_TRUE(left().empty());
}

TEST_F(JournalTest, LeftoversOfAnOlderRunAreNotTakenForNewerEntries) {
  open();
  append("aaa");
  append("bbb");
  append("ccc");
  journal_->retire(journal_->ended_before());
  append("ddd");  // in the other segment, then in the first again, over "aaa"
  journal_->retire(journal_->ended_before());
  append("eee");
  EXPECT_EQ(left(), Payloads{"eee"});
}

// Entries behind no reset of their own run would be written, flushed, and never read.
TEST_F(JournalTest, ASegmentThatCannotBeBegunAnewGoesOnWhereItWas) {
  auto hooks = std::make_shared<test::BackingHooks>();
  test::HookedBacking backing(hooks);
  journal_ = *Journal::open(backing, state_);
  append("one");
  hooks->write = [](const std::string&, std::uint64_t offset) { return offset == 0 ? Status(Errno(EIO)) : base::ok(); };
  journal_->retire(journal_->ended_before());
  const std::uint64_t two = append("two");
  EXPECT_TRUE(journal_->flush(two));
  EXPECT_EQ(left(), (Payloads{"one", "two"}));
  hooks->write = {};
  journal_->retire(journal_->ended_before());
  append("three");
  EXPECT_EQ(left(), Payloads{"three"});
}

TEST_F(JournalTest, ItIsNewerThanWhatIsLeftAlsoWhenTheClockWentBack) {
  open();
  JournalHead head;
  head.kind = JournalKind::kReset;
  head.sequence = std::numeric_limits<std::uint64_t>::max() / 2;
  head.run = 7;
  ASSERT_TRUE(base::sys::pwrite_full(segment(1), encode_journal_head(head, {}), 0));
  open();
  EXPECT_GT(append("new"), head.sequence);
}

TEST_F(JournalTest, AtItsLimitItTakesNothingAndWhoWaitsGoesOnWhenThereIsRoom) {
  journal_ = *Journal::open(backing_, state_, {.crowded = 1000, .full = 2000});
  const std::string payload(500, 'x');
  append(payload);
  EXPECT_FALSE(journal_->is_crowded());
  append(payload);
  EXPECT_TRUE(journal_->is_crowded());
  append(payload);
  auto refused = journal_->append(JournalKind::kWrite, file_, 0, 0, base::as_bytes(payload));
  EXPECT_EQ(refused.error(), Errno(ENOSPC));
  int calls = 0;
  journal_->on_crowded([&] {
    ++calls;
    journal_->retire(journal_->ended_before());
  });
  journal_->wait_for_room();
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(journal_->is_crowded());
  append(payload);
  EXPECT_EQ(left(), Payloads{payload});
}

// Its disk is full: what it holds can be applied, which makes room.
TEST_F(JournalTest, AFullDiskMakesItCrowdedUntilSomethingIsRetired) {
  auto hooks = std::make_shared<test::BackingHooks>();
  test::HookedBacking backing(hooks);
  journal_ = *Journal::open(backing, state_);
  append("one");
  hooks->write = [](const std::string&, std::uint64_t) { return Status(Errno(ENOSPC)); };
  EXPECT_EQ(journal_->append(JournalKind::kWrite, file_, 0, 0, {}).error(), Errno(ENOSPC));
  EXPECT_TRUE(journal_->is_crowded());
  hooks->write = {};
  journal_->retire(journal_->ended_before());
  EXPECT_FALSE(journal_->is_crowded());
  append("two");
  EXPECT_EQ(left(), Payloads{"two"});
}

TEST_F(JournalTest, AfterAFailedFlushItTakesNothingMore) {
  auto hooks = std::make_shared<test::BackingHooks>();
  test::HookedBacking backing(hooks);
  auto journal = Journal::open(backing, state_);
  hooks->flush = [](const std::string&) { return Status(Errno(EIO)); };
  ASSERT_TRUE(journal);
  auto sequence = (*journal)->append(JournalKind::kWrite, file_, 0, 0, {});
  ASSERT_TRUE(sequence);
  EXPECT_EQ((*journal)->flush(*sequence).error(), Errno(EIO));
  EXPECT_EQ((*journal)->append(JournalKind::kWrite, file_, 0, 0, {}).error(), Errno(EIO));
}

// Where file systems allow 255 bytes, asking for more is an error of its own, and would keep the vault from mounting.
TEST(JournalReplay, AnEntryOfAnImpossibleNameIsPassedOver) {
  test::TestVault vault;
  vault.lock();
  Backing backing;
  const UniqueFd state(::open(vault.state_folder().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  {
    auto journal = Journal::open(backing, state);
    ASSERT_TRUE(journal);
    struct stat root {};
    ASSERT_EQ(::stat(vault.folder().c_str(), &root), 0);
    const std::string payload(crypto::kHeaderSize + 300, 'x');
    ASSERT_TRUE((*journal)->append(JournalKind::kNew, {{{1}}, 0, 0}, root.st_ino, 0, base::as_bytes(payload)));
  }
  vault.mount();
  EXPECT_TRUE(vault.write_file("f", "it works"));
}

}  // namespace
}  // namespace coffer::fs
