// Memory for a moment's work: not zeroed, and mostly the same memory again.
//
// A fresh megabyte costs as much as encrypting it (page faults, zeroing). So each thread keeps one buffer and lends it
// to the Scratch that asks first; further ones at the same time come from the heap. Not for secrets that must be wiped.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "base/bytes.h"

namespace coffer::base {

class Scratch {
 public:
  Scratch() = default;
  explicit Scratch(std::size_t size) : size_(size) {
    Buffer& spare = spare_buffer();
    if (spare.size >= size) {
      buffer_ = std::exchange(spare, {});
    } else {
      buffer_ = {std::make_unique_for_overwrite<Byte[]>(size), size};
    }
  }
  ~Scratch() { give_back(); }
  Scratch(Scratch&& other) noexcept : buffer_(std::exchange(other.buffer_, {})), size_(std::exchange(other.size_, 0)) {}
  Scratch& operator=(Scratch&& other) noexcept {
    give_back();
    buffer_ = std::exchange(other.buffer_, {});
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  std::size_t size() const noexcept { return size_; }
  ByteSpan span() noexcept { return {buffer_.data.get(), size_}; }
  ByteView view() const noexcept { return {buffer_.data.get(), size_}; }

 private:
  // Kept per thread at most: a little more than the records of the largest request.
  static constexpr std::size_t kKeptMax = std::size_t{5} << 18;

  struct Buffer {
    std::unique_ptr<Byte[]> data;
    std::size_t size = 0;
  };
  static Buffer& spare_buffer() {
    thread_local Buffer spare;
    return spare;
  }
  void give_back() noexcept {
    Buffer& spare = spare_buffer();
    if (buffer_.size > spare.size && buffer_.size <= kKeptMax) spare = std::move(buffer_);
    buffer_ = {};
  }

  Buffer buffer_;
  std::size_t size_ = 0;
};

}  // namespace coffer::base
