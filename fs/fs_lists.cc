// Listing directories.
#include <fmt/format.h>

#include <algorithm>

#include "fs/filesystem_impl.h"

namespace coffer::fs {
namespace {

unsigned char shown_type(const ShownEntry& entry, const std::unique_ptr<SpecialNode>& special) {
  switch (entry.decoded.kind) {
    case crypto::Kind::kSymlink:
      return DT_LNK;
    case crypto::Kind::kSpecial:
      return special ? static_cast<unsigned char>(IFTODT(special->type)) : static_cast<unsigned char>(DT_UNKNOWN);
    case crypto::Kind::kFileOrDirectory:
      break;
  }
  return entry.type;
}

}  // namespace

Result<Opened> Filesystem::Impl::open_directory(InodeId id) {
  COFFER_ASSIGN_OR_RETURN(OpenedDir dir, open_dir(id));
  auto handle = std::make_shared<OpenDirectory>();
  handle->inode = dir.inode;
  handle->fd = dir.fd;
  return Opened{directories_.insert(std::move(handle)), name_trust(*dir.inode) > kTrustUnwatched};
}

void Filesystem::Impl::release_directory(HandleId id) { directories_.remove(id); }

Status Filesystem::Impl::fsync_directory(HandleId id) {
  auto handle = directories_.get(id);
  if (!handle) return Errno(EBADF);
  COFFER_ASSIGN_OR_RETURN(UniqueFd fd, backing_->open(FdRef(*handle->fd), ".", O_RDONLY | O_DIRECTORY));
  return backing_->fsync(fd);
}

Result<std::vector<ShownEntry>> Filesystem::Impl::read_names(const OpenedDir& dir) {
  base::ReaderLock lock(dir.names());
  const std::uint64_t generation = dir.inode->directory->generation();
  COFFER_ASSIGN_OR_RETURN(std::vector<sys::DirEntry> below, backing_->list(dir.at()));
  std::vector<ShownEntry> entries;
  entries.reserve(below.size());
  std::size_t unreadable = 0;
  std::string example;
  for (sys::DirEntry& entry : below) {
    if (crypto::looks_like_pin(entry.name)) continue;
    ReadEntry read = names_.decode(dir.at(), *dir.ids, entry.name);
    if (read.what == EntryClass::kUnreadable) {
      ++unreadable;
      example = entry.name;
    }
    if (read.what != EntryClass::kOurs) continue;
    const bool right = entry.type == DT_REG || entry.type == DT_UNKNOWN ||
                       (entry.type == DT_DIR && read.decoded.kind == crypto::Kind::kFileOrDirectory);
    if (right) entries.push_back({{}, std::move(read.decoded), entry.ino, entry.type});
  }
  if (unreadable > 0) {
    bool fresh;
    {
      base::MutexLock reported(reported_mutex_);
      fresh = reported_unreadable_.insert(dir.inode->backing).second;
    }
    if (fresh) {
      events_.report(
          EventKind::kUnreadable,
          fmt::format("{}: and {} more names in one directory do not belong where they are (moved from outside, "
                      "or their side file is missing)",
                      example, unreadable - 1));
    }
  }
  std::map<std::string, DecodedEntry> odd;
  entries = name_listing(std::move(entries), *dir.ids, odd);
  dir.inode->directory->set_odd(generation, std::move(odd));
  return entries;
}

Status Filesystem::Impl::list(HandleId id, std::uint64_t offset, bool plus, const DirSink& sink) {
  auto handle = directories_.get(id);
  if (!handle) return Errno(EBADF);
  COFFER_ASSIGN_OR_RETURN(DirectoryIds ids, directory_ids_of(handle->inode, FdRef(*handle->fd)));
  const OpenedDir dir{handle->inode, handle->fd, ids};
  base::MutexLock lock(handle->mutex);
  if (offset == 0) {
    COFFER_ASSIGN_OR_RETURN(handle->entries, read_names(dir));
  }
  // Offsets: 1 is after ".", 2 after "..", 2 + n after the nth entry.
  if (offset == 0) {
    COFFER_ASSIGN_OR_RETURN(sys::Stat self, backing_->stat(dir.at(), "."));
    if (!sink({".", self.ino, DT_DIR, nullptr, 1})) return base::ok();
    offset = 1;
  }
  if (offset == 1) {
    Place place = inodes_.place_of(*handle->inode);
    std::uint64_t ino = place.parent ? place.parent->backing.ino : handle->inode->backing.ino;
    if (!sink({"..", ino, DT_DIR, nullptr, 2})) return base::ok();
    offset = 2;
  }
  for (std::uint64_t i = offset - 2; i < handle->entries.size(); ++i) {
    COFFER_ASSIGN_OR_RETURN(bool more, list_one(dir, handle->entries[static_cast<std::size_t>(i)], i + 3, plus, sink));
    if (!more) break;
  }
  return base::ok();
}

Result<bool> Filesystem::Impl::list_one(const OpenedDir& dir, const ShownEntry& entry, std::uint64_t next, bool plus,
                                        const DirSink& sink) {
  if (!plus) {
    return sink({entry.shown, entry.ino, shown_type(entry, nullptr), nullptr, next});
  }
  auto stat = backing_->stat(dir.at(), entry.decoded.entry);
  if (!stat && stat.error() == Errno(ENOENT)) return true;  // gone since the listing was read
  if (!stat) return stat.error();
  FoundEntry found;
  found.name = {entry.decoded.entry, entry.decoded.full};
  found.under = entry.decoded.under;
  found.kind = entry.decoded.kind;
  found.odd = is_odd(entry, *dir.ids);
  found.stat = *stat;
  InodeRef inode = ref(dir, found, entry.shown, 1);
  watch_child(inode, dir, found);
  auto attr = inode->kind == found.kind ? attr_of(inode, dir, found) : Result<Attr>(Errno(EIO));
  if (!attr) {
    // The entry is there, only its attributes are not to be had: list it, and let a look-up tell why.
    inodes_.forget(inode->id, 1);
    return sink({entry.shown, entry.ino, shown_type(entry, nullptr), nullptr, next});
  }
  auto special = inodes_.special_of(*inode);
  const bool taken = sink({entry.shown, attr->ino, shown_type(entry, special), &*attr, next});
  if (!taken) inodes_.forget(inode->id, 1);
  return taken;
}

}  // namespace coffer::fs
