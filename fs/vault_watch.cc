#include "fs/vault_watch.h"

#include <fmt/format.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <system_error>

#include "base/log.h"
#include "base/shortage.h"
#include "fs/directory.h"

namespace coffer::fs {
namespace {

namespace sys = base::sys;

constexpr std::uint64_t kCameOrWent = FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO;
constexpr std::uint64_t kItselfWent = FAN_DELETE_SELF | FAN_MOVE_SELF;
constexpr std::uint64_t kWatched = kCameOrWent | kItselfWent | FAN_MODIFY | FAN_ATTRIB | FAN_ONDIR | FAN_EVENT_ON_CHILD;

// One event is at most some 300 bytes; what does not fit stays with the kernel for the next read.
constexpr std::size_t kBufferSize = std::size_t{64} << 10;
// So many foreign changes are told at once; more wait in the kernel's queue meanwhile.
constexpr std::size_t kChangesMax = 8192;
constexpr std::chrono::milliseconds kAgain{1000};

struct Event {
  std::uint64_t mask = 0;
  bool own = false;
  std::string_view handle;  // type and bytes, as sys::file_handle() gives them
  std::string_view name;
};

template <class T>
bool take(std::string_view& bytes, T& out) {
  if (bytes.size() < sizeof out) return false;
  std::memcpy(&out, bytes.data(), sizeof out);
  bytes.remove_prefix(sizeof out);
  return true;
}

// The directory and name in an event's information record (fanotify(7), fanotify_event_info_fid).
void parse_place(std::string_view info, Event& event) {
  fanotify_event_info_header header;
  __kernel_fsid_t filesystem;
  unsigned handle_bytes = 0;
  if (!take(info, header)) return;
  if (header.info_type != FAN_EVENT_INFO_TYPE_DFID_NAME && header.info_type != FAN_EVENT_INFO_TYPE_DFID) return;
  if (!take(info, filesystem) || !take(info, handle_bytes)) return;
  const std::size_t handle_size = sizeof(int) + handle_bytes;
  if (handle_size > info.size()) return;
  event.handle = info.substr(0, handle_size);
  info.remove_prefix(handle_size);
  event.name = header.info_type == FAN_EVENT_INFO_TYPE_DFID ? "." : info.substr(0, info.find('\0'));
}

// Takes one event off the front. False: there is none.
bool next_event(std::string_view& bytes, Event& event) {
  fanotify_event_metadata metadata;
  std::string_view rest = bytes;
  if (!take(rest, metadata) || metadata.event_len < sizeof metadata || metadata.event_len > bytes.size()) return false;
  event = {.mask = metadata.mask, .own = metadata.pid == ::getpid(), .handle = {}, .name = {}};
  if (!event.own) parse_place(rest.substr(0, metadata.event_len - sizeof metadata), event);
  bytes.remove_prefix(metadata.event_len);
  return true;
}

std::string in_words(Errno error) { return std::generic_category().message(error.code()); }

}  // namespace

bool is_told_of_changes(std::uint64_t filesystem_type) {
  // linux/magic.h and, where a file system keeps its number to itself, its own headers.
  static constexpr std::array kLocal = std::to_array<std::uint64_t>({
      0xEF53,      // ext2, ext3, ext4
      0x58465342,  // xfs
      0x9123683E,  // btrfs
      0xF2F52010,  // f2fs
      0x2FC12FC1,  // zfs
      0xCA451A4E,  // bcachefs
      0x3434,      // nilfs
      0x52654973,  // reiserfs
      0x3153464A,  // jfs
      0x01021994,  // tmpfs
      0x858458F6,  // ramfs
      0x4D44,      // vfat
      0x2011BAB0,  // exfat
      0x7366746E,  // ntfs3
      0x482B,      // hfsplus
      0x15013346,  // udf
      0x794C7630,  // overlayfs
  });
  return std::find(kLocal.begin(), kLocal.end(), filesystem_type) != kLocal.end();
}

// Changes by others, each entry once.
class VaultWatch::Collected {
 public:
  bool full() const { return result_.changes.size() >= kChangesMax; }
  void lost() { result_.lost = true; }
  void add(InodeRef directory, const Event& event) {
    auto [at, fresh] = index_.try_emplace({directory.get(), std::string(event.name)}, result_.changes.size());
    if (fresh) result_.changes.push_back({std::move(directory), std::string(event.name)});
    OutsideChange& change = result_.changes[at->second];
    change.came_or_went |= (event.mask & (event.name == "." ? kItselfWent : kCameOrWent)) != 0;
    change.content |= (event.mask & FAN_MODIFY) != 0;
    change.attributes |= (event.mask & FAN_ATTRIB) != 0;
  }
  OutsideChanges take() { return std::move(result_); }

 private:
  OutsideChanges result_;
  std::map<std::pair<const Inode*, std::string>, std::size_t> index_;
};

std::unique_ptr<VaultWatch> VaultWatch::start(FdRef vault, const Options& options, Report report, Reopen reopen,
                                              std::string& why_not) {
  auto type = sys::filesystem_type(vault);
  auto attributes = sys::statx(vault);
  if (!type || !attributes) {
    why_not = in_words(type ? attributes.error() : type.error());
    return nullptr;
  }
  if (!is_told_of_changes(*type)) {
    why_not = fmt::format("a file system of type {:#x} does not tell of every change", *type);
    return nullptr;
  }
  auto group = sys::fanotify_group();
  auto wake = sys::eventfd();
  auto handle = sys::file_handle(vault);
  Status marked = base::ok();
  if (group) marked = sys::fanotify_mark(*group, vault, kWatched);
  if (!group || !wake || !handle || !marked) {
    why_not = "fanotify: " + in_words(!group    ? group.error()
                                      : !wake   ? wake.error()
                                      : !handle ? handle.error()
                                                : marked.error());
    return nullptr;
  }
  return std::unique_ptr<VaultWatch>(new VaultWatch(*std::move(group), *std::move(wake), attributes->dev, options,
                                                    std::move(report), std::move(reopen)));
}

VaultWatch::VaultWatch(UniqueFd group, UniqueFd wake, dev_t device, const Options& options, Report report,
                       Reopen reopen)
    : group_(std::move(group)),
      wake_(std::move(wake)),
      device_(device),
      options_(options),
      report_(std::move(report)),
      reopen_(std::move(reopen)),
      thread_([this] { run(); }) {}

VaultWatch::~VaultWatch() { stop(); }

void VaultWatch::stop() {
  stopping_ = true;
  sys::eventfd_signal(wake_);
  if (thread_.joinable()) thread_.join();
}

bool VaultWatch::refuse(const Inode& directory, Errno error) {
  directory.directory->watch = Directory::Watch::kRefused;
  ++refused_;
  const bool limit = error == Errno(ENOSPC) || error == Errno(ENOMEM);
  if (limit && !limit_logged_.exchange(true)) {
    base::log(base::LogLevel::kWarning,
              "no more than {} directories can be watched for changes (see /proc/sys/fs/fanotify/max_user_marks); the "
              "others are looked up anew each second",
              count_.load());
  }
  return false;
}

bool VaultWatch::add(const InodeRef& directory, FdRef fd) {
  std::atomic<Directory::Watch>& state = directory->directory->watch;
  Directory::Watch known = state.load(std::memory_order_acquire);
  if (known != Directory::Watch::kNotYet) return known == Directory::Watch::kWatched;
  if (stopping_) return false;
  base::MutexLock lock(mutex_);
  known = state.load(std::memory_order_acquire);
  if (known != Directory::Watch::kNotYet) return known == Directory::Watch::kWatched;
  // Another file system mounted below the vault's: what it tells of was not looked at.
  if (directory->backing.dev != device_) return refuse(*directory, Errno(EXDEV));
  if (count_ >= options_.directories_max) return refuse(*directory, Errno(ENOSPC));
  auto handle = sys::file_handle(fd);
  if (!handle) return refuse(*directory, handle.error());
  Status marked = sys::fanotify_mark(group_, fd, kWatched);
  if (!marked) return refuse(*directory, marked.error());
  if (by_handle_.insert_or_assign(*handle, directory).second) ++count_;
  directory->directory->watch_handle = *std::move(handle);
  state.store(Directory::Watch::kWatched, std::memory_order_release);
  return true;
}

void VaultWatch::drop(std::string handle, Place place, const BackingId& id) {
  if (stopping_) return;  // the group goes as a whole
  // In a destructor. Without memory the mark stays, and tells of things that find() does not know.
  base::try_with_memory("no memory to stop watching a directory", [&] {
    base::MutexLock lock(mutex_);
    dropped_.push_back({std::move(handle), std::move(place), id});
    if (dropped_.size() == 1) sys::eventfd_signal(wake_);
  });
}

void VaultWatch::drop_soon(const InodeRef& inode) {
  base::MutexLock lock(mutex_);
  by_ourselves_.push_back(inode);
  if (by_ourselves_.size() == 1) sys::eventfd_signal(wake_);
}

InodeRef VaultWatch::find(const std::string& handle) {
  base::MutexLock lock(mutex_);
  auto found = by_handle_.find(handle);
  return found == by_handle_.end() ? nullptr : found->second.lock();
}

// Marks of directories that nobody asks about any more. One that was moved away or removed is not found again: its mark
// went with it, or tells of things that find() does not know.
void VaultWatch::unmark_dropped() {
  std::vector<Dropped> dropped;
  {
    base::MutexLock lock(mutex_);
    dropped.swap(dropped_);
  }
  for (const Dropped& gone : dropped) {
    auto fd = reopen_(gone.place, gone.id);
    base::MutexLock lock(mutex_);
    auto found = by_handle_.find(gone.handle);
    // Known again since: another Inode of it lives and counts on the mark.
    if (found == by_handle_.end() || !found->second.expired()) continue;
    by_handle_.erase(found);
    --count_;
    if (fd) static_cast<void>(sys::fanotify_unmark(group_, FdRef(**fd), kWatched));
  }
}

OutsideChanges VaultWatch::read_events() {
  Collected collected;
  thread_local base::Bytes buffer(kBufferSize);
  while (!collected.full()) {
    auto got = sys::read_some(group_, buffer);
    if (!got || *got == 0) break;
    std::string_view bytes = base::as_text(base::ByteView(buffer).first(*got));
    for (Event event; next_event(bytes, event);) {
      if ((event.mask & FAN_Q_OVERFLOW) != 0) collected.lost();
      if (event.own || event.handle.empty()) continue;
      if (InodeRef directory = find(std::string(event.handle))) collected.add(std::move(directory), event);
    }
  }
  return collected.take();
}

void VaultWatch::run() {
  bool again = false;
  bool lost = false;
  while (!stopping_) {
    auto ready = sys::wait_readable(group_, wake_, again ? std::optional(kAgain) : std::nullopt);
    if (ready.first && !stopping_) {
      // Nobody waits on the group meanwhile, so that our own events wake nobody.
      ready.second |= sys::wait_readable(wake_, wake_, options_.delay).first;
    }
    if (ready.second) sys::eventfd_clear(wake_);
    if (stopping_) return;
    const bool told = base::try_with_memory("no memory to see what others changed in the vault; trying again", [&] {
      OutsideChanges changes = ready.first ? read_events() : OutsideChanges{};
      changes.lost |= lost;
      {
        base::MutexLock lock(mutex_);
        changes.by_ourselves.swap(by_ourselves_);
      }
      const bool something = changes.lost || !changes.changes.empty() || !changes.by_ourselves.empty();
      if (again || something) again = report_(std::move(changes));
      unmark_dropped();
    });
    lost = !told;  // events that were read are gone
    again |= lost;
  }
}

}  // namespace coffer::fs
