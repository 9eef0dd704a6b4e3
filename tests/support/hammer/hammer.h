// hammer: many hands on one mounted folder, each result compared with what must be there. See main.cc for how to call
// it.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace hammer {

using Rng = std::mt19937_64;
using Data = std::vector<std::uint8_t>;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string folder;
  double seconds = 10;
  std::uint64_t seed = 0;
  unsigned threads = 8;
};

// Prints the message, with the seed and what led there, and ends the process (all threads of it) with exit code 1.
[[noreturn]] void fail_line(const std::string& message);
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  fail_line(fmt::format(format, std::forward<Args>(args)...));
}
// As fail(), with the text of errno.
[[noreturn]] void fail_errno(std::string_view what, const std::string& path);

// Told by the running thread, so that a failure can say what it had just done (the last ones are kept).
void remember(std::string line);

// Below `limit` (> 0).
std::uint64_t below(Rng& rng, std::uint64_t limit);
void fill_random(Rng& rng, Data& data);

class File {
 public:
  File(std::string path, int flags, unsigned mode = 0644);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int fd() const { return fd_; }
  const std::string& path() const { return path_; }
  // All of it, or the process fails.
  void write_at(const void* data, std::size_t size, std::uint64_t offset) const;
  // Up to the end of the file.
  Data read_at(std::size_t size, std::uint64_t offset) const;
  void append(const void* data, std::size_t size) const;  // one write(2), whole
  void truncate(std::uint64_t size) const;
  void sync() const;
  std::uint64_t size() const;
  void close();  // fails where close(2) does

 private:
  std::string path_;
  int fd_;
};

// Runs each in a process of its own; fails if one of them does.
void in_processes(const std::vector<std::function<void()>>& parts);

// Memory that forked processes share, zero at first.
template <class T>
T* shared_memory();

class Deadline {
 public:
  explicit Deadline(double seconds)
      : end_(Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds))) {}
  bool passed() const { return Clock::now() >= end_; }

 private:
  Clock::time_point end_;
};

// The tests. Each works in its own subfolder and leaves its files there, so that they can be compared after a remount.
using Test = void (*)(const Options&);
void disjoint_ranges(const Options& options);
void overlapping_ranges(const Options& options);
void readers_during_writes(const Options& options);
void rename_over_open(const Options& options);
void unlink_while_open(const Options& options);
void shared_mappings(const Options& options);
void appenders(const Options& options);
void truncating_open(const Options& options);
void truncate_against_reads(const Options& options);
void random_model(const Options& options);

}  // namespace hammer
