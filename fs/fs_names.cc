// Names: look up, make, link, remove. Each verb works under the lock of its directory's names; descriptors and ids are
// fetched before, since finding them may need the locks of other directories.
#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <climits>

#include "base/log.h"
#include "crypto/random.h"
#include "fs/durable_file.h"
#include "fs/filesystem_impl.h"

namespace coffer::fs {

Result<Attr> Filesystem::Impl::lookup(InodeId parent, std::string_view name) {
  COFFER_RETURN_IF_ERROR(check_name(name));
  COFFER_ASSIGN_OR_RETURN(OpenedDir dir, open_dir(parent));
  base::ReaderLock lock(dir.names());
  COFFER_ASSIGN_OR_RETURN(FoundEntry found, find_entry(dir, name));
  InodeRef inode = ref(dir, found, name, 1);
  watch_child(inode, dir, found);
  auto attr = inode->kind == found.kind ? attr_of(inode, dir, found) : other_kind(found.name.entry);
  if (!attr) inodes_.forget(inode->id, 1);
  return attr;
}

// A hard link below, under a name of another kind than the one that the file is known by.
Errno Filesystem::Impl::other_kind(const std::string& entry) {
  events_.report(EventKind::kIntegrity, fmt::format("{}: a link to a file of another kind", entry));
  return Errno(EIO);
}

HeaderFacts Filesystem::Impl::new_facts(const OpenedDir& dir, std::string_view name, crypto::Kind kind,
                                        const sys::Stat& stat) const {
  HeaderFacts facts;
  facts.mode = stat.mode;
  facts.uid = stat.uid;
  facts.gid = stat.gid;
  facts.kind = kind;
  facts.parent = dir.ids->front();
  facts.name = std::string(name);
  return facts;
}

Result<Attr> Filesystem::Impl::mkdir(InodeId parent, std::string_view name, mode_t mode, const Caller& caller) {
  COFFER_RETURN_IF_ERROR(check_writable());
  COFFER_RETURN_IF_ERROR(check_name(name));
  COFFER_ASSIGN_OR_RETURN(OpenedDir dir, open_dir(parent));
  base::WriterLock lock(dir.names());
  auto present = find_entry(dir, name);
  if (present) return Errno(EEXIST);
  if (present.error() != Errno(ENOENT)) return present.error();
  FoundEntry made;
  made.under = dir.ids->front();
  made.name = names_.encode(made.under, crypto::Kind::kFileOrDirectory, name);
  // A directory's long name is nowhere else, so its side file is on disk before the directory is.
  COFFER_RETURN_IF_ERROR(names_.write_side_file(dir.at(), made.name, true));
  COFFER_RETURN_IF_ERROR(backing_->mkdir(dir.at(), made.name.entry, mode_below(mode, true)));
  settler_->disk_changed();
  COFFER_ASSIGN_OR_RETURN(made.stat, backing_->stat(dir.at(), made.name.entry));
  InodeRef inode = ref(dir, made, name, 1);
  auto finish = [&]() -> Result<Attr> {
    const crypto::DirId derived = names_.cipher().derived_id(made.under, made.name.full);
    if (known_good_.is_pinned(derived)) {
      COFFER_ASSIGN_OR_RETURN(UniqueFd fd, backing_->open(dir.at(), made.name.entry, O_PATH | O_DIRECTORY));
      COFFER_RETURN_IF_ERROR(pin_new_directory(inode, fd, derived));
    } else {
      inode->directory->set_ids_once({derived}, {});
    }
    const mode_t wanted = mode & ~caller.umask;
    if (!privileged_ && (wanted & 0700) != 0700) {
      COFFER_RETURN_IF_ERROR(set_mode(*inode, dir.at(), made.name.entry, wanted));
    }
    COFFER_ASSIGN_OR_RETURN(made.stat, backing_->stat(dir.at(), made.name.entry));
    return attr_of(inode, dir, made);
  };
  auto attr = finish();
  if (!attr) inodes_.forget(inode->id, 1);
  return attr;
}

Result<Created> Filesystem::Impl::create_new(const OpenedDir& dir, std::string_view name, mode_t mode,
                                             const Caller& caller) {
  FoundEntry made;
  made.under = dir.ids->front();
  made.name = names_.encode(made.under, crypto::Kind::kFileOrDirectory, name);
  COFFER_RETURN_IF_ERROR(names_.write_side_file(dir.at(), made.name, false));
  made.stat.mode = S_IFREG | (mode & ~caller.umask);
  made.stat.uid = caller.uid;
  made.stat.gid = caller.gid;
  const FileState::Listing listing = FileState::list(file_context_, dir.inode->backing.ino, made.name.entry,
                                                     new_facts(dir, name, crypto::Kind::kFileOrDirectory, made.stat));
  auto opened = backing_->open(dir.at(), made.name.entry, O_RDWR | O_CREAT | O_EXCL, mode_below(mode, false));
  auto stat = opened ? backing_->stat(*opened) : opened.error();
  if (!stat) {
    FileState::unlist(file_context_, listing);
    return stat.error();
  }
  made.stat = *stat;
  InodeRef inode = ref(dir, made, name, 1);
  HeaderFacts facts = new_facts(dir, name, crypto::Kind::kFileOrDirectory, made.stat);
  auto file = FileState::create(file_context_, *std::move(opened), made.stat, made.name.entry, facts, listing);
  file = inodes_.publish_file(*inode, std::move(file));
  settler_->file_changed(inode, file);
  auto finish = [&]() -> Result<Attr> {
    const mode_t wanted = mode & ~caller.umask;
    if (!privileged_ && (wanted & 0600) != 0600) {
      COFFER_RETURN_IF_ERROR(set_mode(*inode, dir.at(), made.name.entry, wanted));
      COFFER_ASSIGN_OR_RETURN(made.stat, backing_->stat(file->fd()));
    }
    return attr_of(inode, dir, made);
  };
  auto attr = finish();
  if (!attr) {
    inodes_.forget(inode->id, 1);
    return attr.error();
  }
  attr->trust = kTrustUnwatched;  // as of everything that is being written to
  return Created{*attr, make_handle(inode, std::move(file), true)};
}

Result<Created> Filesystem::Impl::create(InodeId parent, std::string_view name, mode_t mode, int flags,
                                         const Caller& caller) {
  COFFER_RETURN_IF_ERROR(check_writable());
  COFFER_RETURN_IF_ERROR(check_name(name));
  COFFER_ASSIGN_OR_RETURN(OpenedDir dir, open_dir(parent));
  {
    base::WriterLock lock(dir.names());
    auto present = find_entry(dir, name);
    if (!present && present.error() == Errno(ENOENT)) return create_new(dir, name, mode, caller);
    if (!present) return present.error();
    if (flags & O_EXCL) return Errno(EEXIST);
  }
  // Somebody made it since the kernel looked.
  COFFER_ASSIGN_OR_RETURN(Attr attr, lookup(parent, name));
  auto opened = S_ISREG(attr.mode) ? open_file(attr.id, flags, false) : Errno(EEXIST);
  if (!opened) {
    inodes_.forget(attr.id, 1);
    return opened.error();
  }
  COFFER_ASSIGN_OR_RETURN(attr, getattr(attr.id));
  return Created{attr, *opened};
}

// Symbolic links and special files appear whole: made under a temporary name, then renamed.
Result<FoundEntry> Filesystem::Impl::make_with_content(const OpenedDir& dir, std::string_view name, crypto::Kind kind,
                                                       mode_t mode, std::uint64_t rdev, std::string_view content,
                                                       const Caller& caller) {
  FoundEntry made;
  made.kind = kind;
  made.under = dir.ids->front();
  made.name = names_.encode(made.under, kind, name);
  COFFER_RETURN_IF_ERROR(names_.write_side_file(dir.at(), made.name, false));
  const std::string temporary = temporary_name();
  const mode_t permissions = kind == crypto::Kind::kSymlink ? 0666 : mode & 07777;
  COFFER_ASSIGN_OR_RETURN(
      UniqueFd fd, backing_->open(dir.at(), temporary, O_RDWR | O_CREAT | O_EXCL, mode_below(permissions, false)));
  auto fill = [&]() -> Status {
    COFFER_ASSIGN_OR_RETURN(made.stat, backing_->stat(fd));
    HeaderFacts facts = new_facts(dir, name, kind, made.stat);
    facts.mode = kind == crypto::Kind::kSymlink ? S_IFLNK | 0777 : (mode & S_IFMT) | (made.stat.mode & 07777);
    facts.rdev = rdev;
    auto file = FileState::create(file_context_, std::move(fd), made.stat, made.name.entry, facts,
                                  {crypto::random_id<crypto::FileId>(), std::nullopt});
    COFFER_RETURN_IF_ERROR(file->write(0, base::as_bytes(content), false));
    COFFER_RETURN_IF_ERROR(file->write_out());
    return backing_->rename(dir.at(), temporary, dir.at(), made.name.entry, RENAME_NOREPLACE);
  };
  Status filled = fill();
  if (!filled) {
    static_cast<void>(backing_->unlink(dir.at(), temporary));
    return filled.error();
  }
  settler_->disk_changed();
  COFFER_ASSIGN_OR_RETURN(made.stat, backing_->stat(dir.at(), made.name.entry));
  const mode_t wanted = permissions & ~caller.umask;
  if (!privileged_ && kind == crypto::Kind::kSpecial && (wanted & 0600) != 0600) {
    InodeRef inode = ref(dir, made, name, 0);
    COFFER_RETURN_IF_ERROR(set_mode(*inode, dir.at(), made.name.entry, wanted));
    COFFER_ASSIGN_OR_RETURN(made.stat, backing_->stat(dir.at(), made.name.entry));
  }
  known_good_.insert(made.stat);
  return made;
}

Result<Attr> Filesystem::Impl::symlink(InodeId parent, std::string_view name, std::string_view target,
                                       const Caller& caller) {
  COFFER_RETURN_IF_ERROR(check_writable());
  COFFER_RETURN_IF_ERROR(check_name(name));
  if (target.empty()) return Errno(ENOENT);
  if (target.size() >= PATH_MAX) return Errno(ENAMETOOLONG);
  COFFER_ASSIGN_OR_RETURN(OpenedDir dir, open_dir(parent));
  base::WriterLock lock(dir.names());
  auto present = find_entry(dir, name);
  if (present) return Errno(EEXIST);
  if (present.error() != Errno(ENOENT)) return present.error();
  COFFER_ASSIGN_OR_RETURN(FoundEntry made,
                          make_with_content(dir, name, crypto::Kind::kSymlink, S_IFLNK | 0777, 0, target, caller));
  InodeRef inode = ref(dir, made, name, 1);
  auto attr = attr_of(inode, dir, made);
  if (!attr) inodes_.forget(inode->id, 1);
  return attr;
}

Result<Attr> Filesystem::Impl::mknod(InodeId parent, std::string_view name, mode_t mode, dev_t rdev,
                                     const Caller& caller) {
  COFFER_RETURN_IF_ERROR(check_writable());
  if ((mode & S_IFMT) == S_IFREG || (mode & S_IFMT) == 0) {
    COFFER_ASSIGN_OR_RETURN(Created made, create(parent, name, mode & 07777, O_EXCL | O_RDWR, caller));
    Status flushed = flush(made.opened.handle);
    release(made.opened.handle);
    if (!flushed) {
      inodes_.forget(made.attr.id, 1);
      return flushed.error();
    }
    return made.attr;
  }
  COFFER_RETURN_IF_ERROR(check_name(name));
  const mode_t type = mode & S_IFMT;
  if (type != S_IFIFO && type != S_IFSOCK && type != S_IFCHR && type != S_IFBLK) return Errno(EINVAL);
  COFFER_ASSIGN_OR_RETURN(OpenedDir dir, open_dir(parent));
  base::WriterLock lock(dir.names());
  auto present = find_entry(dir, name);
  if (present) return Errno(EEXIST);
  if (present.error() != Errno(ENOENT)) return present.error();
  const bool device = type == S_IFCHR || type == S_IFBLK;
  const std::uint64_t stored_rdev = device ? std::uint64_t{major(rdev)} << 32 | minor(rdev) : 0;
  COFFER_ASSIGN_OR_RETURN(FoundEntry made,
                          make_with_content(dir, name, crypto::Kind::kSpecial, mode, stored_rdev, {}, caller));
  InodeRef inode = ref(dir, made, name, 1);
  inodes_.set_special(*inode, {type, device ? rdev : 0});
  auto attr = attr_of(inode, dir, made);
  if (!attr) inodes_.forget(inode->id, 1);
  return attr;
}

Result<Attr> Filesystem::Impl::link(InodeId id, InodeId parent, std::string_view name) {
  COFFER_RETURN_IF_ERROR(check_writable());
  COFFER_RETURN_IF_ERROR(check_name(name));
  COFFER_ASSIGN_OR_RETURN(InodeRef inode, known(id));
  if (inode->is_directory) return Errno(EPERM);
  COFFER_ASSIGN_OR_RETURN(Located from, locate(inode));
  COFFER_ASSIGN_OR_RETURN(OpenedDir dir, open_dir(parent));
  base::WriterLock lock(dir.names());
  auto present = find_entry(dir, name);
  if (present) return Errno(EEXIST);
  if (present.error() != Errno(ENOENT)) return present.error();
  FoundEntry made;
  made.kind = inode->kind;
  made.under = dir.ids->front();
  made.name = names_.encode(made.under, made.kind, name);
  COFFER_RETURN_IF_ERROR(names_.write_side_file(dir.at(), made.name, true));
  write_headerless(inode);
  COFFER_RETURN_IF_ERROR(backing_->link(from.at(), from.entry, dir.at(), made.name.entry));
  settler_->disk_changed();
  COFFER_ASSIGN_OR_RETURN(made.stat, backing_->stat(dir.at(), made.name.entry));
  own_change(inode, from.stat, made.stat);
  // A header has room for one name: when that is gone the file is where we put it all the same.
  known_good_.explain_place(inode->backing, place_hash(made, name));
  InodeRef linked = ref(dir, made, name, 1);
  auto attr = attr_of(linked, dir, made);
  if (!attr) inodes_.forget(linked->id, 1);
  return attr;
}

void Filesystem::Impl::keep_orphan(const OpenedDir& dir, const FoundEntry& found) {
  if (found.is_directory() || found.stat.nlink > 1) return;
  InodeRef inode = inodes_.find(BackingId::of(found.stat));
  if (!inode) return;
  if (auto file = inodes_.file_of(*inode)) file->expect_removal();
  // Also if it is open now: whoever has it open may close it before the late open comes.
  auto fd = backing_->open(dir.at(), found.name.entry, O_PATH);
  // Without one (no descriptors left) a late open is ESTALE, as on any network file system.
  if (fd) inodes_.set_orphan(*inode, std::make_shared<const UniqueFd>(*std::move(fd)));
}

void Filesystem::Impl::entry_removed(const OpenedDir& dir, std::string_view name, const FoundEntry& found) {
  settler_->disk_changed();
  // Its side file goes last; one that stays behind is litter, a missing one would cost a name.
  static_cast<void>(names_.remove_side_file(dir.at(), found.name));
  const BackingId backing = BackingId::of(found.stat);
  InodeRef inode = inodes_.find(backing);
  if (inode) inodes_.remove_place(*inode, *dir.inode, name);
  if (!found.is_directory()) known_good_.forget_place(backing, place_hash(found, name));
  if (!inode) return;
  const bool last_name = inode->is_directory || found.stat.nlink <= 1;
  if (inode->is_directory) directory_fds_.erase(*inode);
  if (!last_name) {
    auto after = inodes_.file_of(*inode) ? backing_->stat(inodes_.file_of(*inode)->fd()) : Errno(ESTALE);
    if (!after) {
      auto located = locate(inode);
      if (located) after = located->stat;
    }
    if (after) own_change(inode, found.stat, *after);
    return;
  }
  known_good_.erase(inode->backing);
  if (auto file = inodes_.file_of(*inode)) {
    file->discard();
    recent_files_.drop(file);
  }
  auto attr = attr_of(inode, dir.at(), found.name.entry, found.stat);
  if (!attr) return;
  attr->nlink = 0;
  inodes_.set_removed(*inode, *attr);
}

Status Filesystem::Impl::unlink(InodeId parent, std::string_view name) {
  COFFER_RETURN_IF_ERROR(check_writable());
  COFFER_RETURN_IF_ERROR(check_name(name));
  COFFER_ASSIGN_OR_RETURN(OpenedDir dir, open_dir(parent));
  base::WriterLock lock(dir.names());
  COFFER_ASSIGN_OR_RETURN(FoundEntry found, find_entry(dir, name));
  if (found.is_directory()) return Errno(EISDIR);
  keep_orphan(dir, found);
  const Moves::UnderWay moving(moves_);
  COFFER_RETURN_IF_ERROR(backing_->unlink(dir.at(), found.name.entry));
  entry_removed(dir, name, found);
  return base::ok();
}

namespace {

// What file managers leave in every folder they show. Not ours, not wanted, and no reason to keep a directory.
bool is_litter(const std::string& name) {
  return name == ".DS_Store" || name == "desktop.ini" || name == "Thumbs.db" || name == ".directory";
}

}  // namespace

Status Filesystem::Impl::clear_for_removal(FdRef directory, const InodeRef& inode, std::vector<PinFile>& removed_pins) {
  COFFER_ASSIGN_OR_RETURN(DirectoryIds ids, directory_ids_of(inode, directory));
  COFFER_ASSIGN_OR_RETURN(std::vector<sys::DirEntry> entries, backing_->list(directory));
  std::vector<std::string> removable;
  bool foreign = false;
  for (const sys::DirEntry& entry : entries) {
    if (crypto::looks_like_pin(entry.name)) {
      if (auto pin = names_.cipher().parse_pin(entry.name)) removed_pins.push_back({entry.name, *pin});
      removable.push_back(entry.name);
    } else if (is_litter(entry.name) || is_temporary_name(entry.name) || is_side_file_name(entry.name)) {
      removable.push_back(entry.name);
    } else if (names_.decode(directory, *ids, entry.name).what == EntryClass::kOurs) {
      removed_pins.clear();
      return Errno(ENOTEMPTY);
    } else {
      foreign = true;
      base::log(base::LogLevel::kWarning, "a directory cannot be removed: {} lies in it and is not ours", entry.name);
    }
  }
  if (foreign) {
    removed_pins.clear();
    return Errno(ENOTEMPTY);
  }
  for (const std::string& name : removable) {
    Status removed = backing_->unlink(directory, name);
    if (!removed && removed.error() != Errno(ENOENT)) return removed;
  }
  return base::ok();
}

Status Filesystem::Impl::rmdir(InodeId parent, std::string_view name) {
  COFFER_RETURN_IF_ERROR(check_writable());
  COFFER_RETURN_IF_ERROR(check_name(name));
  COFFER_ASSIGN_OR_RETURN(OpenedDir dir, open_dir(parent));
  base::WriterLock lock(dir.names());
  COFFER_ASSIGN_OR_RETURN(FoundEntry found, find_entry(dir, name));
  if (!found.is_directory()) return Errno(ENOTDIR);
  const Moves::UnderWay moving(moves_);
  Status removed = backing_->rmdir(dir.at(), found.name.entry);
  if (!removed && removed.error() == Errno(ENOTEMPTY)) {
    COFFER_ASSIGN_OR_RETURN(UniqueFd fd, backing_->open(dir.at(), found.name.entry, O_PATH | O_DIRECTORY));
    std::vector<PinFile> pins;
    COFFER_RETURN_IF_ERROR(clear_for_removal(fd, ref(dir, found, name, 0), pins));
    removed = backing_->rmdir(dir.at(), found.name.entry);
    if (!removed) {
      // Something arrived meanwhile: the names in it need their id.
      for (const PinFile& pin : pins) static_cast<void>(write_pin(fd, pin));
    }
  }
  COFFER_RETURN_IF_ERROR(removed);
  entry_removed(dir, name, found);
  return base::ok();
}

}  // namespace coffer::fs
