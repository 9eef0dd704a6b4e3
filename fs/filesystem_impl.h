// The inside of Filesystem, shared by the fs_*.cc files that hold its verbs. Not for anybody else.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/mutex.h"
#include "crypto/xattr_cipher.h"
#include "fs/backing.h"
#include "fs/directory.h"
#include "fs/directory_fds.h"
#include "fs/events.h"
#include "fs/file_state.h"
#include "fs/filesystem.h"
#include "fs/inode_table.h"
#include "fs/known_good.h"
#include "fs/moves.h"
#include "fs/name_store.h"
#include "fs/recent_files.h"
#include "fs/settler.h"
#include "fs/vault_watch.h"

namespace coffer::fs {

struct OpenFile {
  InodeRef inode;
  std::shared_ptr<FileState> file;
  bool may_write = false;
};

struct OpenDirectory {
  InodeRef inode;
  SharedFd fd;
  base::Mutex mutex;
  std::vector<ShownEntry> entries GUARDED_BY(mutex);  // as of the last listing from the start
};

// Handles by number. Thread-safe; a leaf.
template <class T>
class HandleTable {
 public:
  HandleId insert(std::shared_ptr<T> object) {
    base::WriterLock lock(mutex_);
    HandleId id{next_++};
    objects_.emplace(id.value, std::move(object));
    return id;
  }
  std::shared_ptr<T> get(HandleId id) const {
    base::ReaderLock lock(mutex_);
    auto found = objects_.find(id.value);
    return found == objects_.end() ? nullptr : found->second;
  }
  std::shared_ptr<T> remove(HandleId id) {
    base::WriterLock lock(mutex_);
    auto found = objects_.find(id.value);
    if (found == objects_.end()) return nullptr;
    std::shared_ptr<T> object = std::move(found->second);
    objects_.erase(found);
    return object;
  }
  std::vector<std::shared_ptr<T>> all() const {
    base::ReaderLock lock(mutex_);
    std::vector<std::shared_ptr<T>> result;
    for (const auto& [id, object] : objects_) result.push_back(object);
    return result;
  }

 private:
  mutable base::SharedMutex mutex_;
  std::uint64_t next_ GUARDED_BY(mutex_) = 1;
  std::unordered_map<std::uint64_t, std::shared_ptr<T>> objects_ GUARDED_BY(mutex_);
};

// A directory made ready for work on its names.
struct OpenedDir {
  InodeRef inode;
  SharedFd fd;
  DirectoryIds ids;
  FdRef at() const { return FdRef(*fd); }
  base::SharedMutex& names() const { return inode->directory->names; }
};

// An entry of a directory as it lies on disk now.
struct FoundEntry {
  EntryName name;       // on disk, and full ciphertext name
  crypto::DirId under;  // id it is encrypted under
  crypto::Kind kind = crypto::Kind::kFileOrDirectory;
  bool odd = false;  // not where new names would put it
  sys::Stat stat;
  bool is_directory() const { return S_ISDIR(stat.mode); }
};

// Where an inode lies, ready for system calls.
struct Located {
  SharedFd dir;
  InodeRef parent;    // what holds the entry; nullptr: it has no name any more
  std::string entry;  // "." for the root; "": `dir` is the file itself, open
  sys::Stat stat;
  FdRef at() const { return FdRef(*dir); }
};

class Filesystem::Impl {
 public:
  Impl(FilesystemOptions options, std::unique_ptr<Backing> backing);
  ~Impl();
  Status start();

  // fs_names.cc
  Result<Attr> lookup(InodeId parent, std::string_view name);
  Result<Attr> mkdir(InodeId parent, std::string_view name, mode_t mode, const Caller& caller);
  Result<Attr> mknod(InodeId parent, std::string_view name, mode_t mode, dev_t rdev, const Caller& caller);
  Result<Attr> symlink(InodeId parent, std::string_view name, std::string_view target, const Caller& caller);
  Result<Attr> link(InodeId inode, InodeId parent, std::string_view name);
  Result<Created> create(InodeId parent, std::string_view name, mode_t mode, int flags, const Caller& caller);
  Status unlink(InodeId parent, std::string_view name);
  Status rmdir(InodeId parent, std::string_view name);
  // fs_rename.cc
  Status rename(InodeId parent, std::string_view name, InodeId new_parent, std::string_view new_name, unsigned flags);
  // fs_attrs.cc
  Result<Attr> getattr(InodeId inode);
  Result<Attr> setattr(InodeId inode, const AttrChange& change);
  Result<std::string> readlink(InodeId inode);
  Result<StatFs> statfs();
  // fs_xattrs.cc
  Result<base::Bytes> getxattr(InodeId inode, std::string_view name);
  Result<std::vector<std::string>> listxattr(InodeId inode);
  Status setxattr(InodeId inode, std::string_view name, ByteView value, int flags);
  Status removexattr(InodeId inode, std::string_view name);
  // fs_open.cc
  Result<Opened> open_file(InodeId inode, int flags, bool kill_suidgid);
  // fs_files.cc
  Result<std::size_t> read(HandleId handle, std::uint64_t offset, ByteSpan out);
  Result<std::size_t> write(HandleId handle, std::uint64_t offset, ByteView data, WriteFlags flags);
  Status flush(HandleId handle);
  void release(HandleId handle);
  Status fsync(HandleId handle, bool data_only);
  Status fallocate(HandleId handle, int mode, std::uint64_t offset, std::uint64_t length);
  Result<std::uint64_t> lseek(HandleId handle, std::uint64_t offset, int whence, bool may_wait);
  Result<std::size_t> copy_file_range(HandleId from, std::uint64_t from_offset, HandleId to, std::uint64_t to_offset,
                                      std::size_t length);
  // fs_lists.cc
  Result<Opened> open_directory(InodeId inode);
  Status list(HandleId handle, std::uint64_t offset, bool plus, const DirSink& sink);
  void release_directory(HandleId handle);
  Status fsync_directory(HandleId handle);
  // filesystem.cc
  Status sync();
  Status shutdown();
  FilesystemStatus status() const;
  Status sync_below();
  Status start_journal();

  FilesystemOptions options_;
  std::unique_ptr<Backing> backing_;
  Events events_;
  KnownGood known_good_;
  NameStore names_;
  InodeTable inodes_;
  Moves moves_;
  DirectoryFds directory_fds_;
  FileContext file_context_;
  bool clock_is_ours_ = false;        // that files below are dated with
  std::unique_ptr<Journal> journal_;  // nullptr: read-only, or nowhere to put it
  RecentFiles recent_files_;
  crypto::XattrCipher xattrs_;
  HandleTable<OpenFile> files_;
  HandleTable<OpenDirectory> directories_;
  SharedFd root_fd_;
  std::unique_ptr<Settler> settler_;
  std::unique_ptr<VaultWatch> watch_;  // nullptr: nobody tells us of changes
  std::string not_watched_because_;    // then
  std::atomic<bool> stopped_{false};
  // The last failure to write something out, and when.
  std::atomic<int> write_error_{0};
  std::atomic<Settler::Clock::time_point> write_error_at_{};
  const bool privileged_;

  // --- finding things: fs_locate.cc. Take no `names` lock; work with and without one held. ---------------------------
  // What `look` finds; looks again if it finds nothing while others rename or remove entries (fs/moves.h).
  template <class Look>
  auto while_moving(Look look) -> decltype(look()) {
    constexpr int kLooksMax = 1000;  // not for ever, if others rename without end what this is not about
    for (int looks = 1;; ++looks) {
      const std::uint64_t ended = moves_.ended();
      auto found = look();
      if (found || (found.error() != Errno(ESTALE) && found.error() != Errno(ENOENT))) return found;
      if (looks == kLooksMax || !moves_.wait(ended)) return found;
    }
  }
  Result<InodeRef> known(InodeId id);
  Result<SharedFd> directory_fd(const InodeRef& directory);
  Result<OpenedDir> open_dir(InodeId id);
  Result<OpenedDir> open_dir(const InodeRef& directory);
  Result<DirectoryIds> directory_ids_of(const InodeRef& directory, FdRef fd);
  Status read_directory_ids(const InodeRef& directory, FdRef fd);
  // The id that the place of `directory` gives it, and whether one is pinned.
  Result<crypto::DirId> derived_id_of(const InodeRef& directory);
  Result<EntryName> entry_of(const InodeRef& parent, const Place& place, crypto::Kind kind);
  // Verified against the inode's identity. Errors: ESTALE.
  Result<Located> locate(const InodeRef& inode);
  Result<Located> locate_now(const InodeRef& inode);  // without while_moving()
  // As locate(), but an open file is reached through its descriptor: fewer steps, and it need not have a name.
  Result<Located> reach(const InodeRef& inode);
  Result<Located> reach_now(const InodeRef& inode);
  // nullptr: no handle of the kernel's holds it open, or it is not a regular file.
  std::shared_ptr<FileState> held_file(const Inode& inode);
  // With dir.names() held. ENOENT if there is none.
  Result<FoundEntry> find_entry(const OpenedDir& dir, std::string_view name);
  InodeRef ref(const OpenedDir& dir, const FoundEntry& found, std::string_view name, std::uint64_t lookups);
  Result<Attr> attr_of(const InodeRef& inode, FdRef dir, const std::string& entry, const sys::Stat& stat);
  // With what the kernel may keep for how long; the directory was watched before `stat` was read.
  Result<Attr> attr_of(const InodeRef& inode, const Located& located);
  Result<Attr> attr_of(const InodeRef& inode, const OpenedDir& dir, const FoundEntry& found);
  // setattr() but for the size. Errors: ESTALE or ENOENT, also where the entry went in the middle of it.
  Result<Attr> change_reached(const InodeRef& inode, const AttrChange& change);
  Attr change_removed(const InodeRef& inode, Attr last, const AttrChange& change);
  std::uint64_t plain_size_of(std::uint64_t cipher_length) const;
  Status check_name(std::string_view name) const;
  Status check_writable() const;

  // --- what others change: fs_outside.cc -----------------------------------------------------------------------------
  void start_watch(const InodeRef& root);
  // Has the directory watched, if it can be.
  void watch(const InodeRef& directory, FdRef fd);
  // The same for an entry that is about to be told, if it is a directory; renews found.stat, since what is told must
  // have been read after that.
  void watch_child(const InodeRef& inode, const OpenedDir& dir, FoundEntry& found);
  // True: it was not watched before and is now.
  bool watch_itself(const InodeRef& directory);
  std::chrono::milliseconds name_trust(const Inode& directory) const;
  std::chrono::milliseconds absence_trust(InodeId directory);
  std::chrono::milliseconds attr_trust(const Inode& inode, const Inode& parent, const sys::Stat& stat);
  class Outside;                                        // what one report of changes comes to
  bool changed_outside(const OutsideChanges& changes);  // on the watch's thread; true: call again in a second
  std::vector<InodeRef> changed_in_use_;                // by that thread only: to be replaced once nobody writes

  // --- listing: fs_lists.cc ------------------------------------------------------------------------------------------
  Result<std::vector<ShownEntry>> read_names(const OpenedDir& dir) EXCLUDES(reported_mutex_);
  // False: the sink has no room.
  Result<bool> list_one(const OpenedDir& dir, const ShownEntry& entry, std::uint64_t next, bool plus,
                        const DirSink& sink);

  // --- modes (FORMAT.md section 8): fs_modes.cc ----------------------------------------------------------------------
  // What to create with below so that the owner keeps access; the same if nothing needs hiding.
  mode_t mode_below(mode_t mode, bool is_directory) const;
  // Sets the true permission bits of an entry.
  Status set_mode(const Inode& inode, FdRef dir, const std::string& entry, mode_t mode);
  Result<mode_t> true_mode(const Inode& inode, FdRef dir, const std::string& entry, const sys::Stat& stat);

  // --- attributes that are encrypted: fs_xattrs.cc -------------------------------------------------------------------
  using XattrOwner = crypto::Id<struct XattrOwnerTag>;
  // Whose attributes they are: a file's id, or all ids of a directory. New ones are sealed for the first.
  Result<std::vector<XattrOwner>> xattr_owners(const Inode& inode, FdRef dir, const std::string& entry);
  std::optional<crypto::Xattr> open_sealed(const std::vector<XattrOwner>& owners, const std::string& stored,
                                           ByteView sealed) const;
  Errno forged_attribute(const Inode& inode, const std::string& entry);  // reported; what to return
  Result<std::vector<std::string>> list_xattrs(const InodeRef& inode);
  Result<base::Bytes> get_sealed(const Inode& inode, FdRef dir, const std::string& entry, std::string_view name);
  Status set_sealed(const Inode& inode, FdRef dir, const std::string& entry, std::string_view name, ByteView value,
                    int flags);

  // --- open files: fs_open.cc, fs_files.cc ---------------------------------------------------------------------------
  // The open file of an inode, opening it if need be. `truncate`: its content is about to go.
  Result<std::shared_ptr<FileState>> file_state(const InodeRef& inode, bool write, bool truncate);
  Result<std::shared_ptr<FileState>> open_state(const InodeRef& inode, bool write, bool truncate);
  Result<std::shared_ptr<FileState>> open_located(const InodeRef& inode, bool write, bool truncate);
  Result<std::shared_ptr<FileState>> reopen_orphan(const InodeRef& inode, FdRef orphan, bool truncate);
  // Held from the first look at the ciphertext file until its FileState is known to everybody. One for many inodes.
  base::Mutex& opening(const Inode& inode) { return opening_[inode.id.value % opening_.size()]; }
  static Status fallocate(FileState& file, int mode, std::uint64_t offset, std::uint64_t length);
  Status fsync_side_files(const InodeRef& inode);
  // `verb`: FileState::write_out or apply.
  Status write_keeping_mode(FileState& file, Status (FileState::*verb)());
  Opened make_handle(const InodeRef& inode, std::shared_ptr<FileState> file, bool may_write);
  Status write_out(const InodeRef& inode, const std::shared_ptr<FileState>& file);
  // write_out(), and from the journal into the ciphertext files, with one flush for all. Failures are logged.
  void store(const std::vector<Settler::Unsaved>& files);
  Status apply(const InodeRef& inode, const std::shared_ptr<FileState>& file);
  void reached_file(const InodeRef& inode, const FileState& file);
  void note_write_error(Errno error);
  std::optional<Errno> recent_write_error() const;
  // For changes made without a handle: nobody will flush them.
  Status write_out_unless_held(const InodeRef& inode, const std::shared_ptr<FileState>& file);
  void settle(const InodeRef& inode);
  // Written out, and the header already says what settle() would make it say.
  bool is_settled(const InodeRef& inode, const FileState& file);
  Status kill_suidgid(const InodeRef& inode, const std::shared_ptr<FileState>& file);
  Result<HeaderFacts> facts_of(const InodeRef& inode, const sys::Stat& stat);
  // Does the header name the place where the file lies? Reported if not; EIO if strict.
  Status check_place(const InodeRef& inode, FileState& file) EXCLUDES(reported_mutex_);
  bool is_explained_elsewhere(const InodeRef& inode, const crypto::FileHeader& header);
  // The keyed hash by which local state remembers a place.
  Result<crypto::DirId> place_hash(const InodeRef& inode);
  crypto::DirId place_hash(const FoundEntry& entry, std::string_view name) const;
  // An own change to attributes or names moved the ctime: what we knew of the content stays known.
  void own_change(const InodeRef& inode, const sys::Stat& before, const sys::Stat& after, bool times_only = false);

  // --- making and removing entries: fs_names.cc ----------------------------------------------------------------------
  Result<FoundEntry> make_with_content(const OpenedDir& dir, std::string_view name, crypto::Kind kind, mode_t mode,
                                       std::uint64_t rdev, std::string_view content, const Caller& caller);
  Result<Created> create_new(const OpenedDir& dir, std::string_view name, mode_t mode, const Caller& caller);
  Errno other_kind(const std::string& entry);
  HeaderFacts new_facts(const OpenedDir& dir, std::string_view name, crypto::Kind kind, const sys::Stat& stat) const;
  // Before an entry goes: if it is the last name of a file that the kernel knows, a descriptor by which it can still
  // open it.
  void keep_orphan(const OpenedDir& dir, const FoundEntry& found);
  // The inode of an entry that just went: what its holders may still do.
  void entry_removed(const OpenedDir& dir, std::string_view name, const FoundEntry& found);
  // Pins, our side files and known litter of a directory that holds nothing else; ENOTEMPTY otherwise.
  Status clear_for_removal(FdRef directory, const InodeRef& inode, std::vector<PinFile>& removed_pins);

  // --- pins: fs_pins.cc ----------------------------------------------------------------------------------------------
  // Pins are how a directory keeps its id when it moves; FORMAT.md section 6.
  struct PinMove {
    InodeRef directory;
    SharedFd fd;
    DirectoryIds ids;
    crypto::DirId from;
    crypto::DirId to;
    std::vector<crypto::DirId> carried;  // beside the first id, those that something in it lies under
    std::vector<PinFile> added;          // the last is the first id's
    sys::Stat stat;
  };
  Result<PinMove> prepare_pin(const InodeRef& directory);  // before names locks are taken
  Result<std::vector<crypto::DirId>> ids_in_use(FdRef fd, const std::vector<crypto::DirId>& ids);
  Status add_pin(PinMove& move, const crypto::DirId& from, const crypto::DirId& to);
  void pin_done(PinMove& move);
  void pin_undone(PinMove& move);
  Status write_pin(FdRef directory, const PinFile& pin);
  Status pin_new_directory(const InodeRef& directory, FdRef fd, const crypto::DirId& derived);

  // --- renames: fs_rename.cc -----------------------------------------------------------------------------------------
  struct Move;
  Result<Move> plan_move(const OpenedDir& from_dir, std::string_view from_name, const FoundEntry& from,
                         const OpenedDir& to_dir, std::string_view to_name, std::optional<PinMove> pin);
  Result<std::optional<PinMove>> prepare_if_directory(const OpenedDir& dir, std::string_view name);
  Status rename_over(Move& move, const std::optional<FoundEntry>& target);
  Status exchange(Move& one, Move& other);
  // The content of a file has reached the disk.
  Status make_durable(const OpenedDir& dir, const FoundEntry& entry);
  void write_headerless(const InodeRef& inode);
  Status list_replacement(const Move& move, const FoundEntry& target, const Move* back,
                          std::optional<std::uint64_t>& sequence);
  void move_done(Move& move);

  std::array<base::Mutex, 256> opening_;
  base::Mutex reported_mutex_;
  std::unordered_set<BackingId, BackingIdHash> reported_moved_ GUARDED_BY(reported_mutex_);
  std::unordered_set<BackingId, BackingIdHash> reported_unreadable_ GUARDED_BY(reported_mutex_);
  std::unordered_set<std::string> reported_foreign_ GUARDED_BY(reported_mutex_);  // entries that are no file
};

}  // namespace coffer::fs
