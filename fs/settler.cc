#include "fs/settler.h"

#include <malloc.h>

#include <algorithm>

#include "base/shortage.h"

namespace coffer::fs {
namespace {

using std::chrono::seconds;

// A file that stays open gets its chunks and header on disk this long after the first change.
constexpr auto kWriteOutAfter = seconds(2);
// Renames, links and attribute changes up to here still go into the header (design 3.6).
constexpr auto kSettleAfter = seconds(10);
// Durable within about 5 s of the write: two seconds in an open file, up to two ticks, one to be waited for here.
constexpr auto kSyncAfter = seconds(1);
// What the journal holds too: not sooner, so that the disk need not write both at once.
constexpr auto kRetireAfter = seconds(10);
constexpr auto kTick = seconds(1);
// Memory that is free goes back to the system when the thread has nothing to do, and this often while it has.
constexpr auto kTrimEvery = seconds(30);
// Files kept that nobody has open: a descriptor and some chunks of memory each. Stored together, for one flush of the
// journal serves them all.
constexpr std::size_t kKeptMax = 64;

}  // namespace

Settler::Settler(InodeTable& inodes, Work work, bool by_hand) : inodes_(inodes), work_(std::move(work)) {
  if (by_hand) return;
  thread_ = std::thread([this] { run(); });
  check_thread_ = std::thread([this] { run_checks(); });
}

Settler::~Settler() { stop(); }

void Settler::stop() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
    check_wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  if (check_thread_.joinable()) check_thread_.join();
}

bool Settler::idle() const {
  return changed_.empty() && unsaved_.empty() && settling_.empty() && !disk_changed_since_ && !applied_since_;
}

// Only the first piece of work wakes the thread; from then on it looks once a second until nothing is left.
void Settler::wake() { wake_.notify_one(); }

void Settler::file_changed(const InodeRef& inode, const std::shared_ptr<FileState>& file) {
  if (file->awaited.exchange(true)) return;  // in the list, and not yet looked at since
  base::MutexLock lock(mutex_);
  if (idle()) wake();
  changed_.push_back({inode, file});
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

void Settler::journal_applied() {
  base::MutexLock lock(mutex_);
  if (applied_since_) return;
  if (idle()) wake();
  applied_since_ = Clock::now();
}

void Settler::check_later(std::function<void()> check) {
  base::MutexLock lock(mutex_);
  checks_.push_back(std::move(check));
  check_wake_.notify_one();
}

void Settler::keep_unsaved(const InodeRef& inode, const std::shared_ptr<FileState>& file) {
  base::MutexLock lock(mutex_);
  if (std::any_of(unsaved_.begin(), unsaved_.end(), [&](const Unsaved& kept) { return kept.file == file; })) return;
  if (idle()) wake();
  unsaved_.push_back({inode, file});
}

bool Settler::keeps_many() const {
  base::MutexLock lock(mutex_);
  return unsaved_.size() >= kKeptMax;
}

void Settler::hurry() {
  base::MutexLock lock(mutex_);
  hurrying_ = true;
  wake_.notify_one();
}

std::uint64_t Settler::waiting() const {
  base::MutexLock lock(mutex_);
  return changed_.size() + unsaved_.size() + settling_.size();
}

// Files whose changes have waited long enough, and those that nobody else holds; clean ones leave the list. Files are
// asked without the mutex: one that is being written answers late.
std::vector<Settler::Unsaved> Settler::due_files(Clock::time_point now, bool hurrying) {
  std::vector<Changed> changed;
  std::vector<Unsaved> due;
  {
    base::MutexLock lock(mutex_);
    changed = changed_;
    due = unsaved_;
  }
  std::vector<Changed> waiting;
  for (const Changed& entry : changed) {
    auto file = entry.file.lock();
    auto inode = entry.inode.lock();
    if (!file || !inode) continue;
    // First this, then the look: who changes the file after the look, tells us again.
    file->awaited.exchange(false);
    auto since = file->dirty_since();
    if (!since) continue;
    if (!file->awaited.exchange(true)) waiting.push_back(entry);  // looked at again, in case this time fails
    // In a hurry, what the journal holds: a file that it does not need yet could need it after this.
    const bool wanted = now - *since >= kWriteOutAfter || (hurrying && file->pending());
    if (wanted) due.push_back({std::move(inode), std::move(file)});
  }
  base::MutexLock lock(mutex_);
  waiting.insert(waiting.end(), changed_.begin() + static_cast<std::ptrdiff_t>(changed.size()), changed_.end());
  changed_.swap(waiting);
  return due;
}

// Headers that were to settle up to then. A file written meanwhile is put on the list once more.
void Settler::settle_until(Clock::time_point time) {
  std::vector<InodeRef> due;
  {
    base::MutexLock lock(mutex_);
    for (const Settling& entry : settling_) {
      if (entry.when > time) break;
      due.push_back(entry.inode);
    }
  }
  for (const InodeRef& inode : due) {
    inodes_.end_settle(*inode);
    work_.settle(inode);
    if (keeps_many()) store_kept();
  }
  store_kept();
  base::MutexLock lock(mutex_);
  settling_.erase(settling_.begin(), settling_.begin() + static_cast<std::ptrdiff_t>(due.size()));
}

void Settler::store_kept() {
  std::vector<Unsaved> kept;
  {
    base::MutexLock lock(mutex_);
    kept = unsaved_;
  }
  if (kept.empty()) return;
  work_.store(kept);
  strike_saved();
}

void Settler::store_unsaved() {
  base::MutexLock turn(turn_);
  if (keeps_many()) store_kept();  // else somebody else has just done it
}

void Settler::strike_saved() {
  std::vector<Unsaved> seen;  // also keeps them alive until the mutex is free again
  {
    base::MutexLock lock(mutex_);
    seen = unsaved_;
  }
  std::vector<Unsaved> left;
  for (const Unsaved& entry : seen) {
    if (entry.file->dirty()) left.push_back(entry);
  }
  base::MutexLock lock(mutex_);
  left.insert(left.end(), unsaved_.begin() + static_cast<std::ptrdiff_t>(seen.size()), unsaved_.end());
  unsaved_.swap(left);
}

void Settler::run() {
  Clock::time_point trimmed = Clock::now();
  for (;;) {
    bool resting;
    {
      base::MutexLock lock(mutex_);
      resting = idle();
    }
    // What thousands of open files took stays with the allocator's arenas otherwise, as large as it ever was.
    if (resting || Clock::now() - trimmed >= kTrimEvery) {
      ::malloc_trim(0);
      trimmed = Clock::now();
    }
    {
      base::MutexLock lock(mutex_);
      while (!stopping_ && idle()) wake_.wait(mutex_);
      if (!stopping_ && !hurrying_) wake_.wait_for(mutex_, kTick);
      if (stopping_) return;
    }
    base::try_with_memory("no memory to write out what is held back; trying again", [this] { round(Clock::now()); });
  }
}

void Settler::round(Clock::time_point now) {
  base::MutexLock turn(turn_);
  bool hurrying;
  {
    base::MutexLock lock(mutex_);
    hurrying = std::exchange(hurrying_, false);
  }
  const std::vector<Unsaved> due = due_files(now, hurrying);
  if (!due.empty()) work_.store(due);
  settle_until(now);
  bool sync;
  {
    base::MutexLock lock(mutex_);
    // In a hurry in any case: somebody waits to hear whether there is room now.
    sync = hurrying || (disk_changed_since_ && now - *disk_changed_since_ >= kSyncAfter) ||
           (applied_since_ && now - *applied_since_ >= kRetireAfter);
    if (sync) {
      disk_changed_since_.reset();
      applied_since_.reset();
    }
  }
  if (sync && !work_.sync_disk()) disk_changed();
  strike_saved();
}

void Settler::run_checks() {
  for (;;) {
    std::function<void()> check;
    {
      base::MutexLock lock(mutex_);
      while (!stopping_ && checks_.empty()) check_wake_.wait(mutex_);
      if (stopping_) return;
      check = std::move(checks_.front());
      checks_.pop_front();
    }
    base::try_with_memory("no memory to check the content of a large file now", check);
  }
}

std::vector<std::shared_ptr<FileState>> Settler::drain() {
  base::MutexLock turn(turn_);
  std::vector<Changed> changed;
  std::vector<Unsaved> files;
  {
    base::MutexLock lock(mutex_);
    changed = changed_;
    files = unsaved_;
  }
  for (const Changed& entry : changed) {  // without the mutex: the last hold on a file may end here
    auto file = entry.file.lock();
    auto inode = entry.inode.lock();
    if (file && inode) files.push_back({std::move(inode), std::move(file)});
  }
  if (!files.empty()) work_.store(files);
  settle_until(Clock::time_point::max());  // after that: what was just written has a header to settle, too
  strike_saved();
  {
    base::MutexLock lock(mutex_);
    files.insert(files.end(), unsaved_.begin(), unsaved_.end());  // of those that just settled
  }
  std::vector<std::shared_ptr<FileState>> unsaved;
  for (const Unsaved& entry : files) {
    if (entry.file->dirty()) unsaved.push_back(entry.file);
  }
  return unsaved;
}

}  // namespace coffer::fs
