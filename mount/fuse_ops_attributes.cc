#include "mount/fuse_ops_internal.h"

namespace coffer::mount {
namespace {

using fs::InodeId;

void answer_attributes(Reply& reply, const base::Result<fs::Attr>& attr) {
  if (!attr) return reply.error(attr.error());
  reply.attributes(to_stat(*attr), to_seconds(attr->trust));
}

// The protocol of getxattr(2) and listxattr(2): size 0 asks how long the value is.
void answer_sized(Reply& reply, base::ByteView value, std::size_t size) {
  if (size == 0) return reply.xattr_size(value.size());
  if (value.size() > size) return reply.error(base::Errno(ERANGE));
  reply.data(value);
}

// A new access ACL by somebody outside the file's group takes its sgid bit (fs/fuse/acl.c, fuse_set_acl). Ours comes
// with every capability, so the file system below keeps the bit.
base::Status drop_sgid(fs::Filesystem& filesystem, InodeId inode) {
  COFFER_ASSIGN_OR_RETURN(const fs::Attr attr, filesystem.getattr(inode));
  if ((attr.mode & S_ISGID) == 0) return base::ok();
  fs::AttrChange change;
  change.mode = attr.mode & 07777 & ~static_cast<mode_t>(S_ISGID);
  COFFER_RETURN_IF_ERROR(filesystem.setattr(inode, change));
  return base::ok();
}

}  // namespace

void op_getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info* /*file*/) {
  serve(request, [&](MountContext& context, Reply& reply) {
    answer_attributes(reply, context.filesystem.getattr(InodeId{inode}));
  });
}

void op_setattr(fuse_req_t request, fuse_ino_t inode, struct stat* attr, int to_set, fuse_file_info* /*file*/) {
  serve(request, [&](MountContext& context, Reply& reply) {
    const fs::AttrChange change = to_change(*attr, to_set, this_thread().notes.kill_suidgid);
    answer_attributes(reply, context.filesystem.setattr(InodeId{inode}, change));
  });
}

void op_readlink(fuse_req_t request, fuse_ino_t inode) {
  serve(request, [&](MountContext& context, Reply& reply) {
    const auto target = context.filesystem.readlink(InodeId{inode});
    target ? reply.link_target(*target) : reply.error(target.error());
  });
}

void op_statfs(fuse_req_t request, fuse_ino_t /*inode*/) {
  serve(request, [&](MountContext& context, Reply& reply) {
    const auto room = context.filesystem.statfs();
    room ? reply.room(to_statvfs(*room)) : reply.error(room.error());
  });
}

void op_getxattr(fuse_req_t request, fuse_ino_t inode, const char* name, std::size_t size) {
  serve(request, [&](MountContext& context, Reply& reply) {
    const auto value = context.filesystem.getxattr(InodeId{inode}, name);
    value ? answer_sized(reply, *value, size) : reply.error(value.error());
  });
}

void op_listxattr(fuse_req_t request, fuse_ino_t inode, std::size_t size) {
  serve(request, [&](MountContext& context, Reply& reply) {
    const auto names = context.filesystem.listxattr(InodeId{inode});
    if (!names) return reply.error(names.error());
    std::string joined;  // each with its zero byte, as listxattr(2) returns them
    for (const std::string& name : *names) joined.append(name).push_back('\0');
    answer_sized(reply, base::as_bytes(joined), size);
  });
}

void op_setxattr(fuse_req_t request, fuse_ino_t inode, const char* name, const char* value, std::size_t size,
                 int flags) {
  serve(request, [&](MountContext& context, Reply& reply) {
    auto status = context.filesystem.setxattr(InodeId{inode}, name, base::as_bytes({value, size}), flags);
    if (status && this_thread().notes.kill_sgid) status = drop_sgid(context.filesystem, InodeId{inode});
    answer(reply, status);
  });
}

void op_removexattr(fuse_req_t request, fuse_ino_t inode, const char* name) {
  serve(request, [&](MountContext& context, Reply& reply) {
    answer(reply, context.filesystem.removexattr(InodeId{inode}, name));
  });
}

}  // namespace coffer::mount
