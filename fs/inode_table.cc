#include "fs/inode_table.h"

#include <algorithm>
#include <utility>

#include "fs/directory.h"
#include "fs/file_state.h"

namespace coffer::fs {
namespace {

Place copy(const Place& place) {
  return {place.parent, place.name, place.odd ? std::make_unique<OddEntry>(*place.odd) : nullptr};
}

bool is_at(const Place& place, const Inode& parent, std::string_view name) {
  return place.parent.get() == &parent && place.name == name;
}

}  // namespace

Inode::Inode(InodeTable& owner, InodeId number, const BackingId& below, crypto::Kind its_kind, bool is_dir)
    : table(owner), id(number), backing(below), kind(its_kind), is_directory(is_dir) {
  if (is_dir) directory = std::make_unique<Directory>();
}

Inode::~Inode() {
  table.erase(*this);
  if (!directory || directory->watch_handle.empty() || !table.watched_gone_) return;
  table.watched_gone_(std::move(directory->watch_handle), std::move(place), backing);
}

InodeTable::InodeTable() = default;

InodeTable::~InodeTable() {
  // Places hold parents, so inodes die from the leaves up, each calling erase(): not while the map itself is dying.
  std::unordered_map<std::uint64_t, InodeRef> last;
  {
    base::MutexLock lock(mutex_);
    last.swap(by_id_);
  }
}

InodeRef InodeTable::make_root(const BackingId& backing) {
  return ref(backing, crypto::Kind::kFileOrDirectory, true, Place{}, 1);
}

InodeRef InodeTable::ref(const BackingId& backing, crypto::Kind kind, bool is_directory, Place place,
                         std::uint64_t lookups) {
  Place dropped;   // its parent may die with it: after the mutex
  InodeRef inode;  // likewise
  base::MutexLock lock(mutex_);
  auto& known = by_backing_[backing];
  inode = known.lock();
  if (!inode) {
    inode = std::make_shared<Inode>(*this, InodeId{next_id_++}, backing, kind, is_directory);
    known = inode;
  }
  if (lookups > 0) {
    inode->lookups += lookups;
    by_id_.try_emplace(inode->id.value, inode);
  }
  if (place.parent && !is_at(inode->place, *place.parent, place.name)) {
    auto same = std::find_if(inode->other_places.begin(), inode->other_places.end(),
                             [&](const Place& other) { return is_at(other, *place.parent, place.name); });
    if (same != inode->other_places.end()) {
      dropped = std::move(*same);
      inode->other_places.erase(same);
    }
    // A directory has one name. A file may have several; the one just seen is the surest.
    if (inode->place.parent && !is_directory) {
      inode->other_places.push_back(std::move(inode->place));
    } else {
      dropped = std::move(inode->place);
    }
    inode->place = std::move(place);
    inode->removed = false;
  }
  return inode;
}

InodeRef InodeTable::get(InodeId id) {
  base::MutexLock lock(mutex_);
  auto found = by_id_.find(id.value);
  return found == by_id_.end() ? nullptr : found->second;
}

InodeRef InodeTable::find(const BackingId& backing) {
  base::MutexLock lock(mutex_);
  auto found = by_backing_.find(backing);
  return found == by_backing_.end() ? nullptr : found->second.lock();
}

void InodeTable::forget(InodeId id, std::uint64_t count) {
  InodeRef last;  // destroyed after the mutex is free: ~Inode takes it
  base::MutexLock lock(mutex_);
  auto found = by_id_.find(id.value);
  if (found == by_id_.end()) return;
  Inode& inode = *found->second;
  inode.lookups -= std::min(count, inode.lookups);
  if (inode.lookups == 0) {
    last = std::move(found->second);
    by_id_.erase(found);
  }
}

void InodeTable::erase(const Inode& inode) {
  base::MutexLock lock(mutex_);
  auto found = by_backing_.find(inode.backing);
  // A newer object of the same file may have taken the slot since the last reference went.
  if (found != by_backing_.end() && found->second.expired()) by_backing_.erase(found);
}

Place InodeTable::place_of(const Inode& inode) {
  base::MutexLock lock(mutex_);
  return copy(inode.place);
}

void InodeTable::add_place_locked(Inode& inode, Place place) {
  if (inode.place.parent) inode.other_places.push_back(std::move(inode.place));
  inode.place = std::move(place);
  inode.removed = false;
}

Place InodeTable::remove_place_locked(Inode& inode, const Inode& parent, std::string_view name) {
  Place dropped;
  auto same = std::find_if(inode.other_places.begin(), inode.other_places.end(),
                           [&](const Place& other) { return is_at(other, parent, name); });
  if (same != inode.other_places.end()) {
    dropped = std::move(*same);
    inode.other_places.erase(same);
  } else if (is_at(inode.place, parent, name)) {
    dropped = std::move(inode.place);
    inode.place = Place{};
    if (!inode.other_places.empty()) {
      inode.place = std::move(inode.other_places.back());
      inode.other_places.pop_back();
    }
  }
  return dropped;
}

bool InodeTable::remove_place(Inode& inode, const Inode& parent, std::string_view name) {
  Place dropped;  // its parent may die with it: after the mutex
  base::MutexLock lock(mutex_);
  dropped = remove_place_locked(inode, parent, name);
  return inode.place.parent == nullptr;
}

void InodeTable::move_place(Inode& inode, const Inode& old_parent, std::string_view old_name, Place place) {
  Place dropped;  // likewise
  base::MutexLock lock(mutex_);
  dropped = remove_place_locked(inode, old_parent, old_name);
  add_place_locked(inode, std::move(place));
}

void InodeTable::set_removed(Inode& inode, const Attr& attr) {
  base::MutexLock lock(mutex_);
  inode.removed = true;
  inode.last_attr = std::make_unique<Attr>(attr);
}

std::unique_ptr<Attr> InodeTable::removed_attr(const Inode& inode) {
  base::MutexLock lock(mutex_);
  return inode.removed && inode.last_attr ? std::make_unique<Attr>(*inode.last_attr) : nullptr;
}

std::shared_ptr<const UniqueFd> InodeTable::orphan_of(const Inode& inode) {
  base::MutexLock lock(mutex_);
  return inode.removed ? inode.orphan : nullptr;
}

void InodeTable::set_orphan(Inode& inode, std::shared_ptr<const UniqueFd> fd) {
  base::MutexLock lock(mutex_);
  inode.orphan = std::move(fd);
}

std::shared_ptr<FileState> InodeTable::file_of(const Inode& inode) {
  base::MutexLock lock(mutex_);
  return inode.file.lock();
}

std::shared_ptr<FileState> InodeTable::publish_file(Inode& inode, std::shared_ptr<FileState> file) {
  base::MutexLock lock(mutex_);
  if (auto present = inode.file.lock()) return present;
  inode.file = file;
  return file;
}

bool InodeTable::is_cached(const Inode& inode, const base::sys::Stat& stat) {
  base::MutexLock lock(mutex_);
  return inode.cached_ctime_ns != 0 && inode.cached_ctime_ns == base::sys::nanoseconds(stat.ctime) &&
         inode.cached_length == stat.size;
}

void InodeTable::set_cached(Inode& inode, const base::sys::Stat& stat) {
  base::MutexLock lock(mutex_);
  inode.cached_ctime_ns = base::sys::nanoseconds(stat.ctime);
  inode.cached_length = stat.size;
}

bool InodeTable::is_settled(const Inode& inode, const base::sys::Stat& stat) {
  base::MutexLock lock(mutex_);
  return inode.settled_ctime_ns != 0 && inode.settled_ctime_ns == base::sys::nanoseconds(stat.ctime);
}

void InodeTable::set_settled(Inode& inode, const base::sys::Stat& stat) {
  base::MutexLock lock(mutex_);
  inode.settled_ctime_ns = base::sys::nanoseconds(stat.ctime);
}

std::unique_ptr<SpecialNode> InodeTable::special_of(const Inode& inode) {
  base::MutexLock lock(mutex_);
  return inode.special ? std::make_unique<SpecialNode>(*inode.special) : nullptr;
}

void InodeTable::set_special(Inode& inode, const SpecialNode& special) {
  base::MutexLock lock(mutex_);
  inode.special = std::make_unique<SpecialNode>(special);
}

bool InodeTable::begin_settle(Inode& inode) {
  base::MutexLock lock(mutex_);
  return !std::exchange(inode.settle_pending, true);
}

void InodeTable::end_settle(Inode& inode) {
  base::MutexLock lock(mutex_);
  inode.settle_pending = false;
}

std::vector<Place> InodeTable::replace(Inode& inode) {
  base::MutexLock lock(mutex_);
  // While it is not replaced and lives, it is the one that by_backing_ knows.
  if (!std::exchange(inode.replaced, true)) by_backing_.erase(inode.backing);
  return places_locked(inode);
}

bool InodeTable::is_replaced(const Inode& inode) {
  base::MutexLock lock(mutex_);
  return inode.replaced;
}

std::vector<Place> InodeTable::places_locked(const Inode& inode) const {
  std::vector<Place> places;
  if (inode.place.parent) places.push_back(copy(inode.place));
  for (const Place& place : inode.other_places) places.push_back(copy(place));
  return places;
}

std::vector<Place> InodeTable::places_of(const Inode& inode) {
  base::MutexLock lock(mutex_);
  return places_locked(inode);
}

std::vector<InodeRef> InodeTable::all() {
  std::vector<InodeRef> result;
  base::MutexLock lock(mutex_);
  result.reserve(by_id_.size());
  for (const auto& [id, inode] : by_id_) result.push_back(inode);
  return result;
}

std::uint64_t InodeTable::size() const {
  base::MutexLock lock(mutex_);
  return by_id_.size();
}

}  // namespace coffer::fs
