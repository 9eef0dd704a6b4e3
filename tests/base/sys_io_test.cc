// base::sys: contents. Interruptions and short counts come from pipes and from a resource limit.
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <thread>

#include "base/sys.h"
#include "temp_dir.h"

namespace coffer::base {
namespace {

Bytes pattern(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<Byte>(i * 7 + i / 256);
  return bytes;
}

UniqueFd create(const TempDir& dir, const char* name) {
  auto fd = sys::openat(dir.fd(), name, O_CREAT | O_EXCL | O_RDWR, 0600);
  EXPECT_TRUE(fd);
  return *std::move(fd);
}

TEST(SysIo, WritesAllAndReadsAll) {
  TempDir dir;
  UniqueFd fd = create(dir, "file");
  for (std::size_t size : {0U, 1U, 16383U, 16384U, 16385U, 3'000'000U}) {
    Bytes bytes = pattern(size);
    ASSERT_TRUE(sys::pwrite_full(fd, bytes, 1000));
    Bytes seen(size);
    auto n = sys::pread_full(fd, seen, 1000);
    ASSERT_TRUE(n);
    EXPECT_EQ(*n, size);
    EXPECT_EQ(seen, bytes);
  }
}

TEST(SysIo, ReadIsShortOnlyAtTheEnd) {
  TempDir dir;
  UniqueFd fd = create(dir, "file");
  ASSERT_TRUE(sys::pwrite_full(fd, pattern(100), 0));
  Bytes seen(1000);
  EXPECT_EQ(*sys::pread_full(fd, seen, 0), 100U);
  EXPECT_EQ(*sys::pread_full(fd, seen, 60), 40U);
  EXPECT_EQ(*sys::pread_full(fd, seen, 100), 0U);
  EXPECT_EQ(*sys::pread_full(fd, seen, std::uint64_t{1} << 40), 0U);
}

TEST(SysIo, VectorsLongerThanTheKernelTakes) {
  TempDir dir;
  UniqueFd fd = create(dir, "file");
  Bytes bytes = pattern(5000);
  std::vector<iovec> parts;
  parts.push_back({bytes.data(), 0});  // empty ones too
  for (std::size_t i = 0; i < bytes.size(); i += 2) parts.push_back({bytes.data() + i, 2});
  parts.push_back({bytes.data(), 0});
  ASSERT_TRUE(sys::pwritev_full(fd, parts, 3));
  Bytes seen(5000);
  EXPECT_EQ(*sys::pread_full(fd, seen, 3), 5000U);
  EXPECT_EQ(seen, bytes);
  ASSERT_TRUE(sys::pwritev_full(fd, {}, 0));
}

// A file size limit makes the kernel write less than asked, then fail: a short write that a loop meets in real life.
TEST(SysIo, ShortWriteIsContinuedUntilItFails) {
  TempDir dir;
  UniqueFd fd = create(dir, "file");
  struct rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit limited = before;
  limited.rlim_cur = 10'000;
  auto handler = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limited), 0);
  Bytes bytes = pattern(20'000);
  Status flat = sys::pwrite_full(fd, bytes, 0);
  Status vector = sys::pwritev_full(fd, {{bytes.data(), 7'000}, {bytes.data() + 7'000, 13'000}}, 0);
  Status within = sys::pwrite_full(fd, ByteView(bytes).first(10'000), 0);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  ASSERT_FALSE(flat);
  EXPECT_EQ(flat.error(), Errno(EFBIG));
  ASSERT_FALSE(vector);
  EXPECT_EQ(vector.error(), Errno(EFBIG));
  EXPECT_TRUE(within);
  Bytes seen(20'000);
  EXPECT_EQ(*sys::pread_full(fd, seen, 0), 10'000U);
  EXPECT_TRUE(std::equal(seen.begin(), seen.begin() + 10'000, bytes.begin()));
}

// Opening a FIFO waits for the other end, and signals without SA_RESTART interrupt it: the call must be made again.
TEST(SysIo, InterruptedCallIsRepeated) {
  TempDir dir;
  ASSERT_EQ(::mkfifoat(dir.fd().get(), "fifo", 0600), 0);
  static std::atomic<int> interruptions{0};
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) { ++interruptions; };
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  std::atomic<bool> opened{false};
  std::atomic<bool> succeeded{false};
  std::thread reader([&] {
    succeeded = sys::openat(dir.fd(), "fifo", O_RDONLY).has_value();
    opened = true;
  });
  for (int i = 0; i < 200 && !opened && interruptions < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ::pthread_kill(reader.native_handle(), SIGUSR1);
  }
  EXPECT_FALSE(opened);
  auto writer = sys::openat(dir.fd(), "fifo", O_WRONLY);
  reader.join();
  EXPECT_TRUE(writer);
  EXPECT_TRUE(succeeded);
  EXPECT_GE(interruptions, 1);
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST(SysIo, ErrorsKeepTheirErrno) {
  TempDir dir;
  EXPECT_EQ(sys::openat(dir.fd(), "absent", O_RDONLY).error(), Errno(ENOENT));
  UniqueFd fd = create(dir, "file");
  auto read_only = sys::openat(dir.fd(), "file", O_RDONLY);
  ASSERT_TRUE(read_only);
  EXPECT_EQ(sys::pwrite_full(*read_only, pattern(1), 0).error(), Errno(EBADF));
  Bytes one(1);
  EXPECT_EQ(sys::pread_full(dir.fd(), one, 0).error(), Errno(EISDIR));
  EXPECT_EQ(sys::ftruncate(*read_only, 0).error(), Errno(EINVAL));
  EXPECT_EQ(sys::mkdirat(dir.fd(), "file", 0700).error(), Errno(EEXIST));
  EXPECT_EQ(sys::unlinkat(dir.fd(), "file", AT_REMOVEDIR).error(), Errno(ENOTDIR));
}

TEST(SysIo, ReadFileHasALimit) {
  TempDir dir;
  UniqueFd fd = create(dir, "file");
  ASSERT_TRUE(sys::pwrite_full(fd, pattern(100), 0));
  EXPECT_EQ(*sys::read_file(dir.fd(), "file", 100), pattern(100));
  EXPECT_EQ(sys::read_file(dir.fd(), "file", 99).error(), Errno(EFBIG));
  EXPECT_EQ(sys::read_file(dir.fd(), "absent", 99).error(), Errno(ENOENT));
  ASSERT_EQ(::mkfifoat(dir.fd().get(), "fifo", 0600), 0);  // must not wait for a writer
  EXPECT_EQ(sys::read_file(dir.fd(), "fifo", 99).error(), Errno(EINVAL));
  ASSERT_EQ(::symlinkat("file", dir.fd().get(), "link"), 0);
  EXPECT_EQ(sys::read_file(dir.fd(), "link", 100).error(), Errno(ELOOP));
}

TEST(SysIo, HolesAndTheirEnds) {
  TempDir dir;
  UniqueFd fd = create(dir, "file");
  ASSERT_TRUE(sys::ftruncate(fd, 1 << 20));
  EXPECT_EQ(sys::lseek(fd, 0, SEEK_DATA).error(), Errno(ENXIO));
  EXPECT_EQ(*sys::lseek(fd, 0, SEEK_HOLE), 0U);
  ASSERT_TRUE(sys::pwrite_full(fd, pattern(4096), 65536));
  EXPECT_EQ(*sys::lseek(fd, 0, SEEK_DATA), 65536U);
  EXPECT_EQ(*sys::lseek(fd, 65536, SEEK_HOLE), 65536U + 4096U);
  ASSERT_TRUE(sys::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 65536, 4096));
  EXPECT_EQ(sys::lseek(fd, 0, SEEK_DATA).error(), Errno(ENXIO));
  EXPECT_EQ(sys::lseek(fd, 1 << 20, SEEK_DATA).error(), Errno(ENXIO));
  ASSERT_TRUE(sys::fsync(fd));
  ASSERT_TRUE(sys::fdatasync(fd));
  ASSERT_TRUE(sys::syncfs(fd));
}

}  // namespace
}  // namespace coffer::base
