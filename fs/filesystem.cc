// The life of a mounted vault: start, sync, shutdown, status; and the public face of the verbs.
#include "fs/filesystem.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/random.h"
#include "fs/filesystem_impl.h"
#include "fs/journal_replay.h"
#include "fs/user_text.h"

namespace coffer::fs {
namespace {

constexpr const char* kKnownFile = "known";

}  // namespace

Filesystem::Impl::Impl(FilesystemOptions options, std::unique_ptr<Backing> backing)
    : options_(std::move(options)),
      backing_(std::move(backing)),
      names_(*backing_, *options_.keys, options_.config.name_max),
      directory_fds_(options_.directory_fds_max),
      file_context_{*backing_,
                    *options_.keys,
                    options_.config,
                    events_,
                    known_good_,
                    crypto::random_id<crypto::WriterId>(),
                    options_.dirty_bytes_max},
      xattrs_(*options_.keys),
      privileged_(::geteuid() == 0) {}

Filesystem::Impl::~Impl() {
  Status stopped = shutdown();
  if (!stopped) {
    base::log(base::LogLevel::kError, "the vault was closed with unwritten data: {}", errno_text(stopped.error()));
  }
  inodes_.on_watched_gone({});
  directory_fds_.clear();
}

Status Filesystem::Impl::start() {
  COFFER_ASSIGN_OR_RETURN(sys::Stat stat, backing_->stat(options_.vault));
  InodeRef root = inodes_.make_root(BackingId::of(stat));
  COFFER_ASSIGN_OR_RETURN(UniqueFd fd, sys::dup(options_.vault));
  // Never evicted: the vault folder cannot be opened again by name.
  root_fd_ = std::make_shared<const UniqueFd>(std::move(fd));
  auto type = sys::filesystem_type(options_.vault);
  clock_is_ours_ = type && is_told_of_changes(*type);  // a network's are its server's
  if (options_.state.valid()) known_good_.load(options_.state, kKnownFile);
  COFFER_RETURN_IF_ERROR(start_journal());
  settler_ = std::make_unique<Settler>(inodes_,
                                       Settler::Work{
                                           [this](const InodeRef& inode) { settle(inode); },
                                           [this](const std::vector<Settler::Unsaved>& files) { store(files); },
                                           [this] {
                                             Status synced = sync_below();
                                             if (!synced) {
                                               base::log(base::LogLevel::kError, "the vault's disk: sync failed: {}",
                                                         errno_text(synced.error()));
                                             }
                                             return synced.has_value();
                                           },
                                       },
                                       options_.settles_by_hand);
  if (journal_) journal_->on_crowded([this] { settler_->hurry(); });
  start_watch(root);
  return base::ok();
}

// What a crash left half done is done first; else what comes now could make it impossible. Without a journal changes in
// place can be torn.
Status Filesystem::Impl::start_journal() {
  if (options_.read_only) return base::ok();
  if (options_.state.valid()) {
    Status replayed = replay_journal(file_context_, FdRef(*root_fd_), options_.state);
    if (!replayed) {
      base::log(base::LogLevel::kError,
                "what the last mount left in the crash journal cannot be completed (error {}); nothing was mounted, so "
                "that it can be tried again",
                replayed.error().code());
      return replayed;
    }
  }
  auto journal = options_.state.valid() ? Journal::open(*backing_, options_.state) : Errno(ENOENT);
  if (journal) {
    journal_ = *std::move(journal);
    file_context_.journal = journal_.get();
  } else {
    base::log(base::LogLevel::kWarning,
              "no crash journal (error {}): a crash can leave files unreadable that are being changed in place",
              journal.error().code());
  }
  return base::ok();
}

Status Filesystem::Impl::sync_below() {
  // syncfs needs a descriptor that is open for reading.
  COFFER_ASSIGN_OR_RETURN(UniqueFd fd, backing_->open(FdRef(*root_fd_), ".", O_RDONLY | O_DIRECTORY));
  const std::int64_t now = sys::nanoseconds(sys::file_clock());
  const std::uint64_t ended = journal_ ? journal_->ended_before() : 0;
  if (Status synced = backing_->syncfs(fd); !synced) {
    if (journal_) journal_->keep_all();
    return synced;
  }
  if (clock_is_ours_) file_context_.synced_before_ns = now;
  if (journal_) journal_->retire(ended);
  return base::ok();
}

Status Filesystem::Impl::sync() {
  Status first_error = base::ok();
  for (const auto& handle : files_.all()) {
    if (!handle->may_write) continue;
    Status written = apply(handle->inode, handle->file);
    if (!written && first_error) first_error = written;
  }
  for (const auto& file : settler_->drain()) {
    Status written = file->apply();
    if (!written && first_error) first_error = written;
  }
  if (!options_.read_only) {
    Status synced = sync_below();
    if (!synced && first_error) first_error = synced;
  }
  return first_error;
}

Status Filesystem::Impl::shutdown() {
  if (stopped_.exchange(true) || !settler_) return base::ok();
  file_context_.stopping = true;
  if (watch_) watch_->stop();
  // Before the rest is written: what its round could not finish waits for sync().
  settler_->stop();
  Status synced = sync();
  recent_files_.clear();
  if (options_.state.valid()) {
    Status saved = known_good_.save(options_.state, kKnownFile);
    if (!saved) {
      base::log(base::LogLevel::kWarning, "local state was not saved (error {}); the next mount checks files again",
                saved.error().code());
    }
  }
  return synced;
}

FilesystemStatus Filesystem::Impl::status() const {
  FilesystemStatus result;
  result.inodes_known = inodes_.size();
  result.files_open = files_.all().size();
  result.dirty_files = settler_ ? settler_->waiting() : 0;
  result.dirty_bytes = file_context_.dirty_bytes;
  if (result.dirty_files != 0) result.write_error = recent_write_error();
  result.integrity_events = events_.count(EventKind::kIntegrity);
  result.files_moved = events_.count(EventKind::kMoved);
  result.names_unreadable = events_.count(EventKind::kUnreadable);
  result.changes_set_aside = events_.count(EventKind::kSetAside);
  result.recent_events = events_.recent();
  result.watched = watch_ != nullptr;
  result.not_watched_because = not_watched_because_;
  result.directories_watched = watch_ ? watch_->directories() : 0;
  result.directories_refused = watch_ ? watch_->refused() : 0;
  return result;
}

Filesystem::Filesystem(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Filesystem::~Filesystem() = default;

Result<std::unique_ptr<Filesystem>> Filesystem::open(FilesystemOptions options) {
  return open(std::move(options), std::make_unique<Backing>());
}

Result<std::unique_ptr<Filesystem>> Filesystem::open(FilesystemOptions options, std::unique_ptr<Backing> backing) {
  auto impl = std::make_unique<Impl>(std::move(options), std::move(backing));
  COFFER_RETURN_IF_ERROR(impl->start());
  return std::unique_ptr<Filesystem>(new Filesystem(std::move(impl)));
}

void Filesystem::kernel_keeps_times() { impl_->file_context_.kernel_keeps_times = true; }
std::chrono::milliseconds Filesystem::absence_trust(InodeId parent) const { return impl_->absence_trust(parent); }

Result<Attr> Filesystem::lookup(InodeId parent, std::string_view name) { return impl_->lookup(parent, name); }
void Filesystem::forget(InodeId inode, std::uint64_t count) { impl_->inodes_.forget(inode, count); }
Result<Attr> Filesystem::mkdir(InodeId parent, std::string_view name, mode_t mode, const Caller& caller) {
  return impl_->mkdir(parent, name, mode, caller);
}
Result<Attr> Filesystem::mknod(InodeId parent, std::string_view name, mode_t mode, dev_t rdev, const Caller& caller) {
  return impl_->mknod(parent, name, mode, rdev, caller);
}
Result<Attr> Filesystem::symlink(InodeId parent, std::string_view name, std::string_view target, const Caller& caller) {
  return impl_->symlink(parent, name, target, caller);
}
Result<Attr> Filesystem::link(InodeId inode, InodeId parent, std::string_view name) {
  return impl_->link(inode, parent, name);
}
Result<Created> Filesystem::create(InodeId parent, std::string_view name, mode_t mode, int flags,
                                   const Caller& caller) {
  return impl_->create(parent, name, mode, flags, caller);
}
Status Filesystem::unlink(InodeId parent, std::string_view name) { return impl_->unlink(parent, name); }
Status Filesystem::rmdir(InodeId parent, std::string_view name) { return impl_->rmdir(parent, name); }
Status Filesystem::rename(InodeId parent, std::string_view name, InodeId new_parent, std::string_view new_name,
                          unsigned flags) {
  return impl_->rename(parent, name, new_parent, new_name, flags);
}
Result<Attr> Filesystem::getattr(InodeId inode) { return impl_->getattr(inode); }
Result<Attr> Filesystem::setattr(InodeId inode, const AttrChange& change) { return impl_->setattr(inode, change); }
Result<std::string> Filesystem::readlink(InodeId inode) { return impl_->readlink(inode); }
Result<base::Bytes> Filesystem::getxattr(InodeId inode, std::string_view name) { return impl_->getxattr(inode, name); }
Result<std::vector<std::string>> Filesystem::listxattr(InodeId inode) { return impl_->listxattr(inode); }
Status Filesystem::setxattr(InodeId inode, std::string_view name, ByteView value, int flags) {
  return impl_->setxattr(inode, name, value, flags);
}
Status Filesystem::removexattr(InodeId inode, std::string_view name) { return impl_->removexattr(inode, name); }
Result<StatFs> Filesystem::statfs() { return impl_->statfs(); }
Result<Opened> Filesystem::open_file(InodeId inode, int flags, bool kill_suidgid) {
  return impl_->open_file(inode, flags, kill_suidgid);
}
Result<std::size_t> Filesystem::read(HandleId handle, std::uint64_t offset, ByteSpan out) {
  return impl_->read(handle, offset, out);
}
Result<std::size_t> Filesystem::write(HandleId handle, std::uint64_t offset, ByteView data, WriteFlags flags) {
  return impl_->write(handle, offset, data, flags);
}
Status Filesystem::flush(HandleId handle) { return impl_->flush(handle); }
void Filesystem::release(HandleId handle) { impl_->release(handle); }
Status Filesystem::fsync(HandleId handle, bool data_only) { return impl_->fsync(handle, data_only); }
Status Filesystem::fallocate(HandleId handle, int mode, std::uint64_t offset, std::uint64_t length) {
  return impl_->fallocate(handle, mode, offset, length);
}
Result<std::uint64_t> Filesystem::lseek(HandleId handle, std::uint64_t offset, int whence, bool may_wait) {
  return impl_->lseek(handle, offset, whence, may_wait);
}
Result<std::size_t> Filesystem::copy_file_range(HandleId from, std::uint64_t from_offset, HandleId to,
                                                std::uint64_t to_offset, std::size_t length) {
  return impl_->copy_file_range(from, from_offset, to, to_offset, length);
}
Result<Opened> Filesystem::open_directory(InodeId inode) { return impl_->open_directory(inode); }
Status Filesystem::list(HandleId handle, std::uint64_t offset, bool plus, const DirSink& sink) {
  return impl_->list(handle, offset, plus, sink);
}
void Filesystem::release_directory(HandleId handle) { impl_->release_directory(handle); }
Status Filesystem::fsync_directory(HandleId handle) { return impl_->fsync_directory(handle); }
Status Filesystem::sync() { return impl_->sync(); }
void Filesystem::settle_by_hand(std::chrono::seconds later) { impl_->settler_->round(Settler::Clock::now() + later); }
Status Filesystem::shutdown() { return impl_->shutdown(); }
FilesystemStatus Filesystem::status() const { return impl_->status(); }

}  // namespace coffer::fs
