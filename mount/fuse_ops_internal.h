// The trampolines, by subject, and what they have in common. Only for fuse_ops*.cc.
#pragma once

#include <exception>
#include <new>
#include <string_view>

#include "base/log.h"
#include "mount/convert.h"
#include "mount/fuse_api.h"
#include "mount/mount_context.h"
#include "mount/reply.h"

namespace coffer::mount {

inline MountContext& context_of(fuse_req_t request) { return *static_cast<MountContext*>(fuse_req_userdata(request)); }

inline fs::HandleId handle_of(const fuse_file_info& file) { return fs::HandleId{file.fh}; }

inline bool may_write(int open_flags) { return (open_flags & O_ACCMODE) != O_RDONLY; }

// The only place where exceptions end: above is C. A body that throws before it answered is answered for it: memory
// by ENOMEM, anything else by EIO (Reply's destructor).
template <class Body>
void contain(Reply& reply, Body&& body) noexcept {
  try {
    body();
  } catch (const std::bad_alloc&) {
    if (!reply.answered()) reply.error(base::Errno(ENOMEM));
  } catch (const std::exception& e) {
    base::log_line(base::LogLevel::kError, "a request failed by an exception:");
    base::log_line(base::LogLevel::kError, e.what());
  } catch (...) {
    base::log_line(base::LogLevel::kError, "a request failed by an unknown exception");
  }
}

// body(MountContext&, Reply&), as the daemon.
template <class Body>
void serve(fuse_req_t request, Body&& body) noexcept {
  Reply reply(request);
  MountContext& context = context_of(request);
  if (auto& identity = this_thread().identity) identity->resume_own();
  contain(reply, [&] { body(context, reply); });
}

// body(MountContext&, Reply&, mode_t, const fs::Caller&): what is created belongs to the caller (caller_identity.h).
template <class Body>
void serve_creation(fuse_req_t request, mode_t mode, Body&& body) noexcept {
  Reply reply(request);
  MountContext& context = context_of(request);
  const fs::Caller caller = to_caller(*fuse_req_ctx(request));
  auto& identity = this_thread().identity;
  if (!identity) identity.emplace();
  if (!identity->assume(caller)) return reply.error(base::Errno(EPERM));
  contain(reply, [&] { body(context, reply, identity->mode_for(mode, caller), caller); });
}

// Answers with a verb's failure, or with success and no value.
void answer(Reply& reply, const base::Status& status);
// Answers a verb that took a lookup count, and gives it back if the kernel is not there to take it.
void answer_entry(MountContext& context, Reply& reply, const base::Result<fs::Attr>& made);

// fuse_ops_names.cc
void op_lookup(fuse_req_t request, fuse_ino_t parent, const char* name);
void op_forget(fuse_req_t request, fuse_ino_t inode, std::uint64_t count);
void op_forget_multi(fuse_req_t request, std::size_t count, fuse_forget_data* forgets);
void op_mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode);
void op_mknod(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev);
void op_symlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name);
void op_link(fuse_req_t request, fuse_ino_t inode, fuse_ino_t parent, const char* name);
void op_unlink(fuse_req_t request, fuse_ino_t parent, const char* name);
void op_rmdir(fuse_req_t request, fuse_ino_t parent, const char* name);
void op_rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent, const char* new_name,
               unsigned flags);
void op_opendir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* file);
void op_readdir(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info* file);
void op_readdirplus(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info* file);
void op_releasedir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* file);
void op_fsyncdir(fuse_req_t request, fuse_ino_t inode, int data_only, fuse_file_info* file);

// fuse_ops_attributes.cc
void op_getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info* file);
void op_setattr(fuse_req_t request, fuse_ino_t inode, struct stat* attr, int to_set, fuse_file_info* file);
void op_readlink(fuse_req_t request, fuse_ino_t inode);
void op_statfs(fuse_req_t request, fuse_ino_t inode);
void op_getxattr(fuse_req_t request, fuse_ino_t inode, const char* name, std::size_t size);
void op_listxattr(fuse_req_t request, fuse_ino_t inode, std::size_t size);
void op_setxattr(fuse_req_t request, fuse_ino_t inode, const char* name, const char* value, std::size_t size,
                 int flags);
void op_removexattr(fuse_req_t request, fuse_ino_t inode, const char* name);

// fuse_ops_files.cc
void op_create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* file);
void op_open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* file);
void op_read(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info* file);
void op_write_buf(fuse_req_t request, fuse_ino_t inode, fuse_bufvec* data, off_t offset, fuse_file_info* file);
void op_flush(fuse_req_t request, fuse_ino_t inode, fuse_file_info* file);
void op_release(fuse_req_t request, fuse_ino_t inode, fuse_file_info* file);
void op_fsync(fuse_req_t request, fuse_ino_t inode, int data_only, fuse_file_info* file);
void op_fallocate(fuse_req_t request, fuse_ino_t inode, int mode, off_t offset, off_t length, fuse_file_info* file);
void op_lseek(fuse_req_t request, fuse_ino_t inode, off_t offset, int whence, fuse_file_info* file);
void op_copy_file_range(fuse_req_t request, fuse_ino_t from_inode, off_t from_offset, fuse_file_info* from,
                        fuse_ino_t to_inode, off_t to_offset, fuse_file_info* to, std::size_t length, int flags);

}  // namespace coffer::mount
