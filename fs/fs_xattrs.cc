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

// Whose attributes they are: a file's id, or a directory's.
Result<crypto::Id<struct XattrOwnerTag>> Filesystem::Impl::xattr_owner(const Inode& inode, FdRef dir,
                                                                       const std::string& entry) {
  crypto::Id<struct XattrOwnerTag> owner;
  if (inode.is_directory) {
    DirectoryIds ids = inode.directory->ids();
    if (!ids) {
      COFFER_ASSIGN_OR_RETURN(UniqueFd fd,
                              entry == "." ? sys::dup(dir) : backing_->open(dir, entry, O_PATH | O_DIRECTORY));
      InodeRef self = inodes_.find(inode.backing);
      if (!self) return Errno(ESTALE);
      COFFER_ASSIGN_OR_RETURN(ids, directory_ids_of(self, fd));
    }
    owner.bytes = ids->front().bytes;
    return owner;
  }
  if (auto file = inodes_.file_of(inode)) {
    owner.bytes = file->file_id().bytes;
    return owner;
  }
  COFFER_ASSIGN_OR_RETURN(UniqueFd fd, backing_->open(dir, entry, O_RDONLY | O_NONBLOCK));
  COFFER_ASSIGN_OR_RETURN(sys::Stat stat, backing_->stat(fd));
  COFFER_ASSIGN_OR_RETURN(auto file, FileState::open(file_context_, std::move(fd), stat, entry, false, nullptr));
  owner.bytes = file->file_id().bytes;
  return owner;
}

Result<base::Bytes> Filesystem::Impl::get_sealed(const Inode& inode, FdRef dir, const std::string& entry,
                                                 std::string_view name) {
  const std::string stored = xattrs_.stored_name(name);
  COFFER_ASSIGN_OR_RETURN(base::Bytes sealed, backing_->getxattr(dir, entry, stored));
  COFFER_ASSIGN_OR_RETURN(auto owner, xattr_owner(inode, dir, entry));
  auto opened = xattrs_.open(owner.view(), stored, sealed);
  if (!opened) {
    events_.report(EventKind::kIntegrity, fmt::format("{}: an extended attribute does not authenticate", entry));
    return Errno(EIO);
  }
  return std::move(opened->value);
}

Status Filesystem::Impl::set_sealed(const Inode& inode, FdRef dir, const std::string& entry, std::string_view name,
                                    ByteView value, int flags) {
  COFFER_ASSIGN_OR_RETURN(auto owner, xattr_owner(inode, dir, entry));
  return backing_->setxattr(dir, entry, xattrs_.stored_name(name), xattrs_.seal(owner.view(), name, value), flags);
}

Result<base::Bytes> Filesystem::Impl::getxattr(InodeId id, std::string_view name) {
  COFFER_ASSIGN_OR_RETURN(InodeRef inode, known(id));
  if (!is_acl(name) && !has_namespace(name)) return Errno(EOPNOTSUPP);
  if (name.size() > crypto::kXattrMaxName) return Errno(ERANGE);
  if (is_acl(name) && inode->kind == crypto::Kind::kSymlink) return Errno(EOPNOTSUPP);
  return while_moving([&]() -> Result<base::Bytes> {
    COFFER_ASSIGN_OR_RETURN(Located located, locate_now(inode));
    if (!is_acl(name)) return get_sealed(*inode, located.at(), located.entry, name);
    return backing_->getxattr(located.at(), located.entry, std::string(name));
  });
}

Result<std::vector<std::string>> Filesystem::Impl::listxattr(InodeId id) {
  COFFER_ASSIGN_OR_RETURN(InodeRef inode, known(id));
  return while_moving([&] { return list_xattrs(inode); });
}

Result<std::vector<std::string>> Filesystem::Impl::list_xattrs(const InodeRef& inode) {
  COFFER_ASSIGN_OR_RETURN(Located located, locate_now(inode));
  COFFER_ASSIGN_OR_RETURN(std::vector<std::string> below, backing_->listxattr(located.at(), located.entry));
  std::vector<std::string> names;
  std::optional<crypto::Id<struct XattrOwnerTag>> owner;
  for (const std::string& stored : below) {
    if (is_acl(stored)) {
      if (inode->kind != crypto::Kind::kSymlink) names.push_back(stored);
      continue;
    }
    if (!stored.starts_with(crypto::kXattrPrefix)) continue;  // somebody else's
    if (!owner) {
      COFFER_ASSIGN_OR_RETURN(owner, xattr_owner(*inode, located.at(), located.entry));
    }
    auto sealed = backing_->getxattr(located.at(), located.entry, stored);
    if (!sealed && sealed.error() == Errno(ENODATA)) continue;
    if (!sealed) return sealed.error();
    auto opened = xattrs_.open(owner->view(), stored, *sealed);
    if (!opened) {
      events_.report(EventKind::kIntegrity,
                     fmt::format("{}: an extended attribute does not authenticate", located.entry));
      return Errno(EIO);
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
  COFFER_ASSIGN_OR_RETURN(Located located, locate(inode));
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
  COFFER_ASSIGN_OR_RETURN(Located located, locate(inode));
  std::string stored = is_acl(name) ? std::string(name) : xattrs_.stored_name(name);
  COFFER_RETURN_IF_ERROR(backing_->removexattr(located.at(), located.entry, stored));
  COFFER_ASSIGN_OR_RETURN(sys::Stat after, backing_->stat(located.at(), located.entry));
  own_change(inode, located.stat, after);
  return base::ok();
}

}  // namespace coffer::fs
