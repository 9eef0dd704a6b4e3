// From an inode to its open file: opened once, checked against its place, held by handles.
#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "fs/filesystem_impl.h"

namespace coffer::fs {
namespace {

bool wants_write(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0; }

}  // namespace

Result<std::shared_ptr<FileState>> Filesystem::Impl::file_state(const InodeRef& inode, bool write, bool truncate) {
  if (inode->is_directory) return Errno(EISDIR);
  if (write) COFFER_RETURN_IF_ERROR(check_writable());
  if (auto file = inodes_.file_of(*inode)) {
    if (write && !file->writable()) return Errno(EACCES);
    if (file->dirty()) return file;
    auto reached = reach(inode);
    if (reached) {
      COFFER_RETURN_IF_ERROR(file->refresh(reached->stat));
      return file;
    }
    if (!inodes_.orphan_of(*inode)) return reached.error();
  }
  return open_state(inode, write, truncate);
}

// One at a time for a file: a second FileState would read a header that the first may be writing.
Result<std::shared_ptr<FileState>> Filesystem::Impl::open_state(const InodeRef& inode, bool write, bool truncate) {
  base::MutexLock lock(opening(*inode));
  if (auto file = inodes_.file_of(*inode); file && !inodes_.orphan_of(*inode)) {
    if (write && !file->writable()) return Errno(EACCES);
    return file;
  }
  return while_moving([&] { return open_located(inode, write, truncate); });
}

Result<std::shared_ptr<FileState>> Filesystem::Impl::open_located(const InodeRef& inode, bool write, bool truncate) {
  if (SharedFd orphan = inodes_.orphan_of(*inode)) return reopen_orphan(inode, FdRef(*orphan), truncate);
  auto located = locate_now(inode);
  if (!located) {
    // Its last name may have gone just now.
    if (SharedFd orphan = inodes_.orphan_of(*inode)) return reopen_orphan(inode, FdRef(*orphan), truncate);
    return located.error();
  }
  bool writable = !options_.read_only && inode->kind == crypto::Kind::kFileOrDirectory;
  auto fd = backing_->open(located->at(), located->entry, (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK);
  if (!fd && !write && writable) {
    writable = false;
    fd = backing_->open(located->at(), located->entry, O_RDONLY | O_NONBLOCK);
  }
  if (!fd) return fd.error();
  COFFER_ASSIGN_OR_RETURN(sys::Stat stat, backing_->stat(*fd));
  if (BackingId::of(stat) != inode->backing || !S_ISREG(stat.mode)) return Errno(ESTALE);
  HeaderFacts facts;
  if (truncate) {
    COFFER_ASSIGN_OR_RETURN(facts, facts_of(inode, stat));
  }
  COFFER_ASSIGN_OR_RETURN(auto file, FileState::open(file_context_, *std::move(fd), stat, inode->kind, located->entry,
                                                     writable, truncate ? &facts : nullptr));
  if (!truncate) COFFER_RETURN_IF_ERROR(check_place(inode, *file));
  return inodes_.publish_file(*inode, std::move(file));
}

// A file whose last name went after the kernel had looked it up and before it opened it.
Result<std::shared_ptr<FileState>> Filesystem::Impl::reopen_orphan(const InodeRef& inode, FdRef orphan, bool truncate) {
  COFFER_ASSIGN_OR_RETURN(UniqueFd fd, sys::reopen(orphan, options_.read_only ? O_RDONLY : O_RDWR));
  COFFER_ASSIGN_OR_RETURN(sys::Stat stat, backing_->stat(fd));
  HeaderFacts facts;
  facts.mode = stat.mode;
  facts.name = "?";
  COFFER_ASSIGN_OR_RETURN(auto file, FileState::open(file_context_, std::move(fd), stat, inode->kind, "(removed)",
                                                     !options_.read_only, truncate ? &facts : nullptr));
  file->discard();
  return inodes_.publish_file(*inode, std::move(file));
}

Result<HeaderFacts> Filesystem::Impl::facts_of(const InodeRef& inode, const sys::Stat& stat) {
  Place place = inodes_.place_of(*inode);
  if (!place.parent) return Errno(ESTALE);
  COFFER_ASSIGN_OR_RETURN(OpenedDir dir, open_dir(place.parent));
  COFFER_ASSIGN_OR_RETURN(EntryName entry, entry_of(place.parent, place, inode->kind));
  COFFER_ASSIGN_OR_RETURN(Attr attr, attr_of(inode, dir.at(), entry.entry, stat));
  HeaderFacts facts;
  facts.mode = attr.mode;
  facts.uid = attr.uid;
  facts.gid = attr.gid;
  facts.rdev = std::uint64_t{major(attr.rdev)} << 32 | minor(attr.rdev);
  facts.kind = inode->kind;
  facts.parent = place.odd ? place.odd->under : dir.ids->front();
  facts.name = place.name;
  if (place.odd) {
    // What a copy is shown under is ours to say, not its name.
    auto name = names_.cipher().decrypt(place.odd->under, place.odd->full);
    if (name) facts.name = *std::move(name);
  }
  return facts;
}

Result<crypto::DirId> Filesystem::Impl::place_hash(const InodeRef& inode) {
  Place place = inodes_.place_of(*inode);
  if (!place.parent) return Errno(ESTALE);
  if (place.odd) return names_.cipher().derived_id(place.odd->under, place.odd->full);
  COFFER_ASSIGN_OR_RETURN(OpenedDir dir, open_dir(place.parent));
  const crypto::DirId under = dir.ids->front();
  return names_.cipher().derived_id(under, names_.encode(under, inode->kind, place.name).full);
}

crypto::DirId Filesystem::Impl::place_hash(const FoundEntry& entry, std::string_view name) const {
  const crypto::NameCipher& cipher = names_.cipher();
  return cipher.derived_id(entry.under, entry.odd ? entry.name.full : cipher.encrypt(entry.under, entry.kind, name));
}

Status Filesystem::Impl::check_place(const InodeRef& inode, FileState& file) {
  const crypto::FileHeader header = file.header();
  std::optional<crypto::DirId> seen;
  for (;;) {
    Place place = inodes_.place_of(*inode);
    if (!place.parent) return base::ok();
    if (place.odd) {  // a conflict copy says itself that it was moved
      auto name = names_.cipher().decrypt(place.odd->under, place.odd->full);
      if (name != place.name) return base::ok();
    }
    COFFER_ASSIGN_OR_RETURN(OpenedDir dir, open_dir(place.parent));
    const bool here = std::find(dir.ids->begin(), dir.ids->end(), header.parent) != dir.ids->end();
    if (here && header.name == place.name) return base::ok();
    COFFER_ASSIGN_OR_RETURN(crypto::DirId hash, place_hash(inode));
    if (known_good_.is_explained(inode->backing, hash)) return base::ok();
    if (seen == hash) break;
    seen = hash;  // look twice: we may be renaming it this moment
  }
  // A header has room for one name; of several links all but one look moved.
  COFFER_ASSIGN_OR_RETURN(sys::Stat stat, backing_->stat(file.fd()));
  if (stat.nlink != 1 && (!options_.strict || is_explained_elsewhere(inode, header))) return base::ok();
  // What is damaged has been reported as that.
  if (file.size() <= kCheckFirstMax && !file.confirm()) return base::ok();
  bool fresh;
  {
    base::MutexLock lock(reported_mutex_);
    fresh = reported_moved_.insert(inode->backing).second;
  }
  if (fresh) {
    events_.report(EventKind::kMoved,
                   fmt::format("{}: its header places it elsewhere (moved from outside?)", file.label()));
  }
  if (options_.strict) return Errno(EIO);
  return base::ok();
}

// Is another name of this file the one that its header says, or one that we gave it? Strictly that is no proof that the
// name it was opened by is right too: whoever may write to the vault may link a file of two names to a third.
bool Filesystem::Impl::is_explained_elsewhere(const InodeRef& inode, const crypto::FileHeader& header) {
  for (const Place& place : inodes_.places_of(*inode)) {
    auto dir = open_dir(place.parent);
    if (!dir || place.odd) continue;
    if (header.name == place.name && std::find(dir->ids->begin(), dir->ids->end(), header.parent) != dir->ids->end())
      return true;
    const EntryName name = names_.encode(dir->ids->front(), inode->kind, place.name);
    if (known_good_.is_explained(inode->backing, names_.cipher().derived_id(dir->ids->front(), name.full))) return true;
  }
  // The name in the header may not have been looked up yet.
  const std::string entry = names_.encode(header.parent, inode->kind, header.name).entry;
  for (const InodeRef& directory : inodes_.all()) {
    DirectoryIds ids = directory->is_directory ? directory->directory->ids() : nullptr;
    if (!ids || std::find(ids->begin(), ids->end(), header.parent) == ids->end()) continue;
    auto dir = open_dir(directory);
    auto there = dir ? backing_->stat(dir->at(), entry) : dir.error();
    if (there && BackingId::of(*there) == inode->backing) return true;
  }
  return false;
}

Opened Filesystem::Impl::make_handle(const InodeRef& inode, std::shared_ptr<FileState> file, bool may_write) {
  ++file->handles;
  if (may_write) ++file->writers;
  auto handle = std::make_shared<OpenFile>();
  handle->inode = inode;
  handle->file = std::move(file);
  handle->may_write = may_write;
  return {files_.insert(std::move(handle)), false};
}

Result<Opened> Filesystem::Impl::open_file(InodeId id, int flags, bool kill) {
  COFFER_ASSIGN_OR_RETURN(InodeRef inode, known(id));
  if (inode->is_directory) return Errno(EISDIR);
  if (inodes_.is_replaced(*inode)) return Errno(ESTALE);  // the kernel looks the name up again and comes back
  const bool write = wants_write(flags);
  const bool truncate = (flags & O_TRUNC) != 0;
  COFFER_ASSIGN_OR_RETURN(auto file, file_state(inode, write, truncate));
  // What is dirty was written by us, and the kernel's pages with it.
  bool keep = true;
  if (!file->dirty()) {
    const sys::Stat stat = file->disk_stat();
    keep = inodes_.is_cached(*inode, stat);
    inodes_.set_cached(*inode, stat);
  }
  Opened opened = make_handle(inode, file, write);
  opened.keep_cache = keep;
  if (truncate) {
    Status emptied = file->truncate(0);
    settler_->file_changed(inode, file);
    if (emptied && kill) emptied = kill_suidgid(inode, file);
    if (!emptied) {
      release(opened.handle);
      return emptied.error();
    }
  } else if (file->needs_background_check()) {
    settler_->check_later([this, inode, file] {
      if (!file->confirm() && options_.hooks.drop_inode) options_.hooks.drop_inode(inode->id);
    });
  }
  return opened;
}

}  // namespace coffer::fs
