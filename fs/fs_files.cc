// Open files: content, flush and the header's last word.
#include <fmt/format.h>
#include <linux/falloc.h>

#include <algorithm>

#include "base/log.h"
#include "fs/filesystem_impl.h"
#include "fs/user_text.h"

namespace coffer::fs {
namespace {

// At most so much is copied per copy_file_range request; the kernel comes again for the rest.
constexpr std::size_t kCopyMax = 4 << 20;
// What could not be written is tried again each second (Settler): an older failure is over.
constexpr auto kWriteErrorFor = std::chrono::seconds(4);

}  // namespace

void Filesystem::Impl::own_change(const InodeRef& inode, const sys::Stat& before, const sys::Stat& after,
                                  bool times_only) {
  known_good_.carry_over(before, after);
  if (inodes_.is_cached(*inode, before)) inodes_.set_cached(*inode, after);
  if (auto file = inodes_.file_of(*inode)) file->note_own_change(after, times_only);
  settler_->disk_changed();
}

Result<std::size_t> Filesystem::Impl::read(HandleId id, std::uint64_t offset, ByteSpan out) {
  auto handle = files_.get(id);
  if (!handle) return Errno(EBADF);
  return handle->file->read(offset, out);
}

Result<std::size_t> Filesystem::Impl::write(HandleId id, std::uint64_t offset, ByteView data, WriteFlags flags) {
  auto handle = files_.get(id);
  if (!handle || !handle->may_write) return Errno(EBADF);
  if (journal_) journal_->wait_for_room();
  Status written = handle->file->write(offset, data, flags.from_page_cache);
  if (!written && written.error() == Errno(ENOSPC) && journal_ && journal_->is_crowded()) {
    // The journal's disk was full, not the vault's: once what it holds is in the files there may be room.
    journal_->wait_for_room();
    written = handle->file->write(offset, data, flags.from_page_cache);
  }
  settler_->file_changed(handle->inode, handle->file);
  COFFER_RETURN_IF_ERROR(written);
  if (flags.kill_suidgid) COFFER_RETURN_IF_ERROR(kill_suidgid(handle->inode, handle->file));
  return data.size();
}

Status Filesystem::Impl::write_out(const InodeRef& inode, const std::shared_ptr<FileState>& file) {
  if (!file->is_unwritten()) return base::ok();
  const Status written = write_keeping_mode(*file, &FileState::write_out);
  if (!written && !file->lost()) note_write_error(written.error());
  COFFER_RETURN_IF_ERROR(written);
  if (file->dirty()) {
    settler_->file_changed(inode, file);  // in the journal, to be applied
  } else {
    reached_file(inode, *file);
    settler_->disk_changed();
  }
  return base::ok();
}

Status Filesystem::Impl::apply(const InodeRef& inode, const std::shared_ptr<FileState>& file) {
  if (!file->dirty()) return base::ok();
  const Status applied = write_keeping_mode(*file, &FileState::apply);
  if (!applied && file->lost()) settler_->journal_applied();  // given up: the journal may forget it
  if (!applied && !file->lost()) note_write_error(applied.error());
  COFFER_RETURN_IF_ERROR(applied);
  reached_file(inode, *file);
  settler_->journal_applied();
  return base::ok();
}

void Filesystem::Impl::store(const std::vector<Settler::Unsaved>& files) {
  const auto told = [](const FileState& file, const Status& done) {
    // Who wrote it has been told by flush, or, if the journal took it, need not be: it is tried again.
    if (!done && !file.lost()) {
      base::log(base::LogLevel::kWarning, "{}: not written yet: {}", file.label(), errno_text(done.error()));
    }
    return done.has_value();
  };
  std::vector<const Settler::Unsaved*> written;
  const bool crowded = journal_ && journal_->is_crowded();
  for (const Settler::Unsaved& entry : files) {
    if (!told(*entry.file, write_out(entry.inode, entry.file))) continue;
    // What is being copied in would have to reach the disk before its header, and its writers would wait for that.
    if (entry.file->is_streaming() && !crowded) continue;
    written.push_back(&entry);
  }
  // One flush, so that the files' own find everything durable. Its failure is theirs, too.
  if (journal_ && !written.empty()) static_cast<void>(journal_->flush_all());
  for (const Settler::Unsaved* entry : written) told(*entry->file, apply(entry->inode, entry->file));
}

void Filesystem::Impl::reached_file(const InodeRef& inode, const FileState& file) {
  const sys::Stat stat = file.disk_stat();
  inodes_.set_cached(*inode, stat);
  if (is_settled(inode, file)) inodes_.set_settled(*inode, stat);
  settler_->content_written(inode);
}

void Filesystem::Impl::note_write_error(Errno error) {
  write_error_ = error.code();
  write_error_at_ = Settler::Clock::now();
}

std::optional<Errno> Filesystem::Impl::recent_write_error() const {
  const int error = write_error_;
  if (error == 0 || Settler::Clock::now() - write_error_at_.load() > kWriteErrorFor) return std::nullopt;
  return Errno(error);
}

Status Filesystem::Impl::write_out_unless_held(const InodeRef& inode, const std::shared_ptr<FileState>& file) {
  if (file->writers > 0) return base::ok();  // the last of them writes it out; who only reads never does
  const Status written = write_out(inode, file);
  if (file->dirty()) settler_->keep_unsaved(inode, file);
  return written;
}

bool Filesystem::Impl::is_settled(const InodeRef& inode, const FileState& file) {
  const Place place = inodes_.place_of(*inode);
  if (!place.parent || place.odd) return false;
  const DirectoryIds ids = place.parent->directory->ids();
  return ids && file.is_settled_at(ids->front(), place.name);
}

// A write by somebody without CAP_FSETID clears suid and sgid below; when they are to go, we are told (kill_suidgid).
Status Filesystem::Impl::write_keeping_mode(FileState& file, Status (FileState::*verb)()) {
  if (privileged_) return (file.*verb)();
  COFFER_ASSIGN_OR_RETURN(sys::Stat before, backing_->stat(file.fd()));
  COFFER_RETURN_IF_ERROR((file.*verb)());
  if ((before.mode & (S_ISUID | S_ISGID)) == 0) return base::ok();
  COFFER_RETURN_IF_ERROR(backing_->chmod(file.fd(), before.mode & 07777));
  COFFER_ASSIGN_OR_RETURN(sys::Stat after, backing_->stat(file.fd()));
  known_good_.insert(after);
  file.note_own_change(after);
  return base::ok();
}

Status Filesystem::Impl::flush(HandleId id) {
  auto handle = files_.get(id);
  if (!handle) return Errno(EBADF);
  if (!handle->may_write) return base::ok();
  return write_out(handle->inode, handle->file);
}

void Filesystem::Impl::release(HandleId id) {
  auto handle = files_.remove(id);
  if (!handle) return;
  --handle->file->handles;
  if (!handle->may_write) return;
  --handle->file->writers;
  Status written = write_out(handle->inode, handle->file);
  if (handle->file->lost()) return;  // that was reported when it happened
  if (written) {
    if (!inodes_.removed_attr(*handle->inode)) recent_files_.keep(handle->file);
    if (!handle->file->dirty()) return;
    settler_->keep_unsaved(handle->inode, handle->file);  // in the journal
    if (settler_->keeps_many()) settler_->store_unsaved();
    return;
  }
  events_.report(EventKind::kWriteError, fmt::format("{}: not written yet ({}); kept in memory and tried again",
                                                     handle->file->label(), errno_text(written.error())));
  settler_->keep_unsaved(handle->inode, handle->file);
}

Status Filesystem::Impl::fsync(HandleId id, bool data_only) {
  auto handle = files_.get(id);
  if (!handle) return Errno(EBADF);
  COFFER_RETURN_IF_ERROR(write_out(handle->inode, handle->file));
  COFFER_RETURN_IF_ERROR(handle->file->sync(data_only));
  return while_moving([&] { return fsync_side_files(handle->inode); });
}

// A long name is durable only with its side file.
Status Filesystem::Impl::fsync_side_files(const InodeRef& inode) {
  for (const Place& place : inodes_.places_of(*inode)) {
    if (!place.parent || place.odd) continue;
    COFFER_ASSIGN_OR_RETURN(EntryName name, entry_of(place.parent, place, inode->kind));
    if (!name.is_long()) continue;
    COFFER_ASSIGN_OR_RETURN(SharedFd dir, directory_fd(place.parent));
    COFFER_ASSIGN_OR_RETURN(
        UniqueFd side,
        backing_->open(FdRef(*dir), name.entry + std::string(crypto::kSideFileSuffix), O_RDONLY | O_NONBLOCK));
    COFFER_RETURN_IF_ERROR(backing_->fsync(side));
  }
  return base::ok();
}

Status Filesystem::Impl::fallocate(HandleId id, int mode, std::uint64_t offset, std::uint64_t length) {
  auto handle = files_.get(id);
  if (!handle || !handle->may_write) return Errno(EBADF);
  if (length == 0) return Errno(EINVAL);
  if (offset > crypto::kMaxPlainSize || length > crypto::kMaxPlainSize - offset) return Errno(EFBIG);
  const Status done = fallocate(*handle->file, mode, offset, length);
  settler_->file_changed(handle->inode, handle->file);
  return done;
}

Status Filesystem::Impl::fallocate(FileState& file, int mode, std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t end = offset + length;
  switch (mode) {
    case 0:
      return file.allocate(offset, length, false);
    case FALLOC_FL_KEEP_SIZE:
      return file.allocate(offset, length, true);
    case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
      return file.punch(offset, length);
    case FALLOC_FL_ZERO_RANGE:
      if (end > file.size()) COFFER_RETURN_IF_ERROR(file.truncate(end));
      return file.punch(offset, length);
    case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
      return file.punch(offset, length);
    default:
      return Errno(EOPNOTSUPP);
  }
}

Result<std::uint64_t> Filesystem::Impl::lseek(HandleId id, std::uint64_t offset, int whence, bool may_wait) {
  auto handle = files_.get(id);
  if (!handle) return Errno(EBADF);
  FileState& file = *handle->file;
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return Errno(EINVAL);
  if (file.writers > 0) {
    // The kernel may hold pages that we have not seen: a hole may be data, the end further away. Dropping them makes it
    // write them back first (invalidate_inode_pages2), and it holds off writers while it waits for our answer.
    if (options_.hooks.drop_inode) {
      if (!may_wait) return Errno(ENOSYS);
      options_.hooks.drop_inode(handle->inode->id);
    } else {
      if (offset >= file.size()) return Errno(ENXIO);
      return whence == SEEK_DATA ? offset : file.size();
    }
  }
  return file.seek(offset, whence);
}

Result<std::size_t> Filesystem::Impl::copy_file_range(HandleId from, std::uint64_t from_offset, HandleId to,
                                                      std::uint64_t to_offset, std::size_t length) {
  auto source = files_.get(from);
  auto target = files_.get(to);
  if (!source || !target || !target->may_write) return Errno(EBADF);
  base::Bytes buffer(std::min(length, kCopyMax));
  COFFER_ASSIGN_OR_RETURN(std::size_t size, source->file->read(from_offset, buffer));
  if (size == 0) return size;
  if (journal_) journal_->wait_for_room();
  const Status written = target->file->write(to_offset, ByteView(buffer).first(size), false);
  settler_->file_changed(target->inode, target->file);
  COFFER_RETURN_IF_ERROR(written);
  return size;
}

// Ten seconds after the last change of content: the header learns what the file is called and looks like now.
void Filesystem::Impl::settle(const InodeRef& inode) {
  auto open = inodes_.file_of(*inode);
  if (open) recent_files_.drop(open);
  if (inodes_.is_replaced(*inode)) return;  // the file is another's work now
  if (open && open->dirty()) return;        // comes again when that is written out
  auto located = locate(inode);
  if (!located) return;                                   // gone meanwhile
  if (inodes_.is_settled(*inode, located->stat)) return;  // nothing has changed since its header was written
  auto facts = facts_of(inode, located->stat);
  if (!facts) return;
  auto file = file_state(inode, true, false);
  if (!file) return;
  // Changed by somebody else since we wrote it: not a header of ours to vouch for.
  if (!(*file)->confirm()) return;
  const crypto::FileHeader before = (*file)->header();
  if (located->stat.nlink > 1 && (before.parent != facts->parent || before.name != facts->name)) {
    // From now on the header names another of its links; the one that it named so far stays ours.
    FoundEntry named;
    named.kind = before.kind;
    named.under = before.parent;
    known_good_.explain_place(inode->backing, place_hash(named, before.name));
  }
  (*file)->update_facts(*facts);
  if (!(*file)->dirty()) return;
  Status written = write_keeping_mode(**file, &FileState::write_out);
  if (!written) {
    events_.report(EventKind::kWriteError,
                   fmt::format("{}: header not brought up to date ({})", located->entry, written.error().code()));
    settler_->file_changed(inode, *file);  // tried again while somebody holds it open
    return;
  }
  if ((*file)->dirty()) {
    settler_->keep_unsaved(inode, *file);
    return;
  }
  inodes_.set_cached(*inode, (*file)->disk_stat());
  settler_->disk_changed();
}

}  // namespace coffer::fs
