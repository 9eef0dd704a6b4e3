#include "mount/mount_context.h"

#include <sys/eventfd.h>

#include <new>

namespace coffer::mount {
namespace {
constexpr std::size_t kPage = 4096;
}

MountContext::MountContext(fs::Filesystem& served)
    : filesystem(served), writer_event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void MountContext::writer_opened() noexcept {
  if (writers_.fetch_add(1) != 0) return;
  // Either Upkeep sees this writer when it wants to sleep, or it is seen asleep here (both orders are total).
  if (upkeep_sleeps_.exchange(false)) ::eventfd_write(writer_event_.get(), 1);
}

void MountContext::writer_closed() noexcept { writers_.fetch_sub(1); }

bool MountContext::may_sleep() noexcept {
  upkeep_sleeps_ = true;
  if (writers_ == 0) return true;
  upkeep_sleeps_ = false;
  return false;
}

void MountContext::awake() noexcept {
  upkeep_sleeps_ = false;
  eventfd_t count = 0;
  ::eventfd_read(writer_event_.get(), &count);
}

base::ByteSpan ReplyBuffer::get(std::size_t size) {
  if (size > size_) {
    const std::size_t rounded = (size + kPage - 1) / kPage * kPage;
    memory_.reset(static_cast<base::Byte*>(std::aligned_alloc(kPage, rounded)));
    size_ = memory_ == nullptr ? 0 : rounded;
    if (memory_ == nullptr) throw std::bad_alloc();
  }
  return {memory_.get(), size};
}

ServingThread& this_thread() noexcept {
  thread_local ServingThread thread;
  return thread;
}

}  // namespace coffer::mount
