// From inode numbers and names to descriptors and entries of the vault folder, and back to attributes.
#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "crypto/geometry.h"
#include "fs/filesystem_impl.h"

namespace coffer::fs {

Result<InodeRef> Filesystem::Impl::known(InodeId id) {
  InodeRef inode = inodes_.get(id);
  if (!inode) return Errno(ESTALE);
  return inode;
}

Status Filesystem::Impl::check_name(std::string_view name) const {
  if (name.size() > crypto::kMaxPlainName) return Errno(ENAMETOOLONG);
  if (!crypto::is_plain_name(name)) return Errno(EINVAL);
  return base::ok();
}

Status Filesystem::Impl::check_writable() const {
  if (options_.read_only) return Errno(EROFS);
  return base::ok();
}

Result<SharedFd> Filesystem::Impl::directory_fd(const InodeRef& directory) {
  if (!directory->is_directory) return Errno(ENOTDIR);
  if (directory->id == kRootInode) return root_fd_;
  if (SharedFd fd = directory_fds_.find(*directory)) return fd;
  Place place = inodes_.place_of(*directory);
  if (!place.parent) return Errno(ESTALE);
  COFFER_ASSIGN_OR_RETURN(SharedFd parent, directory_fd(place.parent));
  COFFER_ASSIGN_OR_RETURN(EntryName name, entry_of(place.parent, place, directory->kind));
  auto fd = backing_->open(FdRef(*parent), name.entry, O_PATH | O_DIRECTORY);
  if (!fd) return fd.error() == Errno(ENOENT) || fd.error() == Errno(ENOTDIR) ? Errno(ESTALE) : fd.error();
  COFFER_ASSIGN_OR_RETURN(sys::Stat stat, backing_->stat(*fd));
  if (BackingId::of(stat) != directory->backing) return Errno(ESTALE);
  return directory_fds_.insert(directory, *std::move(fd));
}

Result<EntryName> Filesystem::Impl::entry_of(const InodeRef& parent, const Place& place, crypto::Kind kind) {
  if (place.odd) return EntryName{place.odd->entry, place.odd->full};
  DirectoryIds ids = parent->directory->ids();
  if (!ids) {
    COFFER_ASSIGN_OR_RETURN(SharedFd fd, directory_fd(parent));
    COFFER_ASSIGN_OR_RETURN(ids, directory_ids_of(parent, FdRef(*fd)));
  }
  return names_.encode(ids->front(), kind, place.name);
}

Result<crypto::DirId> Filesystem::Impl::derived_id_of(const InodeRef& directory) {
  Place place = inodes_.place_of(*directory);
  if (!place.parent) {
    if (directory->id == kRootInode) return names_.cipher().root_id();
    return Errno(ESTALE);
  }
  if (place.odd) return names_.cipher().derived_id(place.odd->under, place.odd->full);
  COFFER_ASSIGN_OR_RETURN(OpenedDir parent, open_dir(place.parent));
  const crypto::DirId under = parent.ids->front();
  return names_.cipher().derived_id(under, names_.encode(under, directory->kind, place.name).full);
}

Result<DirectoryIds> Filesystem::Impl::directory_ids_of(const InodeRef& directory, FdRef fd) {
  for (;;) {
    if (DirectoryIds ids = directory->directory->ids()) return ids;
    COFFER_RETURN_IF_ERROR(read_directory_ids(directory, fd));
  }
}

Status Filesystem::Impl::read_directory_ids(const InodeRef& directory, FdRef fd) {
  const std::uint64_t generation = directory->directory->generation();
  COFFER_ASSIGN_OR_RETURN(crypto::DirId derived, derived_id_of(directory));
  COFFER_ASSIGN_OR_RETURN(std::vector<sys::DirEntry> entries, backing_->list(fd));
  std::vector<PinFile> pins;
  for (const sys::DirEntry& entry : entries) {
    if (!crypto::looks_like_pin(entry.name)) continue;
    if (auto pin = names_.cipher().parse_pin(entry.name)) {
      pins.push_back({entry.name, *pin});
      known_good_.remember_pinned(pin->id);
    } else {
      events_.report(EventKind::kUnreadable, fmt::format("{}: a pin that is not of this vault", entry.name));
    }
  }
  std::vector<crypto::DirId> ids = fs::directory_ids(derived, pins);
  for (const PinFile& pin : pins) {
    if (std::find(ids.begin(), ids.end(), pin.pin.id) == ids.end()) {
      events_.report(EventKind::kUnreadable, fmt::format("{}: a pin that does not fit where it lies", pin.file_name));
    }
  }
  // Entries that computing a name cannot find have to be known before the first look-up.
  std::vector<ShownEntry> candidates;
  const bool several_ids = ids.size() > 1;
  for (const sys::DirEntry& entry : entries) {
    auto tokens = crypto::find_name_tokens(entry.name);
    bool plain_token = !tokens.empty() && !tokens.front().decorated;
    if (tokens.empty() || (plain_token && !several_ids)) continue;
    ReadEntry read = names_.decode(fd, ids, entry.name);
    if (read.what == EntryClass::kOurs) candidates.push_back({{}, std::move(read.decoded), entry.ino, entry.type});
  }
  std::map<std::string, DecodedEntry> odd;
  name_listing(std::move(candidates), ids, odd);
  directory->directory->set_read(generation, std::move(ids), std::move(pins), std::move(odd));
  return base::ok();
}

Result<OpenedDir> Filesystem::Impl::open_dir(InodeId id) {
  COFFER_ASSIGN_OR_RETURN(InodeRef inode, known(id));
  return open_dir(inode);
}

Result<OpenedDir> Filesystem::Impl::open_dir(const InodeRef& directory) {
  return while_moving([&]() -> Result<OpenedDir> {
    OpenedDir dir;
    dir.inode = directory;
    COFFER_ASSIGN_OR_RETURN(dir.fd, directory_fd(directory));
    watch(directory, FdRef(*dir.fd));  // before anything is read that the kernel will keep
    COFFER_ASSIGN_OR_RETURN(dir.ids, directory_ids_of(directory, FdRef(*dir.fd)));
    return dir;
  });
}

Result<Located> Filesystem::Impl::locate(const InodeRef& inode) {
  return while_moving([&] { return locate_now(inode); });
}

Result<Located> Filesystem::Impl::locate_now(const InodeRef& inode) {
  Located located;
  if (inode->id == kRootInode) {
    COFFER_ASSIGN_OR_RETURN(located.dir, directory_fd(inode));
    located.parent = inode;
    located.entry = ".";
  } else {
    Place place = inodes_.place_of(*inode);
    if (!place.parent) return Errno(ESTALE);
    COFFER_ASSIGN_OR_RETURN(located.dir, directory_fd(place.parent));
    watch(place.parent, FdRef(*located.dir));
    located.parent = place.parent;
    COFFER_ASSIGN_OR_RETURN(EntryName name, entry_of(place.parent, place, inode->kind));
    located.entry = std::move(name.entry);
  }
  auto stat = backing_->stat(FdRef(*located.dir), located.entry);
  if (!stat) return stat.error() == Errno(ENOENT) ? Errno(ESTALE) : stat.error();
  if (BackingId::of(*stat) != inode->backing) return Errno(ESTALE);
  located.stat = *stat;
  return located;
}

std::shared_ptr<FileState> Filesystem::Impl::held_file(const Inode& inode) {
  auto file = inode.kind == crypto::Kind::kFileOrDirectory ? inodes_.file_of(inode) : nullptr;
  return file && file->handles > 0 ? file : nullptr;
}

Result<Located> Filesystem::Impl::reach(const InodeRef& inode) {
  return while_moving([&] { return reach_now(inode); });
}

Result<Located> Filesystem::Impl::reach_now(const InodeRef& inode) {
  auto file = held_file(*inode);
  if (!file) return locate_now(inode);
  COFFER_ASSIGN_OR_RETURN(sys::Stat stat, backing_->stat(file->fd()));
  return Located{FileState::shared_fd(file), inodes_.place_of(*inode).parent, "", stat};
}

// Of several entries of one name the one that name_listing() shows under it: FORMAT.md 5.4.
Result<FoundEntry> Filesystem::Impl::find_entry(const OpenedDir& dir, std::string_view name) {
  constexpr crypto::Kind kKinds[] = {crypto::Kind::kFileOrDirectory, crypto::Kind::kSymlink, crypto::Kind::kSpecial};
  FoundEntry found;
  // True if it is there. What a name says it is, it must be: a link or device that somebody put into the vault is never
  // followed or opened.
  auto is_there = [&]() -> Result<bool> {
    auto stat = backing_->stat(dir.at(), found.name.entry);
    if (!stat && stat.error() == Errno(ENOENT)) return false;
    if (!stat) return stat.error();
    if (!S_ISREG(stat->mode) && !(found.kind == crypto::Kind::kFileOrDirectory && S_ISDIR(stat->mode))) {
      bool fresh;
      {
        base::MutexLock lock(reported_mutex_);
        // The name holds its directory's id, so it is this directory's alone.
        fresh = reported_foreign_.insert(found.name.entry).second;
      }
      if (fresh)
        events_.report(EventKind::kUnreadable, fmt::format("{}: neither file nor directory", found.name.entry));
      return false;
    }
    found.stat = *stat;
    return true;
  };
  std::optional<DecodedEntry> odd;
  auto is_odd_there = [&]() -> Result<bool> {
    found.name = {odd->entry, odd->full};
    found.under = odd->under;
    found.kind = odd->kind;
    found.odd = true;
    return is_there();
  };
  for (crypto::Kind kind : kKinds) {
    found.kind = kind;
    found.under = dir.ids->front();
    found.odd = false;
    found.name = names_.encode(found.under, kind, name);
    COFFER_ASSIGN_OR_RETURN(bool there, is_there());
    if (there) return found;
    if (kind == kKinds[0]) odd = dir.inode->directory->find_odd(std::string(name));
    if (odd && odd->is_shown_as(name) && odd->kind == kind) {
      COFFER_ASSIGN_OR_RETURN(there, is_odd_there());
      if (there) return found;
    }
  }
  if (!odd || odd->is_shown_as(name)) return Errno(ENOENT);
  COFFER_ASSIGN_OR_RETURN(bool there, is_odd_there());
  if (!there) return Errno(ENOENT);
  return found;
}

InodeRef Filesystem::Impl::ref(const OpenedDir& dir, const FoundEntry& found, std::string_view name,
                               std::uint64_t lookups) {
  Place place{dir.inode, std::string(name), nullptr};
  if (found.odd) {
    place.odd = std::make_unique<OddEntry>(OddEntry{found.name.entry, found.name.full, found.under});
  }
  return inodes_.ref(BackingId::of(found.stat), found.kind, found.is_directory(), std::move(place), lookups);
}

std::uint64_t Filesystem::Impl::plain_size_of(std::uint64_t cipher_length) const {
  crypto::Geometry geometry(options_.config.suite, options_.config.chunk_size);
  if (auto exact = geometry.plain_size(cipher_length)) return *exact;
  if (cipher_length < crypto::kHeaderSize) return 0;
  // Half a file: as much as there is of whole records. Reading it is an error, which says more than the size.
  return (cipher_length - crypto::kHeaderSize) / geometry.record_size() * geometry.chunk_size();
}

Result<Attr> Filesystem::Impl::attr_of(const InodeRef& inode, FdRef dir, const std::string& entry,
                                       const sys::Stat& stat) {
  Attr attr;
  attr.id = inode->id;
  attr.ino = stat.ino;
  attr.nlink = stat.nlink;
  attr.uid = stat.uid;
  attr.gid = stat.gid;
  attr.blocks = stat.blocks;
  attr.atime = stat.atime;
  attr.mtime = stat.mtime;
  attr.ctime = stat.ctime;
  COFFER_ASSIGN_OR_RETURN(mode_t permissions, true_mode(*inode, dir, entry, stat));
  switch (inode->kind) {
    case crypto::Kind::kSymlink:
      attr.mode = S_IFLNK | 0777;
      attr.size = plain_size_of(stat.size);
      break;
    case crypto::Kind::kSpecial: {
      auto node = inodes_.special_of(*inode);
      if (!node) {
        // The one kind whose header stat needs: read once.
        COFFER_ASSIGN_OR_RETURN(UniqueFd fd, backing_->open(dir, entry, O_RDONLY | O_NONBLOCK));
        COFFER_ASSIGN_OR_RETURN(
            auto file, FileState::open(file_context_, std::move(fd), stat, inode->kind, entry, false, nullptr));
        crypto::FileHeader header = file->header();
        node = std::make_unique<SpecialNode>(
            SpecialNode{header.mode & S_IFMT,
                        makedev(static_cast<unsigned>(header.rdev >> 32), static_cast<unsigned>(header.rdev))});
        inodes_.set_special(*inode, *node);
      }
      attr.mode = node->type | permissions;
      attr.rdev = node->rdev;
      break;
    }
    case crypto::Kind::kFileOrDirectory:
      attr.mode = (stat.mode & S_IFMT) | permissions;
      if (inode->is_directory) {
        attr.size = stat.size;
      } else if (auto file = inodes_.file_of(*inode)) {
        attr.size = file->size();
        if (auto mtime = file->unstored_mtime()) attr.mtime = *mtime;
      } else {
        attr.size = plain_size_of(stat.size);
      }
      break;
  }
  return attr;
}

Result<Attr> Filesystem::Impl::attr_of(const InodeRef& inode, const Located& located) {
  COFFER_ASSIGN_OR_RETURN(Attr attr, attr_of(inode, located.at(), located.entry, located.stat));
  if (located.parent) attr.trust = attr_trust(*inode, *located.parent, located.stat);
  return attr;
}

Result<Attr> Filesystem::Impl::attr_of(const InodeRef& inode, const OpenedDir& dir, const FoundEntry& found) {
  COFFER_ASSIGN_OR_RETURN(Attr attr, attr_of(inode, dir.at(), found.name.entry, found.stat));
  attr.trust = attr_trust(*inode, *dir.inode, found.stat);
  attr.name_trust = name_trust(*dir.inode);
  return attr;
}

}  // namespace coffer::fs
