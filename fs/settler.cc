#include "fs/settler.h"

#include <algorithm>

namespace coffer::fs {
namespace {

using std::chrono::seconds;

// A file that stays open gets its chunks and header on disk this long after the first change.
constexpr auto kWriteOutAfter = seconds(2);
// Renames, links and attribute changes up to here still go into the header (design 3.6).
constexpr auto kSettleAfter = seconds(10);
// "The rest durable within 5 s" (design 4): two seconds to be written out, two to be waited for, one for the disk.
constexpr auto kSyncAfter = seconds(2);
constexpr auto kTick = seconds(1);

}  // namespace

Settler::Settler(InodeTable& inodes, Work work) : inodes_(inodes), work_(std::move(work)), thread_([this] { run(); }) {}

Settler::~Settler() { stop(); }

void Settler::stop() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

bool Settler::idle() const {
  return changed_.empty() && unsaved_.empty() && checks_.empty() && settling_.empty() && !disk_changed_since_;
}

// Only the first piece of work wakes the thread; from then on it looks once a second until nothing is left.
void Settler::wake() { wake_.notify_one(); }

void Settler::file_changed(const std::shared_ptr<FileState>& file) {
  base::MutexLock lock(mutex_);
  if (idle()) wake();
  changed_.push_back(file);
}

void Settler::content_written(const InodeRef& inode) {
  if (!inodes_.begin_settle(*inode)) return;
  base::MutexLock lock(mutex_);
  if (idle()) wake();
  settling_.push_back({Clock::now() + kSettleAfter, inode});
}

void Settler::disk_changed() {
  base::MutexLock lock(mutex_);
  if (disk_changed_since_) return;
  if (idle()) wake();
  disk_changed_since_ = Clock::now();
}

void Settler::check_later(std::function<void()> check) {
  base::MutexLock lock(mutex_);
  checks_.push_back(std::move(check));
  wake();
}

void Settler::keep_unsaved(const std::shared_ptr<FileState>& file) {
  base::MutexLock lock(mutex_);
  if (idle()) wake();
  unsaved_.push_back(file);
}

std::uint64_t Settler::waiting() const {
  base::MutexLock lock(mutex_);
  std::uint64_t open = 0;
  for (const auto& weak : changed_) {
    auto file = weak.lock();
    if (file && file->dirty()) ++open;
  }
  return open + unsaved_.size() + settling_.size();
}

// Files whose changes have waited long enough; closed and clean ones leave the list.
std::vector<std::shared_ptr<FileState>> Settler::take_due_files(Clock::time_point now) {
  std::vector<std::shared_ptr<FileState>> due;
  std::erase_if(changed_, [&](const std::weak_ptr<FileState>& weak) {
    auto file = weak.lock();
    if (!file) return true;
    auto since = file->dirty_since();
    if (!since) return true;
    if (now - *since >= kWriteOutAfter) due.push_back(std::move(file));
    return false;
  });
  for (const auto& file : unsaved_) due.push_back(file);
  return due;
}

void Settler::run() {
  base::MutexLock lock(mutex_);
  while (!stopping_) {
    if (idle()) {
      wake_.wait(mutex_);
      continue;
    }
    if (checks_.empty()) wake_.wait_for(mutex_, kTick);
    if (stopping_) return;
    const Clock::time_point now = Clock::now();
    std::vector<std::shared_ptr<FileState>> due = take_due_files(now);
    std::vector<InodeRef> settled;
    while (!settling_.empty() && settling_.front().when <= now) {
      settled.push_back(std::move(settling_.front().inode));
      settling_.pop_front();
    }
    std::deque<std::function<void()>> checks;
    checks.swap(checks_);
    const bool sync = disk_changed_since_ && now - *disk_changed_since_ >= kSyncAfter;
    if (sync) disk_changed_since_.reset();
    mutex_.unlock();
    for (const auto& file : due) work_.write_out(file);
    for (const InodeRef& inode : settled) {
      inodes_.end_settle(*inode);
      work_.settle(inode);
    }
    for (const auto& check : checks) check();
    if (sync) work_.sync_disk();
    due.clear();
    settled.clear();  // may be the last references: not under the mutex
    checks.clear();
    mutex_.lock();
    std::erase_if(unsaved_, [](const std::shared_ptr<FileState>& file) { return !file->dirty(); });
  }
}

std::vector<std::shared_ptr<FileState>> Settler::drain() {
  std::vector<std::shared_ptr<FileState>> files;
  std::deque<Settling> settling;
  {
    base::MutexLock lock(mutex_);
    for (const auto& weak : changed_) {
      if (auto file = weak.lock()) files.push_back(std::move(file));
    }
    files.insert(files.end(), unsaved_.begin(), unsaved_.end());
    settling.swap(settling_);
  }
  for (const auto& file : files) work_.write_out(file);
  for (const Settling& entry : settling) {
    inodes_.end_settle(*entry.inode);
    work_.settle(entry.inode);
  }
  std::erase_if(files, [](const std::shared_ptr<FileState>& file) { return !file->dirty(); });
  base::MutexLock lock(mutex_);
  std::erase_if(unsaved_, [](const std::shared_ptr<FileState>& file) { return !file->dirty(); });
  return files;
}

}  // namespace coffer::fs
