// What others change in the vault folder: what we remember of it is forgotten, then the kernel is told to forget.
//
// Why no stale name or attribute stays in the kernel, however a change and a request cross:
//  - A directory is watched before anything in it is read for the kernel (open_dir, locate, watch_child). So what a
//    verb read is either newer than the change, or the change is reported after.
//  - A reply that was read before the change may reach the kernel after the report. Names: the kernel holds the
//    directory's lock (shared) from before it sends LOOKUP, READDIRPLUS, CREATE until it has taken in the reply, and
//    drop_entry takes it exclusively: it waits for them and then drops what they brought. Only a look-up that
//    revalidates a known name holds no lock; drop_entry unhashes that name, so its reply is of no use to anybody.
//  - Attributes: drop_inode raises the kernel's count of attribute versions, and replies to requests sent before are
//    ignored. For an inode that became known by a reply on its way, drop_entry of its name waited for that.
//    So in each report first all names are dropped, then inodes.
//  - Listings that the kernel keeps: as names, since READDIR holds the same lock; then drop_inode of the directory
//  drops
//    the pages, and what an open handle still adds to them is not taken for whole without its first page.
//  - What we remember ourselves (ids, odd entries) is forgotten before the kernel is told to ask again, and not set
//    again by who read the folder before that (Directory::generation).
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/log.h"
#include "fs/filesystem_impl.h"

namespace coffer::fs {

void Filesystem::Impl::start_watch(const InodeRef& root) {
  if (!options_.hooks.drop_inode || !options_.hooks.drop_entry) {
    not_watched_because_ = "nobody keeps anything";
    return;
  }
  watch_ = VaultWatch::start(
      options_.vault, {options_.watch_delay, options_.watched_directories_max},
      [this](const OutsideChanges& changes) { return changed_outside(changes); },
      [this](const Place& place, const BackingId& id) -> Result<SharedFd> {
        if (!place.parent) return Errno(ESTALE);
        COFFER_ASSIGN_OR_RETURN(SharedFd parent, directory_fd(place.parent));
        COFFER_ASSIGN_OR_RETURN(EntryName name, entry_of(place.parent, place, crypto::Kind::kFileOrDirectory));
        COFFER_ASSIGN_OR_RETURN(UniqueFd fd, backing_->open(FdRef(*parent), name.entry, O_PATH | O_DIRECTORY));
        COFFER_ASSIGN_OR_RETURN(sys::Stat stat, backing_->stat(fd));
        if (BackingId::of(stat) != id) return Errno(ESTALE);
        return std::make_shared<const UniqueFd>(std::move(fd));
      },
      not_watched_because_);
  if (!watch_) {
    base::log(base::LogLevel::kInfo, "changes made in the vault by others are looked for each second: {}",
              not_watched_because_);
    return;
  }
  inodes_.on_watched_gone([this](std::string handle, Place place, const BackingId& id) {
    watch_->drop(std::move(handle), std::move(place), id);
  });
  watch(root, FdRef(*root_fd_));
}

void Filesystem::Impl::watch(const InodeRef& directory, FdRef fd) {
  if (watch_) static_cast<void>(watch_->add(directory, fd));
}

void Filesystem::Impl::watch_child(const InodeRef& inode, const OpenedDir& dir, FoundEntry& found) {
  if (!watch_ || !inode->is_directory || inode->directory->watch != Directory::Watch::kNotYet) return;
  auto fd = backing_->open(dir.at(), found.name.entry, O_PATH | O_DIRECTORY);
  if (!fd) return;
  auto stat = backing_->stat(*fd);
  if (!stat || BackingId::of(*stat) != inode->backing || !watch_->add(inode, *fd)) return;
  if (auto now = backing_->stat(*fd)) found.stat = *now;
}

bool Filesystem::Impl::watch_itself(const InodeRef& directory) {
  if (!watch_ || directory->directory->watch != Directory::Watch::kNotYet) return false;
  auto fd = directory_fd(directory);
  return fd && watch_->add(directory, FdRef(**fd));
}

std::chrono::milliseconds Filesystem::Impl::name_trust(const Inode& directory) const {
  // Names of odd entries depend on their neighbours, which we may change ourselves.
  const bool watched =
      watch_ && directory.directory->watch.load(std::memory_order_acquire) == Directory::Watch::kWatched;
  return watched && !directory.directory->has_odd() ? kTrustWatched : kTrustUnwatched;
}

std::chrono::milliseconds Filesystem::Impl::absence_trust(InodeId directory) {
  // If all is to be dropped, absent names go with the name of their directory. The root has none.
  if (!watch_ || directory == kRootInode) return kTrustUnwatched;
  InodeRef inode = inodes_.get(directory);
  return inode && inode->is_directory ? name_trust(*inode) : kTrustUnwatched;
}

std::chrono::milliseconds Filesystem::Impl::attr_trust(const Inode& inode, const Inode& parent, const sys::Stat& stat) {
  if (!watch_) return kTrustUnwatched;
  // A file is watched through the directory that it is changed through: with several names, that may be any.
  if (!inode.is_directory && stat.nlink != 1) return kTrustUnwatched;
  // While it is written to, the kernel keeps size and times of a file itself, but not how many blocks it takes below.
  if (auto file = inode.is_directory ? nullptr : inodes_.file_of(inode); file && file->writers > 0) {
    return kTrustUnwatched;
  }
  const Inode& watched = inode.is_directory ? inode : parent;
  return watched.directory->watch.load(std::memory_order_acquire) == Directory::Watch::kWatched ? kTrustWatched
                                                                                                : kTrustUnwatched;
}

// Collects what a report comes to, then tells the kernel.
class Filesystem::Impl::Outside {
 public:
  explicit Outside(Impl& impl) : impl_(impl) {}

  void everything();
  void one(const OutsideChange& change);
  // What the changes of single entries left to be done for directories as a whole.
  void whole_directories();
  void replace_if_idle(const InodeRef& inode);
  void drop_inode(const InodeRef& inode) { inodes_.insert(inode->id.value); }
  void tell_kernel();

 private:
  void entry(const OpenedDir& dir, const OutsideChange& change);
  void file(const InodeRef& inode, bool content);
  void lose_writers(const OpenedDir& dir, const std::string& name, const sys::Stat* now);
  void reread(const InodeRef& directory);
  void forget_below(const std::vector<InodeRef>& all);
  bool is_changed(const std::shared_ptr<FileState>& open) const;
  void drop_entry(const InodeRef& parent, std::string name) { entries_.emplace_back(parent->id, std::move(name)); }
  void drop_places(const std::vector<Place>& places) {
    for (const Place& place : places) drop_entry(place.parent, place.name);
  }

  Impl& impl_;
  std::vector<std::pair<InodeId, std::string>> entries_;
  std::unordered_set<std::uint64_t> inodes_;
  std::unordered_set<InodeRef> reread_;  // entries other than simple ones came or went
  std::unordered_set<InodeRef> moved_;   // names below may be under other ids now
};

void Filesystem::Impl::Outside::tell_kernel() {
  for (const auto& [parent, name] : entries_) impl_.options_.hooks.drop_entry(parent, name);
  for (std::uint64_t inode : inodes_) impl_.options_.hooks.drop_inode(InodeId{inode});
}

// A file that somebody writes to keeps its inode until they are done: what they read and write goes on to go somewhere.
void Filesystem::Impl::Outside::replace_if_idle(const InodeRef& inode) {
  drop_inode(inode);
  auto file = impl_.inodes_.file_of(*inode);
  const bool in_use = file && (file->writers > 0 || (file->dirty() && !file->lost()));
  if (in_use) {
    auto& waiting = impl_.changed_in_use_;
    if (std::find(waiting.begin(), waiting.end(), inode) == waiting.end()) waiting.push_back(inode);
    return;
  }
  drop_places(impl_.inodes_.replace(*inode));
}

void Filesystem::Impl::Outside::file(const InodeRef& inode, bool content) {
  auto file = impl_.inodes_.file_of(*inode);
  if (content && file && !file->lost()) {
    file->lose();
    if (file->writers > 0 || file->dirty()) {
      impl_.events_.report(EventKind::kWriteError,
                           file->label() +
                               ": changed by somebody else while it was written to; what is not yet in it "
                               "is not written");
    }
  }
  replace_if_idle(inode);
}

// Handles that write to a file which does not lie at (dir, name) any more: nobody will see what they write.
void Filesystem::Impl::Outside::lose_writers(const OpenedDir& dir, const std::string& name, const sys::Stat* now) {
  for (const auto& handle : impl_.files_.all()) {
    if (!handle->may_write || handle->file->lost()) continue;
    Place place = impl_.inodes_.place_of(*handle->inode);
    if (place.parent != dir.inode || place.name != name) continue;
    if (now != nullptr && BackingId::of(*now) == handle->inode->backing) continue;
    auto below = impl_.backing_->stat(handle->file->fd());
    if (below && below->nlink > 0) continue;  // moved, and written to all the same
    handle->file->lose();
    impl_.events_.report(EventKind::kWriteError,
                         handle->file->label() + ": removed or replaced by somebody else while it was written to");
  }
}

void Filesystem::Impl::Outside::entry(const OpenedDir& dir, const OutsideChange& change) {
  ReadEntry read = impl_.names_.decode(dir.at(), *dir.ids, change.entry);
  if (read.what != EntryClass::kOurs) return;  // not shown
  const bool odd = read.decoded.decorated || read.decoded.under != dir.ids->front();
  if (change.came_or_went && (odd || dir.inode->directory->has_odd())) reread_.insert(dir.inode);
  if (change.came_or_went) drop_entry(dir.inode, read.decoded.name);
  auto stat = impl_.backing_->stat(dir.at(), change.entry);
  if (change.came_or_went) lose_writers(dir, read.decoded.name, stat ? &*stat : nullptr);
  if (!stat) return;
  InodeRef inode = impl_.inodes_.find(BackingId::of(*stat));
  if (!inode) return;
  if (inode->is_directory) {
    drop_inode(inode);
  } else if (change.content || change.attributes) {
    file(inode, change.content);
  }
}

void Filesystem::Impl::Outside::one(const OutsideChange& change) {
  if (change.entry == ".") {
    drop_inode(change.directory);
    if (!change.came_or_went) return;
    impl_.directory_fds_.erase(*change.directory);
    moved_.insert(change.directory);
    return;
  }
  if (change.came_or_went) drop_inode(change.directory);
  if (crypto::looks_like_pin(change.entry)) {
    moved_.insert(change.directory);
  } else if (is_temporary_name(change.entry)) {
    return;
  } else if (change.entry.ends_with(crypto::kSideFileSuffix)) {
    reread_.insert(change.directory);
  } else if (auto dir = impl_.open_dir(change.directory)) {
    entry(*dir, change);
  }
}

// What is shown under which name, before and after: all of these names may have another meaning now.
void Filesystem::Impl::Outside::reread(const InodeRef& directory) {
  auto drop_all = [&](const std::map<std::string, DecodedEntry>& odd) {
    for (const auto& [shown, decoded] : odd) {
      drop_entry(directory, shown);
      drop_entry(directory, decoded.name);
    }
  };
  drop_inode(directory);
  drop_all(directory->directory->odd());
  directory->directory->forget();
  if (impl_.open_dir(directory)) drop_all(directory->directory->odd());
}

// Below a directory whose ids may have changed nothing is certain.
void Filesystem::Impl::Outside::forget_below(const std::vector<InodeRef>& all) {
  std::unordered_map<InodeRef, bool> below;
  for (const InodeRef& directory : moved_) below[directory] = true;
  for (const InodeRef& inode : all) {
    std::vector<InodeRef> path;
    InodeRef at = inode;
    while (at && below.count(at) == 0) {
      path.push_back(at);
      at = impl_.inodes_.place_of(*at).parent;
    }
    const bool is_below = at && below[at];
    for (const InodeRef& step : path) below[step] = is_below;
    if (!below[inode]) continue;
    drop_places(impl_.inodes_.places_of(*inode));
    drop_inode(inode);
    if (inode->is_directory) {
      inode->directory->forget();
      impl_.directory_fds_.erase(*inode);
    }
  }
}

void Filesystem::Impl::Outside::whole_directories() {
  if (!moved_.empty()) forget_below(impl_.inodes_.all());
  for (const InodeRef& directory : reread_) reread(directory);
}

bool Filesystem::Impl::Outside::is_changed(const std::shared_ptr<FileState>& open) const {
  if (!open) return false;
  if (open->writers > 0 || open->dirty()) return !open->has_our_header();
  auto stat = impl_.backing_->stat(open->fd());
  return stat && !open->knows(*stat);
}

void Filesystem::Impl::Outside::everything() {
  for (const InodeRef& inode : impl_.inodes_.all()) {
    drop_places(impl_.inodes_.places_of(*inode));
    drop_inode(inode);
    if (inode->is_directory) {
      inode->directory->forget();
      impl_.directory_fds_.erase(*inode);
      continue;
    }
    file(inode, is_changed(impl_.inodes_.file_of(*inode)));
  }
}

bool Filesystem::Impl::changed_outside(const OutsideChanges& changes) {
  Outside outside(*this);
  if (changes.lost) {
    base::log(base::LogLevel::kWarning, "too many changes at once: all that the kernel had cached is dropped");
    outside.everything();
  }
  for (const OutsideChange& change : changes.changes) outside.one(change);
  outside.whole_directories();
  std::vector<InodeRef> waiting;
  waiting.swap(changed_in_use_);
  for (const InodeRef& inode : waiting) outside.replace_if_idle(inode);
  for (const InodeRef& inode : changes.by_ourselves) outside.drop_inode(inode);
  outside.tell_kernel();
  return !changed_in_use_.empty();
}

}  // namespace coffer::fs
