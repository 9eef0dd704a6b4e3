// Memory for secrets: locked (never swapped), left out of core dumps, wiped when given back.
//
// sodium_malloc spends three or four pages on each allocation, too much for the keys of every open file, so small
// secrets share locked slabs. Thread-safe. Running into RLIMIT_MEMLOCK is not an error: the memory is then used
// unlocked, and locked_memory_available() says so once for the log.
#pragma once

#include <cstddef>

#include "base/bytes.h"

namespace coffer::crypto {

// Gives `size` zeroed bytes; throws std::bad_alloc. secret_free wipes.
base::Byte* secret_allocate(std::size_t size);
void secret_free(base::Byte* memory, std::size_t size) noexcept;
bool locked_memory_available() noexcept;
// After a fork: the child's memory is not locked any more (mlock(2)); this locks the keys in it again.
void relock_secrets() noexcept;

// N secret bytes. Move-only; no comparison and no printing, so that neither happens by accident.
template <std::size_t N>
class SecretBytes {
 public:
  SecretBytes() : data_(secret_allocate(N)) {}
  SecretBytes(SecretBytes&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    if (this != &other) {
      if (data_ != nullptr) secret_free(data_, N);
      data_ = other.data_;
      other.data_ = nullptr;
    }
    return *this;
  }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes() {
    if (data_ != nullptr) secret_free(data_, N);
  }

  static constexpr std::size_t size() noexcept { return N; }
  const base::Byte* data() const noexcept { return data_; }
  base::Byte* data() noexcept { return data_; }
  std::span<const base::Byte, N> view() const noexcept { return std::span<const base::Byte, N>(data_, N); }
  std::span<base::Byte, N> span() noexcept { return std::span<base::Byte, N>(data_, N); }

 private:
  base::Byte* data_;
};

// A secret whose length is known only at run time (a password, a keyfile). Move-only.
class SecretBuffer {
 public:
  explicit SecretBuffer(std::size_t size);
  SecretBuffer(SecretBuffer&& other) noexcept;
  SecretBuffer& operator=(SecretBuffer&& other) noexcept;
  SecretBuffer(const SecretBuffer&) = delete;
  SecretBuffer& operator=(const SecretBuffer&) = delete;
  ~SecretBuffer();

  base::ByteView view() const noexcept { return {data_, size_}; }
  base::ByteSpan span() noexcept { return {data_, size_}; }
  std::size_t size() const noexcept { return size_; }
  // Keeps the first `size` bytes and wipes the rest. REQUIRES: size <= size().
  void shrink(std::size_t size) noexcept;

 private:
  base::Byte* data_;
  std::size_t size_;
  std::size_t capacity_;
};

using VaultKey = SecretBytes<32>;

}  // namespace coffer::crypto
