#include <fcntl.h>

#include "mount/fuse_ops_internal.h"
#include "mount/workers.h"

namespace coffer::mount {

using fs::InodeId;

namespace {

void fill(fuse_file_info& file, const fs::Opened& opened) {
  file.fh = opened.handle.value;
  file.keep_cache = opened.keep_cache ? 1 : 0;
}

}  // namespace

void op_create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* file) {
  serve_creation(request, mode, [&](MountContext& context, Reply& reply, mode_t raw_mode, const fs::Caller& caller) {
    fs::Filesystem& filesystem = context.filesystem;
    const auto made = filesystem.create(InodeId{parent}, name, raw_mode, file->flags, caller);
    if (!made) return reply.error(made.error());
    fill(*file, made->opened);
    if (may_write(file->flags)) context.writer_opened();
    if (reply.created(to_entry(made->attr), *file)) return;
    if (may_write(file->flags)) context.writer_closed();
    filesystem.release(made->opened.handle);
    filesystem.forget(made->attr.id, 1);
  });
}

void op_open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* file) {
  serve(request, [&](MountContext& context, Reply& reply) {
    const bool kill_suidgid = this_thread().notes.kill_suidgid;
    const auto opened = context.filesystem.open_file(InodeId{inode}, file->flags, kill_suidgid);
    if (!opened) return reply.error(opened.error());
    fill(*file, *opened);
    if (may_write(file->flags)) context.writer_opened();
    if (reply.opened(*file)) return;
    if (may_write(file->flags)) context.writer_closed();
    context.filesystem.release(opened->handle);
  });
}

void op_read(fuse_req_t request, fuse_ino_t /*inode*/, std::size_t size, off_t offset, fuse_file_info* file) {
  serve(request, [&](MountContext& context, Reply& reply) {
    const base::ByteSpan out = this_thread().buffer.get(size);
    const auto got = context.filesystem.read(handle_of(*file), static_cast<std::uint64_t>(offset), out);
    got ? reply.data(out.first(*got)) : reply.error(got.error());
  });
}

void op_write_buf(fuse_req_t request, fuse_ino_t /*inode*/, fuse_bufvec* data, off_t offset, fuse_file_info* file) {
  serve(request, [&](MountContext& context, Reply& reply) {
    // Without SPLICE_READ (op_init) libfuse hands over exactly one piece of memory: the request's own bytes.
    const fuse_buf& piece = data->buf[0];
    if (data->count != 1 || (piece.flags & FUSE_BUF_IS_FD) != 0) return reply.error(base::Errno(EIO));
    const base::ByteView bytes(static_cast<const base::Byte*>(piece.mem), piece.size);
    const fs::WriteFlags flags{.from_page_cache = file->writepage != 0,
                               .kill_suidgid = this_thread().notes.kill_suidgid};
    const auto wrote = context.filesystem.write(handle_of(*file), static_cast<std::uint64_t>(offset), bytes, flags);
    wrote ? reply.written(*wrote) : reply.error(wrote.error());
  });
}

void op_flush(fuse_req_t request, fuse_ino_t /*inode*/, fuse_file_info* file) {
  serve(request,
        [&](MountContext& context, Reply& reply) { answer(reply, context.filesystem.flush(handle_of(*file))); });
}

void op_release(fuse_req_t request, fuse_ino_t /*inode*/, fuse_file_info* file) {
  serve(request, [&](MountContext& context, Reply& reply) {
    if (may_write(file->flags)) context.writer_closed();
    context.filesystem.release(handle_of(*file));
    reply.ok();
  });
}

void op_fsync(fuse_req_t request, fuse_ino_t /*inode*/, int data_only, fuse_file_info* file) {
  serve(request, [&](MountContext& context, Reply& reply) {
    answer(reply, context.filesystem.fsync(handle_of(*file), data_only != 0));
  });
}

void op_fallocate(fuse_req_t request, fuse_ino_t /*inode*/, int mode, off_t offset, off_t length,
                  fuse_file_info* file) {
  serve(request, [&](MountContext& context, Reply& reply) {
    if (offset < 0 || length <= 0) return reply.error(base::Errno(EINVAL));
    answer(reply, context.filesystem.fallocate(handle_of(*file), mode, static_cast<std::uint64_t>(offset),
                                               static_cast<std::uint64_t>(length)));
  });
}

void op_lseek(fuse_req_t request, fuse_ino_t /*inode*/, off_t offset, int whence, fuse_file_info* file) {
  serve(request, [&](MountContext& context, Reply& reply) {
    if (offset < 0) return reply.error(base::Errno(ENXIO));  // lseek(2): SEEK_DATA before the file's start
    const WaitPermit permit(this_thread().pool);
    const auto found =
        context.filesystem.lseek(handle_of(*file), static_cast<std::uint64_t>(offset), whence, bool(permit));
    found ? reply.offset(*found) : reply.error(found.error());
  });
}

void op_copy_file_range(fuse_req_t request, fuse_ino_t /*from_inode*/, off_t from_offset, fuse_file_info* from,
                        fuse_ino_t /*to_inode*/, off_t to_offset, fuse_file_info* to, std::size_t length, int flags) {
  serve(request, [&](MountContext& context, Reply& reply) {
    if (flags != 0 || from_offset < 0 || to_offset < 0) return reply.error(base::Errno(EINVAL));
    const auto copied =
        context.filesystem.copy_file_range(handle_of(*from), static_cast<std::uint64_t>(from_offset), handle_of(*to),
                                           static_cast<std::uint64_t>(to_offset), length);
    copied ? reply.written(*copied) : reply.error(copied.error());
  });
}

}  // namespace coffer::mount
