#include <dirent.h>
#include <fcntl.h>

#include "mount/fuse_ops_internal.h"

namespace coffer::mount {

using fs::InodeId;

void op_lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  serve(request, [&](MountContext& context, Reply& reply) {
    const auto found = context.filesystem.lookup(InodeId{parent}, name);
    if (found || found.error().code() != ENOENT) return answer_entry(context, reply, found);
    // An absence that the kernel may remember. Nothing was handed over, so nothing is taken back.
    (void)reply.entry(absent_entry(context.filesystem.absence_trust(InodeId{parent})));
  });
}

void op_forget(fuse_req_t request, fuse_ino_t inode, std::uint64_t count) {
  serve(request, [&](MountContext& context, Reply& reply) {
    context.filesystem.forget(InodeId{inode}, count);
    reply.none();
  });
}

void op_forget_multi(fuse_req_t request, std::size_t count, fuse_forget_data* forgets) {
  serve(request, [&](MountContext& context, Reply& reply) {
    for (std::size_t i = 0; i < count; i++) context.filesystem.forget(InodeId{forgets[i].ino}, forgets[i].nlookup);
    reply.none();
  });
}

void op_mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  serve_creation(request, mode, [&](MountContext& context, Reply& reply, mode_t raw_mode, const fs::Caller& caller) {
    answer_entry(context, reply, context.filesystem.mkdir(InodeId{parent}, name, raw_mode, caller));
  });
}

void op_mknod(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev) {
  serve_creation(request, mode, [&](MountContext& context, Reply& reply, mode_t raw_mode, const fs::Caller& caller) {
    answer_entry(context, reply, context.filesystem.mknod(InodeId{parent}, name, raw_mode, rdev, caller));
  });
}

void op_symlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  // The request has no umask, since symbolic links have no mode; their ciphertext is a file and has one.
  constexpr mode_t kUsualUmask = 022;
  const_cast<fuse_ctx*>(fuse_req_ctx(request))->umask = kUsualUmask;
  serve_creation(request, 0, [&](MountContext& context, Reply& reply, mode_t /*raw_mode*/, const fs::Caller& caller) {
    answer_entry(context, reply, context.filesystem.symlink(InodeId{parent}, name, target, caller));
  });
}

void op_link(fuse_req_t request, fuse_ino_t inode, fuse_ino_t parent, const char* name) {
  serve(request, [&](MountContext& context, Reply& reply) {
    answer_entry(context, reply, context.filesystem.link(InodeId{inode}, InodeId{parent}, name));
  });
}

void op_unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  serve(request,
        [&](MountContext& context, Reply& reply) { answer(reply, context.filesystem.unlink(InodeId{parent}, name)); });
}

void op_rmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
  serve(request,
        [&](MountContext& context, Reply& reply) { answer(reply, context.filesystem.rmdir(InodeId{parent}, name)); });
}

void op_rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent, const char* new_name,
               unsigned flags) {
  serve(request, [&](MountContext& context, Reply& reply) {
    answer(reply, context.filesystem.rename(InodeId{parent}, name, InodeId{new_parent}, new_name, flags));
  });
}

void op_opendir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* file) {
  serve(request, [&](MountContext& context, Reply& reply) {
    const auto opened = context.filesystem.open_directory(InodeId{inode});
    if (!opened) return reply.error(opened.error());
    file->fh = opened->handle.value;
    // A listing that the kernel has from an earlier handle is still true, and this one's may be kept.
    file->keep_cache = file->cache_readdir = opened->keep_cache ? 1 : 0;
    if (!reply.opened(*file)) context.filesystem.release_directory(opened->handle);
  });
}

void op_releasedir(fuse_req_t request, fuse_ino_t /*inode*/, fuse_file_info* file) {
  serve(request, [&](MountContext& context, Reply& reply) {
    context.filesystem.release_directory(handle_of(*file));
    reply.ok();
  });
}

void op_fsyncdir(fuse_req_t request, fuse_ino_t /*inode*/, int /*data_only*/, fuse_file_info* file) {
  serve(request, [&](MountContext& context, Reply& reply) {
    answer(reply, context.filesystem.fsync_directory(handle_of(*file)));
  });
}

namespace {

// Appends `entry` to `out`, whose first `used` bytes are taken. The bytes it took, 0: it does not fit.
std::size_t append_entry(fuse_req_t request, base::ByteSpan out, std::size_t used, const fs::ListedEntry& entry,
                         bool plus) {
  std::string& name = this_thread().name;
  name.assign(entry.name);
  char* to = reinterpret_cast<char*>(out.data() + used);
  const std::size_t room = out.size() - used;
  const auto next = static_cast<off_t>(entry.next);
  struct stat bare {};  // all that readdir passes on, and readdirplus of "." and ".."
  bare.st_ino = entry.ino;
  bare.st_mode = static_cast<mode_t>(DTTOIF(entry.type));
  std::size_t needed = 0;
  if (plus) {
    fuse_entry_param full{};
    full.attr = bare;
    if (entry.attr != nullptr) full = to_entry(*entry.attr);
    needed = fuse_add_direntry_plus(request, to, room, name.c_str(), &full, next);
  } else {
    needed = fuse_add_direntry(request, to, room, name.c_str(), &bare, next);
  }
  return needed <= room ? needed : 0;
}

void list(fuse_req_t request, std::size_t size, off_t offset, const fuse_file_info& file, bool plus) {
  serve(request, [&](MountContext& context, Reply& reply) {
    ServingThread& thread = this_thread();
    const base::ByteSpan out = thread.buffer.get(size);
    std::size_t used = 0;
    thread.listed.clear();
    const auto sink = [&](const fs::ListedEntry& entry) {
      const std::size_t took = append_entry(request, out, used, entry, plus);
      if (took != 0 && entry.attr != nullptr) thread.listed.push_back(entry.attr->id);
      used += took;
      return took != 0;
    };
    const auto status = context.filesystem.list(handle_of(file), static_cast<std::uint64_t>(offset), plus, sink);
    // What was listed before a failure is delivered, with its lookup counts; the next call meets the failure again.
    if (!status && used == 0) return reply.error(status.error());
    if (reply.listing(out.first(used))) return;
    for (const InodeId inode : thread.listed) context.filesystem.forget(inode, 1);
  });
}

}  // namespace

void op_readdir(fuse_req_t request, fuse_ino_t /*inode*/, std::size_t size, off_t offset, fuse_file_info* file) {
  list(request, size, offset, *file, false);
}

void op_readdirplus(fuse_req_t request, fuse_ino_t /*inode*/, std::size_t size, off_t offset, fuse_file_info* file) {
  list(request, size, offset, *file, true);
}

}  // namespace coffer::mount
