#include "mount/fuse_ops.h"

#include "mount/fuse_ops_internal.h"

namespace coffer::mount {
namespace {

void want(fuse_conn_info& kernel, unsigned feature, bool wanted) {
  if (wanted && (kernel.capable & feature) != 0) {
    kernel.want |= feature;
  } else {
    kernel.want &= ~feature;
  }
}

// Runs in libfuse's do_init(), which then answers INIT. What it does not negotiate itself: wire.h.
void op_init(void* userdata, fuse_conn_info* kernel) {
  want(*kernel, FUSE_CAP_WRITEBACK_CACHE, true);
  // Then it also sets the times of regular files itself, whatever changes them, and tells of them by SETATTR
  // (fs/fuse/file.c, file_modified() and fuse_flush_times()); what an answer of ours says of them does not count.
  if ((kernel->want & FUSE_CAP_WRITEBACK_CACHE) != 0) {
    static_cast<MountContext*>(userdata)->filesystem.kernel_keeps_times();
  }
  want(*kernel, FUSE_CAP_ASYNC_READ, true);
  want(*kernel, FUSE_CAP_ATOMIC_O_TRUNC, true);
  want(*kernel, FUSE_CAP_READDIRPLUS, true);
  want(*kernel, FUSE_CAP_READDIRPLUS_AUTO, true);
  want(*kernel, FUSE_CAP_CACHE_SYMLINKS, true);
  // POSIX ACLs are the folder below's. Its kernel can only inherit a default ACL if ours has not applied the umask yet
  // (fs/fuse/dir.c, fuse_create_open: "if (!fm->fc->dont_mask) mode &= ~current_umask()").
  const bool acl = (kernel->capable & FUSE_CAP_POSIX_ACL) != 0 && (kernel->capable & FUSE_CAP_DONT_MASK) != 0;
  want(*kernel, FUSE_CAP_POSIX_ACL, acl);
  want(*kernel, FUSE_CAP_DONT_MASK, true);
  want(*kernel, FUSE_CAP_EXPORT_SUPPORT, false);  // ids do not survive a remount, NFS handles must
  want(*kernel, FUSE_CAP_IOCTL_DIR, false);
  // Every byte is encrypted or decrypted on its way: there is nothing to splice through.
  want(*kernel, FUSE_CAP_SPLICE_READ, false);
  want(*kernel, FUSE_CAP_SPLICE_WRITE, false);
  want(*kernel, FUSE_CAP_SPLICE_MOVE, false);
  // libfuse's default is the largest write that the protocol has (1 MiB) and the readahead that the kernel offers; the
  // session raises the latter once mounted. 12 requests in the background, the kernel's default, is less than one 16
  // MiB stretch of a sequential write.
  kernel->max_background = 64;
  kernel->congestion_threshold = 48;
}

constexpr fuse_lowlevel_ops kOperations = [] {
  fuse_lowlevel_ops ops{};
  ops.init = op_init;
  ops.lookup = op_lookup;
  ops.forget = op_forget;
  ops.forget_multi = op_forget_multi;
  ops.getattr = op_getattr;
  ops.setattr = op_setattr;
  ops.readlink = op_readlink;
  ops.mknod = op_mknod;
  ops.mkdir = op_mkdir;
  ops.unlink = op_unlink;
  ops.rmdir = op_rmdir;
  ops.symlink = op_symlink;
  ops.rename = op_rename;
  ops.link = op_link;
  ops.open = op_open;
  ops.read = op_read;
  ops.write_buf = op_write_buf;  // unlike write, libfuse checks its size against the request's
  ops.flush = op_flush;
  ops.release = op_release;
  ops.fsync = op_fsync;
  ops.opendir = op_opendir;
  ops.readdir = op_readdir;
  ops.readdirplus = op_readdirplus;
  ops.releasedir = op_releasedir;
  ops.fsyncdir = op_fsyncdir;
  ops.statfs = op_statfs;
  ops.setxattr = op_setxattr;
  ops.getxattr = op_getxattr;
  ops.listxattr = op_listxattr;
  ops.removexattr = op_removexattr;
  ops.create = op_create;
  ops.fallocate = op_fallocate;
  ops.copy_file_range = op_copy_file_range;
  ops.lseek = op_lseek;
  return ops;
}();

// Of all operations of libfuse 3.14 these are unset on purpose: destroy (nothing to do), access (default_permissions),
// write (write_buf), getlk, setlk and flock (locks are the kernel's own: one mount, one machine), bmap, ioctl, poll,
// retrieve_reply. A forgotten one would be answered ENOSYS, which the kernel remembers for the whole mount.
template <class... Operation>
consteval bool all_set(Operation... operation) {
  return (... && (operation != nullptr));
}
constexpr const auto& kOps = kOperations;
static_assert(all_set(kOps.init, kOps.lookup, kOps.forget, kOps.forget_multi, kOps.getattr, kOps.setattr, kOps.readlink,
                      kOps.mknod, kOps.mkdir, kOps.unlink, kOps.rmdir, kOps.symlink, kOps.rename, kOps.link, kOps.open,
                      kOps.read, kOps.write_buf, kOps.flush, kOps.release, kOps.fsync, kOps.opendir, kOps.readdir,
                      kOps.readdirplus, kOps.releasedir, kOps.fsyncdir, kOps.statfs, kOps.setxattr, kOps.getxattr,
                      kOps.listxattr, kOps.removexattr, kOps.create, kOps.fallocate, kOps.copy_file_range, kOps.lseek));
static_assert(!kOperations.destroy && !kOperations.access && !kOperations.write && !kOperations.getlk &&
              !kOperations.setlk && !kOperations.flock && !kOperations.bmap && !kOperations.ioctl &&
              !kOperations.poll && !kOperations.retrieve_reply);

}  // namespace

const fuse_lowlevel_ops& operations() { return kOperations; }

void answer(Reply& reply, const base::Status& status) { status ? reply.ok() : reply.error(status.error()); }

void answer_entry(MountContext& context, Reply& reply, const base::Result<fs::Attr>& made) {
  if (!made) return reply.error(made.error());
  if (!reply.entry(to_entry(*made))) context.filesystem.forget(made->id, 1);
}

}  // namespace coffer::mount
