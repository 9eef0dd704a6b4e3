// hammer FOLDER [--seconds N] [--seed S] [--threads N] [--only TEST]...
//
// Runs the tests below in FOLDER, a new subfolder each, sharing the seconds out. The seed is printed; the same seed
// does the same operations again (what interleaves how is the scheduler's). The first mismatch ends it with exit code
// 1, saying what was expected and what was seen.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <utility>

#include "hammer.h"

namespace hammer {
namespace {

std::uint64_t the_seed = 0;
constexpr std::size_t kRemembered = 12;
thread_local std::deque<std::string> story;

}  // namespace

void remember(std::string line) {
  story.push_back(std::move(line));
  if (story.size() > kRemembered) story.pop_front();
}

void fail_line(const std::string& message) {
  static std::mutex once;
  once.lock();  // for good: the first failure is the one to read
  std::string text = fmt::format("hammer: {}\n  seed {}\n", message, the_seed);
  for (const std::string& line : story) text += "  before: " + line + "\n";
  std::fputs(text.c_str(), stderr);
  ::_exit(1);
}

void fail_errno(std::string_view what, const std::string& path) { fail("{} {}: {}", what, path, std::strerror(errno)); }

std::uint64_t below(Rng& rng, std::uint64_t limit) { return rng() % limit; }

void fill_random(Rng& rng, Data& data) {
  // One file in eight bytes of each kind: all zero (a hole's neighbour), one byte, random.
  auto kind = below(rng, 8);
  if (kind == 0) {
    std::fill(data.begin(), data.end(), std::uint8_t{0});
  } else if (kind == 1) {
    std::fill(data.begin(), data.end(), static_cast<std::uint8_t>(rng()));
  } else {
    for (std::size_t at = 0; at < data.size(); at += 8) {
      std::uint64_t word = rng();
      std::memcpy(data.data() + at, &word, std::min<std::size_t>(8, data.size() - at));
    }
  }
}

File::File(std::string path, int flags, unsigned mode) : path_(std::move(path)) {
  fd_ = ::open(path_.c_str(), flags | O_CLOEXEC, mode);
  if (fd_ < 0) fail_errno("open", path_);
}
File::~File() {
  if (fd_ >= 0) close();
}
File::File(File&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}
File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close();
    path_ = std::move(other.path_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void File::write_at(const void* data, std::size_t size, std::uint64_t offset) const {
  ssize_t n = ::pwrite(fd_, data, size, static_cast<off_t>(offset));
  if (n < 0) fail_errno(fmt::format("pwrite {} bytes at {} of", size, offset), path_);
  if (static_cast<std::size_t>(n) != size) fail("pwrite wrote {} of {} bytes at {} of {}", n, size, offset, path_);
}

Data File::read_at(std::size_t size, std::uint64_t offset) const {
  Data data(size);
  std::size_t done = 0;
  while (done < size) {
    ssize_t n = ::pread(fd_, data.data() + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0) fail_errno(fmt::format("pread {} bytes at {} of", size, offset), path_);
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  data.resize(done);
  return data;
}

void File::append(const void* data, std::size_t size) const {
  ssize_t n = ::write(fd_, data, size);
  if (n < 0) fail_errno("append to", path_);
  if (static_cast<std::size_t>(n) != size) fail("append wrote {} of {} bytes of {}", n, size, path_);
}

void File::truncate(std::uint64_t size) const {
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) fail_errno(fmt::format("ftruncate to {} of", size), path_);
}
void File::sync() const {
  if (::fsync(fd_) != 0) fail_errno("fsync", path_);
}
std::uint64_t File::size() const {
  struct stat attributes;
  if (::fstat(fd_, &attributes) != 0) fail_errno("fstat", path_);
  return static_cast<std::uint64_t>(attributes.st_size);
}
void File::close() {
  if (::close(std::exchange(fd_, -1)) != 0) fail_errno("close", path_);
}

void in_processes(const std::vector<std::function<void()>>& parts) {
  std::vector<pid_t> children;
  for (const auto& part : parts) {
    pid_t child = ::fork();
    if (child < 0) fail_errno("fork", "");
    if (child == 0) {
      part();
      ::_exit(0);
    }
    children.push_back(child);
  }
  bool failed = false;
  for (pid_t child : children) {
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    failed |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
  }
  if (failed) ::_exit(1);  // the child has said why
}

}  // namespace hammer

namespace {

struct NamedTest {
  const char* name;
  hammer::Test run;
  unsigned weight;  // share of the time
};
constexpr NamedTest kTests[] = {
    {"disjoint_ranges", hammer::disjoint_ranges, 1},
    {"overlapping_ranges", hammer::overlapping_ranges, 1},
    {"readers_during_writes", hammer::readers_during_writes, 1},
    {"rename_over_open", hammer::rename_over_open, 1},
    {"unlink_while_open", hammer::unlink_while_open, 1},
    {"shared_mappings", hammer::shared_mappings, 1},
    {"appenders", hammer::appenders, 1},
    {"truncating_open", hammer::truncating_open, 1},
    {"truncate_against_reads", hammer::truncate_against_reads, 1},
    {"random_model", hammer::random_model, 9},
};

int usage() {
  std::fprintf(stderr, "usage: hammer FOLDER [--seconds N] [--seed S] [--threads N] [--only TEST]...\ntests:");
  for (const NamedTest& test : kTests) std::fprintf(stderr, " %s", test.name);
  std::fprintf(stderr, "\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return usage();
  hammer::Options options;
  options.folder = argv[1];
  options.seed = std::random_device()();
  std::vector<std::string> only;
  for (int i = 2; i < argc; ++i) {
    std::string_view option = argv[i];
    if (i + 1 >= argc) return usage();
    const char* value = argv[++i];
    if (option == "--seconds") {
      options.seconds = std::strtod(value, nullptr);
    } else if (option == "--seed") {
      options.seed = std::strtoull(value, nullptr, 10);
    } else if (option == "--threads") {
      options.threads = static_cast<unsigned>(std::strtoul(value, nullptr, 10));
    } else if (option == "--only") {
      only.emplace_back(value);
    } else {
      return usage();
    }
  }
  auto chosen = [&](const NamedTest& test) {
    return only.empty() || std::find(only.begin(), only.end(), test.name) != only.end();
  };
  unsigned weights = 0;
  for (const NamedTest& test : kTests) weights += chosen(test) ? test.weight : 0;
  if (weights == 0) return usage();

  hammer::the_seed = options.seed;
  std::printf("seed %llu\n", static_cast<unsigned long long>(options.seed));
  for (const NamedTest& test : kTests) {
    if (!chosen(test)) continue;
    std::printf("%s\n", test.name);
    std::fflush(stdout);
    hammer::Options own = options;
    own.folder += std::string("/") + test.name;
    own.seconds = options.seconds * test.weight / weights;
    if (::mkdir(own.folder.c_str(), 0755) != 0) hammer::fail_errno("mkdir", own.folder);
    test.run(own);
  }
  std::printf("every result was as it must be\n");
  return 0;
}
