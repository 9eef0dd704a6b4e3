#include "mount/wire.h"

#include <gtest/gtest.h>
#include <linux/fuse.h>

#include <cstring>
#include <string>

namespace coffer::mount {
namespace {

using base::Bytes;
using base::ByteSpan;
using base::ByteView;

template <class Arguments>
Bytes request(std::uint32_t opcode, const Arguments& arguments, std::string_view rest = "") {
  fuse_in_header header{};
  header.opcode = opcode;
  header.unique = 42;
  header.len = static_cast<std::uint32_t>(sizeof header + sizeof arguments + rest.size());
  Bytes bytes(header.len);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, &arguments, sizeof arguments);
  std::memcpy(bytes.data() + sizeof header + sizeof arguments, rest.data(), rest.size());
  return bytes;
}

Bytes init_request(std::uint32_t flags) {
  fuse_init_in in{};
  in.major = 7;
  in.minor = 38;
  in.flags = flags;
  return request(FUSE_INIT, in);
}

TEST(Wire, InitOffersAreRead) {
  const auto all = parse_init_request(init_request(FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT));
  EXPECT_TRUE(all.parallel_dirops);
  EXPECT_TRUE(all.handle_killpriv_v2);
  EXPECT_TRUE(all.setxattr_ext);
  const auto none =
      parse_init_request(init_request(~(FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT)));
  EXPECT_FALSE(none.parallel_dirops);
  EXPECT_FALSE(none.handle_killpriv_v2);
  EXPECT_FALSE(none.setxattr_ext);
}

TEST(Wire, InitOfAnOldKernelIsShort) {
  Bytes bytes = init_request(FUSE_PARALLEL_DIROPS);
  bytes.resize(sizeof(fuse_in_header) + 16);
  EXPECT_TRUE(parse_init_request(bytes).parallel_dirops);
  bytes.resize(sizeof(fuse_in_header) + 15);
  EXPECT_FALSE(parse_init_request(bytes).parallel_dirops);
}

TEST(Wire, WishesAboutSuidAreRead) {
  fuse_setattr_in setattr{};
  EXPECT_FALSE(parse_request(request(FUSE_SETATTR, setattr)).kill_suidgid);
  setattr.valid = FATTR_SIZE | FATTR_KILL_SUIDGID;
  EXPECT_TRUE(parse_request(request(FUSE_SETATTR, setattr)).kill_suidgid);

  fuse_write_in write{};
  write.write_flags = FUSE_WRITE_CACHE | FUSE_WRITE_LOCKOWNER;
  EXPECT_FALSE(parse_request(request(FUSE_WRITE, write, "data")).kill_suidgid);
  write.write_flags = FUSE_WRITE_KILL_SUIDGID;
  EXPECT_TRUE(parse_request(request(FUSE_WRITE, write, "data")).kill_suidgid);

  fuse_open_in open{};
  EXPECT_FALSE(parse_request(request(FUSE_OPEN, open)).kill_suidgid);
  open.open_flags = FUSE_OPEN_KILL_SUIDGID;
  EXPECT_TRUE(parse_request(request(FUSE_OPEN, open)).kill_suidgid);

  fuse_create_in create{};
  EXPECT_FALSE(parse_request(request(FUSE_CREATE, create, std::string("name\0", 5))).kill_suidgid);
  create.open_flags = FUSE_OPEN_KILL_SUIDGID;
  EXPECT_TRUE(parse_request(request(FUSE_CREATE, create, std::string("name\0", 5))).kill_suidgid);
}

TEST(Wire, NotesNameTheRequestAndItsWeight) {
  fuse_read_in read{};
  read.size = 1 << 20;
  const auto notes = parse_request(request(FUSE_READ, read));
  EXPECT_EQ(notes.opcode, static_cast<std::uint32_t>(FUSE_READ));
  EXPECT_EQ(notes.unique, 42U);
  EXPECT_EQ(notes.length, std::size_t{1} << 20);
  EXPECT_EQ(parse_request(request(FUSE_WRITE, fuse_write_in{}, std::string(5000, 'x'))).length, 40U + 40U + 5000U);
}

TEST(Wire, SetxattrLosesItsExtension) {
  fuse_setxattr_in in{};
  in.size = 5;
  in.flags = 1;
  in.setxattr_flags = FUSE_SETXATTR_ACL_KILL_SGID;
  const std::string payload("user.a\0value", 12);
  Bytes bytes = request(FUSE_SETXATTR, in, payload);
  EXPECT_TRUE(parse_request(bytes).kill_sgid);
  const std::size_t length = shorten_setxattr(bytes);
  ASSERT_EQ(length, 40U + 8U + payload.size());
  EXPECT_EQ(base::load_le<std::uint32_t>(bytes.data()), length);
  EXPECT_EQ(base::load_le<std::uint32_t>(bytes.data() + 40), 5U);
  EXPECT_EQ(base::load_le<std::uint32_t>(bytes.data() + 44), 1U);
  EXPECT_EQ(base::as_text(ByteView(bytes).subspan(48, payload.size())), payload);
}

TEST(Wire, SetxattrTooShortStaysAsItIs) {
  for (std::size_t size = 0; size < 56; size++) {
    Bytes bytes(size, 0x7f);
    const Bytes before = bytes;
    EXPECT_EQ(shorten_setxattr(bytes), size);
    EXPECT_EQ(bytes, before);
  }
}

// Every prefix of every request, in a buffer of exactly that size so that a sanitizer sees a read beyond it.
TEST(Wire, TruncatedRequestsAreHarmless) {
  fuse_setattr_in setattr{};
  setattr.valid = FATTR_KILL_SUIDGID;
  fuse_write_in write{};
  write.write_flags = FUSE_WRITE_KILL_SUIDGID;
  for (const Bytes& whole :
       {request(FUSE_SETATTR, setattr), request(FUSE_WRITE, write), request(FUSE_READ, fuse_read_in{}),
        init_request(~0U), request(FUSE_SETXATTR, fuse_setxattr_in{}), request(FUSE_CREATE, fuse_create_in{}),
        request(FUSE_OPEN, fuse_open_in{})}) {
    for (std::size_t size = 0; size < whole.size(); size++) {
      const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      const auto notes = parse_request(part);
      EXPECT_FALSE(notes.kill_suidgid) << size;
      EXPECT_EQ(notes.opcode != 0, size >= sizeof(fuse_in_header)) << size;
      (void)parse_init_request(part);
    }
  }
}

TEST(Wire, FeaturesAreAddedToTheInitReply) {
  fuse_init_out out{};
  out.flags = FUSE_BIG_WRITES;
  Bytes bytes(sizeof out);
  std::memcpy(bytes.data(), &out, sizeof out);
  EXPECT_TRUE(add_features(bytes, {.parallel_dirops = true, .handle_killpriv_v2 = true, .setxattr_ext = false}));
  std::memcpy(&out, bytes.data(), sizeof out);
  EXPECT_EQ(out.flags, static_cast<std::uint32_t>(FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2));
  Bytes stub(15);
  EXPECT_FALSE(add_features(stub, {.parallel_dirops = true}));
  EXPECT_TRUE(base::all_zero(stub));
}

}  // namespace
}  // namespace coffer::mount
