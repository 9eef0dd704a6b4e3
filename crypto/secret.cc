#include "crypto/secret.h"

#include <sodium.h>

#include <array>
#include <atomic>
#include <bit>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"
#include "crypto/random.h"

namespace coffer::crypto {
namespace {

using base::Byte;

constexpr std::size_t kSlotSize = 32;  // a key
constexpr std::size_t kSlotCount = 2048;
constexpr std::size_t kSlabSize = kSlotSize * kSlotCount;

std::atomic<bool> lock_failed{false};

Byte* allocate_pages(std::size_t size) {
  init();
  void* memory = sodium_malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  // sodium_malloc does not tell whether it could lock; locking twice is harmless.
  if (sodium_mlock(memory, size) != 0) lock_failed.store(true, std::memory_order_relaxed);
  sodium_memzero(memory, size);
  return static_cast<Byte*>(memory);
}

// Locked pages cut into slots of one key each. The books are kept outside, so that a free slot is all zeros.
class Slab {
 public:
  Slab() : memory_(allocate_pages(kSlabSize)) { free_.fill(~std::uint64_t{0}); }
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab() { sodium_free(memory_); }

  Byte* memory() const noexcept { return memory_; }
  bool full() const noexcept { return used_ == kSlotCount; }
  bool unused() const noexcept { return used_ == 0; }

  Byte* take() noexcept {
    std::size_t word = 0;
    while (free_[word] == 0) ++word;
    const auto bit = static_cast<std::size_t>(std::countr_zero(free_[word]));
    free_[word] &= free_[word] - 1;
    ++used_;
    return memory_ + (word * 64 + bit) * kSlotSize;
  }

  void give_back(Byte* slot) noexcept {
    const auto offset = static_cast<std::size_t>(slot - memory_);
    COFFER_CHECK(offset < kSlabSize && offset % kSlotSize == 0);
    const std::size_t number = offset / kSlotSize;
    const std::uint64_t mask = std::uint64_t{1} << number % 64;
    COFFER_CHECK((free_[number / 64] & mask) == 0);  // given back twice: two owners of one key
    sodium_memzero(slot, kSlotSize);
    free_[number / 64] |= mask;
    --used_;
  }

 private:
  Byte* memory_;
  std::size_t used_ = 0;
  std::array<std::uint64_t, kSlotCount / 64> free_;
};

class SlabPool {
 public:
  Byte* take() EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    if (open_.empty()) add_slab();
    Slab* slab = open_.back();
    Byte* slot = slab->take();
    if (slab->full()) open_.pop_back();
    return slot;
  }

  void give_back(Byte* slot) noexcept EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    const auto found = slabs_.lower_bound(slot);
    COFFER_CHECK(found != slabs_.end());
    Slab& slab = *found->second;
    if (slab.full()) open_.push_back(&slab);  // room was reserved in add_slab
    slab.give_back(slot);
    // One slab stays in any case, so that a lone key coming and going costs no system call.
    if (slab.unused() && open_.size() > 1) {
      std::erase(open_, &slab);
      slabs_.erase(found);
    }
  }

  void relock() EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    for (const auto& [address, slab] : slabs_) {
      if (sodium_mlock(slab->memory(), kSlabSize) != 0) lock_failed.store(true, std::memory_order_relaxed);
    }
  }

 private:
  void add_slab() REQUIRES(mutex_) {
    auto slab = std::make_unique<Slab>();
    open_.reserve(slabs_.size() + 1);
    Slab* added = slab.get();
    slabs_.emplace(added->memory(), std::move(slab));
    open_.push_back(added);
  }

  base::Mutex mutex_;
  // By address of the memory, highest first: lower_bound(slot) is then the slab that holds the slot.
  std::map<const Byte*, std::unique_ptr<Slab>, std::greater<>> slabs_ GUARDED_BY(mutex_);
  std::vector<Slab*> open_ GUARDED_BY(mutex_);  // slabs with a free slot
};

// Never destroyed: secrets may outlive every other static object.
SlabPool& slab_pool() {
  static SlabPool& pool = *new SlabPool;
  return pool;
}

}  // namespace

Byte* secret_allocate(std::size_t size) { return size <= kSlotSize ? slab_pool().take() : allocate_pages(size); }

void secret_free(Byte* memory, std::size_t size) noexcept {
  if (size <= kSlotSize) {
    slab_pool().give_back(memory);
  } else {
    sodium_free(memory);  // wipes
  }
}

void relock_secrets() noexcept { slab_pool().relock(); }

bool locked_memory_available() noexcept { return !lock_failed.load(std::memory_order_relaxed); }

SecretBuffer::SecretBuffer(std::size_t size) : data_(secret_allocate(size)), size_(size), capacity_(size) {}

SecretBuffer::SecretBuffer(SecretBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

SecretBuffer& SecretBuffer::operator=(SecretBuffer&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) secret_free(data_, capacity_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
  }
  return *this;
}

SecretBuffer::~SecretBuffer() {
  if (data_ != nullptr) secret_free(data_, capacity_);
}

void SecretBuffer::shrink(std::size_t size) noexcept {
  COFFER_CHECK(size <= size_);
  sodium_memzero(data_ + size, size_ - size);
  size_ = size;
}

}  // namespace coffer::crypto
