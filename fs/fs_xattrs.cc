// Extended attributes: encrypted under user.coffer.*, POSIX ACLs passed to the folder below. FORMAT.md section 7.
#include <fmt/format.h>
#include <sys/xattr.h>

#include <algorithm>

#include "fs/filesystem_impl.h"

namespace coffer::fs {
namespace {

constexpr std::string_view kAclAccess = "system.posix_acl_access";
constexpr std::string_view kAclDefault = "system.posix_acl_default";
// What the kernel lets a value be (XATTR_SIZE_MAX).
constexpr std::size_t kValueMax = 65536;

bool is_acl(std::string_view name) { return name == kAclAccess || name == kAclDefault; }

bool has_namespace(std::string_view name) {
  for (std::string_view prefix : {"user.", "trusted.", "security."}) {
    if (name.size() > prefix.size() && name.starts_with(prefix)) return true;
  }
  return false;
}

}  // namespace

Result<std::vector<Filesystem::Impl::XattrOwner>> Filesystem::Impl::xattr_owners(const Inode& inode, FdRef dir,
                                                                                 const std::string& entry) {
  if (inode.is_directory) {
    DirectoryIds ids = inode.directory->ids();
    if (!ids) {
      COFFER_ASSIGN_OR_RETURN(UniqueFd fd,
                              entry == "." ? sys::dup(dir) : backing_->open(dir, entry, O_PATH | O_DIRECTORY));
      InodeRef self = inodes_.find(inode.backing);
      if (!self) return Errno(ESTALE);
      COFFER_ASSIGN_OR_RETURN(ids, directory_ids_of(self, fd));
    }
    std::vector<XattrOwner> owners;
    for (const crypto::DirId& id : *ids) owners.push_back({id.bytes});
    return owners;
  }
  if (auto file = inodes_.file_of(inode)) {
    return std::vector<XattrOwner>{{file->file_id().bytes}};
  }
  COFFER_ASSIGN_OR_RETURN(UniqueFd fd, backing_->open(dir, entry, O_RDONLY | O_NONBLOCK));
  COFFER_ASSIGN_OR_RETURN(sys::Stat stat, backing_->stat(fd));
  COFFER_ASSIGN_OR_RETURN(auto file,
                          FileState::open(file_context_, std::move(fd), stat, inode.kind, entry, false, nullptr));
  return std::vector<XattrOwner>{{file->file_id().bytes}};
}

std::optional<crypto::Xattr> Filesystem::Impl::open_sealed(const std::vector<XattrOwner>& owners,
                                                           const std::string& stored, ByteView sealed) const {
  for (const XattrOwner& owner : owners) {
    if (auto opened = xattrs_.open(owner.view(), stored, sealed)) return opened;
  }
  return std::nullopt;
}

Errno Filesystem::Impl::forged_attribute(const Inode& inode, const std::string& entry) {
  auto file = inodes_.file_of(inode);
  events_.report(EventKind::kIntegrity, fmt::format("{}: an extended attribute does not authenticate",
                                                    entry.empty() && file ? file->label() : entry));
  return Errno(EIO);
}

Result<base::Bytes> Filesystem::Impl::get_sealed(const Inode& inode, FdRef dir, const std::string& entry,
                                                 std::string_view name) {
  const std::string stored = xattrs_.stored_name(name);
  COFFER_ASSIGN_OR_RETURN(base::Bytes sealed, backing_->getxattr(dir, entry, stored));
  COFFER_ASSIGN_OR_RETURN(auto owners, xattr_owners(inode, dir, entry));
  auto opened = open_sealed(owners, stored, sealed);
  if (!opened) {
    return forged_attribute(inode, entry);
  }
  return std::move(opened->value);
}

Status Filesystem::Impl::set_sealed(const Inode& inode, FdRef dir, const std::string& entry, std::string_view name,
                                    ByteView value, int flags) {
  COFFER_ASSIGN_OR_RETURN(auto owners, xattr_owners(inode, dir, entry));
  const base::Bytes sealed = xattrs_.seal(owners.front().view(), name, value);
  return backing_->setxattr(dir, entry, xattrs_.stored_name(name), sealed, flags);
}

Result<base::Bytes> Filesystem::Impl::getxattr(InodeId id, std::string_view name) {
  COFFER_ASSIGN_OR_RETURN(InodeRef inode, known(id));
  if (!is_acl(name) && !has_namespace(name)) return Errno(EOPNOTSUPP);
  if (name.size() > crypto::kXattrMaxName) return Errno(ERANGE);
  if (is_acl(name) && inode->kind == crypto::Kind::kSymlink) return Errno(EOPNOTSUPP);
  return while_moving([&]() -> Result<base::Bytes> {
    COFFER_ASSIGN_OR_RETURN(Located located, reach_now(inode));
    if (!is_acl(name)) return get_sealed(*inode, located.at(), located.entry, name);
    return backing_->getxattr(located.at(), located.entry, std::string(name));
  });
}

Result<std::vector<std::string>> Filesystem::Impl::listxattr(InodeId id) {
  COFFER_ASSIGN_OR_RETURN(InodeRef inode, known(id));
  return while_moving([&] { return list_xattrs(inode); });
}

Result<std::vector<std::string>> Filesystem::Impl::list_xattrs(const InodeRef& inode) {
  COFFER_ASSIGN_OR_RETURN(Located located, reach_now(inode));
  COFFER_ASSIGN_OR_RETURN(std::vector<std::string> below, backing_->listxattr(located.at(), located.entry));
  std::vector<std::string> names;
  std::vector<XattrOwner> owners;
  for (const std::string& stored : below) {
    if (is_acl(stored)) {
      if (inode->kind != crypto::Kind::kSymlink) names.push_back(stored);
      continue;
    }
    if (!stored.starts_with(crypto::kXattrPrefix)) continue;  // somebody else's
    if (owners.empty()) {
      COFFER_ASSIGN_OR_RETURN(owners, xattr_owners(*inode, located.at(), located.entry));
    }
    auto sealed = backing_->getxattr(located.at(), located.entry, stored);
    if (!sealed && sealed.error() == Errno(ENODATA)) continue;
    if (!sealed) return sealed.error();
    auto opened = open_sealed(owners, stored, *sealed);
    if (!opened) {
      return forged_attribute(*inode, located.entry);
    }
    if (has_namespace(opened->name)) names.push_back(std::move(opened->name));  // not our own
  }
  return names;
}

Status Filesystem::Impl::setxattr(InodeId id, std::string_view name, ByteView value, int flags) {
  COFFER_RETURN_IF_ERROR(check_writable());
  COFFER_ASSIGN_OR_RETURN(InodeRef inode, known(id));
  if (!is_acl(name) && !has_namespace(name)) return Errno(EOPNOTSUPP);
  if (name.size() > crypto::kXattrMaxName) return Errno(ERANGE);
  if (value.size() + crypto::XattrCipher::overhead(name) > kValueMax) return Errno(E2BIG);
  COFFER_ASSIGN_OR_RETURN(Located located, reach(inode));
  Status status = base::ok();
  if (!is_acl(name)) {
    status = set_sealed(*inode, located.at(), located.entry, name, value, flags);
  } else if (inode->kind == crypto::Kind::kSymlink) {
    return Errno(EOPNOTSUPP);
  } else {
    status = backing_->setxattr(located.at(), located.entry, std::string(name), value, flags);
  }
  COFFER_RETURN_IF_ERROR(status);
  COFFER_ASSIGN_OR_RETURN(sys::Stat after, backing_->stat(located.at(), located.entry));
  own_change(inode, located.stat, after);
  return base::ok();
}

Status Filesystem::Impl::removexattr(InodeId id, std::string_view name) {
  COFFER_RETURN_IF_ERROR(check_writable());
  COFFER_ASSIGN_OR_RETURN(InodeRef inode, known(id));
  if (!is_acl(name) && !has_namespace(name)) return Errno(EOPNOTSUPP);
  if (name.size() > crypto::kXattrMaxName) return Errno(ERANGE);
  COFFER_ASSIGN_OR_RETURN(Located located, reach(inode));
  std::string stored = is_acl(name) ? std::string(name) : xattrs_.stored_name(name);
  COFFER_RETURN_IF_ERROR(backing_->removexattr(located.at(), located.entry, stored));
  COFFER_ASSIGN_OR_RETURN(sys::Stat after, backing_->stat(located.at(), located.entry));
  own_change(inode, located.stat, after);
  return base::ok();
}

}  // namespace coffer::fs
