#include "fs/directory.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

namespace coffer::fs {

DirectoryIds Directory::ids() const {
  base::MutexLock lock(mutex_);
  return ids_;
}

std::vector<PinFile> Directory::pins() const {
  base::MutexLock lock(mutex_);
  return pins_;
}

void Directory::set_ids_once(std::vector<crypto::DirId> ids, std::vector<PinFile> pins) {
  base::MutexLock lock(mutex_);
  if (ids_) return;
  ids_ = std::make_shared<const std::vector<crypto::DirId>>(std::move(ids));
  pins_ = std::move(pins);
}

void Directory::set_ids(std::vector<crypto::DirId> ids, std::vector<PinFile> pins) {
  base::MutexLock lock(mutex_);
  ids_ = std::make_shared<const std::vector<crypto::DirId>>(std::move(ids));
  pins_ = std::move(pins);
}

std::optional<DecodedEntry> Directory::find_odd(const std::string& shown) const {
  base::MutexLock lock(mutex_);
  auto found = odd_.find(shown);
  if (found == odd_.end()) return std::nullopt;
  return found->second;
}

std::map<std::string, DecodedEntry> Directory::odd() const {
  base::MutexLock lock(mutex_);
  return odd_;
}

std::uint64_t Directory::generation() const {
  base::MutexLock lock(mutex_);
  return generation_;
}

void Directory::keep_odd(std::map<std::string, DecodedEntry> odd) {
  has_odd_ = !odd.empty();
  odd_ = std::move(odd);
}

void Directory::set_read(std::uint64_t generation, std::vector<crypto::DirId> ids, std::vector<PinFile> pins,
                         std::map<std::string, DecodedEntry> odd) {
  base::MutexLock lock(mutex_);
  if (generation != generation_) return;
  keep_odd(std::move(odd));
  if (ids_) return;
  ids_ = std::make_shared<const std::vector<crypto::DirId>>(std::move(ids));
  pins_ = std::move(pins);
}

void Directory::set_odd(std::uint64_t generation, std::map<std::string, DecodedEntry> odd) {
  base::MutexLock lock(mutex_);
  if (generation == generation_) keep_odd(std::move(odd));
}

void Directory::forget() {
  base::MutexLock lock(mutex_);
  ++generation_;
  ids_.reset();
  pins_.clear();
  keep_odd({});
}

std::vector<crypto::DirId> directory_ids(const crypto::DirId& derived, const std::vector<PinFile>& pins) {
  std::vector<const crypto::Pin*> fitting;
  for (const PinFile& file : pins) {
    if (file.pin.from == derived || file.pin.to == derived) fitting.push_back(&file.pin);
  }
  std::sort(fitting.begin(), fitting.end(), [](const crypto::Pin* a, const crypto::Pin* b) {
    return std::tie(a->time_ns, a->id) > std::tie(b->time_ns, b->id);
  });
  std::vector<crypto::DirId> ids;
  auto add = [&](const crypto::DirId& id) {
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  };
  for (const crypto::Pin* pin : fitting) add(pin->id);
  add(derived);
  return ids;
}

namespace {

// The order in which undecorated entries of one name claim it: FORMAT.md 5.4.
auto claim(const ShownEntry& entry, const std::vector<crypto::DirId>& ids) {
  auto id = std::find(ids.begin(), ids.end(), entry.decoded.under) - ids.begin();
  return std::tuple(entry.decoded.kind, id, entry.decoded.other_case, std::string_view(entry.decoded.entry));
}

std::string label_of(const DecodedEntry& entry) {
  if (entry.decorated || entry.other_case) return entry.decoration;
  switch (entry.kind) {
    case crypto::Kind::kSymlink:
      return "symlink";
    case crypto::Kind::kSpecial:
      return "special file";
    case crypto::Kind::kFileOrDirectory:
      break;
  }
  return "earlier id";
}

}  // namespace

bool is_odd(const ShownEntry& entry, const std::vector<crypto::DirId>& ids) {
  return !entry.decoded.is_shown_as(entry.shown) || entry.decoded.other_case || entry.decoded.under != ids.front();
}

std::vector<ShownEntry> name_listing(std::vector<ShownEntry> entries, const std::vector<crypto::DirId>& ids,
                                     std::map<std::string, DecodedEntry>& odd) {
  std::unordered_map<std::string_view, std::size_t> owner;  // plaintext name -> entry that is shown under it
  owner.reserve(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].decoded.decorated) continue;
    auto [at, fresh] = owner.try_emplace(entries[i].decoded.name, i);
    if (!fresh && claim(entries[i], ids) < claim(entries[at->second], ids)) at->second = i;
  }
  for (std::size_t i = 0; i < entries.size(); ++i) {
    ShownEntry& entry = entries[i];
    auto at = owner.find(entry.decoded.name);
    if (at != owner.end() && at->second == i) {
      entry.shown = entry.decoded.name;
      // Found by computing its entry name unless it lies under another id than new names do, or in other case.
      if (is_odd(entry, ids)) odd.emplace(entry.shown, entry.decoded);
      continue;
    }
    entry.shown = conflict_name(entry.decoded.name, label_of(entry.decoded));
    // Two decorations that differ only in what is trimmed away: tell them apart by all of it.
    if (odd.count(entry.shown) != 0 || owner.count(entry.shown) != 0) {
      entry.shown =
          conflict_name(entry.decoded.name, "[" + label_of(entry.decoded) + "] " + entry.decoded.entry.substr(0, 12));
    }
    odd.emplace(entry.shown, entry.decoded);
  }
  return entries;
}

}  // namespace coffer::fs
