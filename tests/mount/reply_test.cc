// Reply against libfuse itself: a session on a socketpair, the test in the role of the kernel.
#include "mount/reply.h"

#include <gtest/gtest.h>

#include "tests/mount/fake_kernel.h"

namespace coffer::mount {
namespace {

using test::Answer;
using test::FakeKernel;

// What the next GETATTR does.
std::function<void(fuse_req_t)> next;  // NOLINT: libfuse's operations have no other place

fuse_lowlevel_ops getattr_only() {
  fuse_lowlevel_ops ops{};
  ops.getattr = [](fuse_req_t request, fuse_ino_t, fuse_file_info*) { next(request); };
  return ops;
}

class ReplyTest : public ::testing::Test {
 protected:
  Answer ask(std::function<void(fuse_req_t)> body) {
    next = std::move(body);
    return kernel_.ask(FUSE_GETATTR, 1, fuse_getattr_in{});
  }
  FakeKernel kernel_{getattr_only(), nullptr};
};

TEST_F(ReplyTest, AnswersOnce) {
  const Answer answer = ask([](fuse_req_t request) {
    Reply reply(request);
    EXPECT_FALSE(reply.answered());
    reply.error(base::Errno(EXDEV));
    EXPECT_TRUE(reply.answered());
  });
  EXPECT_EQ(answer.error, -EXDEV);
  EXPECT_TRUE(kernel_.nothing_more());
}

TEST_F(ReplyTest, ForgottenOnesAreEio) {
  const Answer answer = ask([](fuse_req_t request) { const Reply reply(request); });
  EXPECT_EQ(answer.error, -EIO);
  EXPECT_TRUE(kernel_.nothing_more());
}

TEST_F(ReplyTest, MovesTheDuty) {
  const Answer answer = ask([](fuse_req_t request) {
    Reply first(request);
    Reply second(std::move(first));
    EXPECT_TRUE(first.answered());  // NOLINT: that is the point
    second.written(17);
  });
  EXPECT_EQ(answer.error, 0);
  EXPECT_EQ(answer.as<fuse_write_out>().size, 17U);
  EXPECT_TRUE(kernel_.nothing_more());
}

TEST_F(ReplyTest, TwiceIsABug) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(ask([](fuse_req_t request) {
                 Reply reply(request);
                 reply.ok();
                 reply.ok();
               }),
               "request_ != nullptr");
}

TEST_F(ReplyTest, DataAndSizes) {
  const base::Bytes data(100000, 0x5a);
  const Answer answer = ask([&](fuse_req_t request) { Reply(request).data(data); });
  EXPECT_EQ(answer.payload, data);
  EXPECT_EQ(ask([](fuse_req_t request) { Reply(request).xattr_size(12); }).as<fuse_getxattr_out>().size, 12U);
  EXPECT_EQ(ask([](fuse_req_t request) { Reply(request).offset(1ULL << 41); }).as<fuse_lseek_out>().offset, 1ULL << 41);
  EXPECT_EQ(base::as_text(ask([](fuse_req_t request) { Reply(request).link_target("a/b"); }).payload), "a/b");
}

TEST_F(ReplyTest, SaysWhetherTheKernelTookIt) {
  bool taken = false;
  ask([&](fuse_req_t request) { taken = Reply(request).opened(fuse_file_info{}); });
  EXPECT_TRUE(taken);
  kernel_.refuse_next();
  ask([&](fuse_req_t request) { taken = Reply(request).opened(fuse_file_info{}); });
  EXPECT_FALSE(taken);
}

}  // namespace
}  // namespace coffer::mount
