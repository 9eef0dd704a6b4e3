// UniqueFd owns a descriptor, FdRef borrows one. No function takes or returns a naked int for either.
#pragma once

#include <unistd.h>

#include <utility>

namespace coffer::base {

class UniqueFd {
 public:
  UniqueFd() noexcept = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  bool valid() const noexcept { return fd_ >= 0; }
  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }
  void reset() noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

// Must not outlive the UniqueFd it came from. AT_FDCWD is a legal value.
class FdRef {
 public:
  FdRef(const UniqueFd& fd) noexcept : fd_(fd.get()) {}  // NOLINT: implicit on purpose
  explicit FdRef(int fd) noexcept : fd_(fd) {}
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

}  // namespace coffer::base
