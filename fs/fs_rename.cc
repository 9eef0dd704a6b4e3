// Rename: within and across directories, over existing entries of any kind, exchanged, and of directories with their
// pins.
#include <algorithm>

#include "fs/filesystem_impl.h"

namespace coffer::fs {
namespace {

// Exclusive locks on the names of one or two directories, in the order of their inode numbers.
class TwoLocks {
 public:
  TwoLocks(const OpenedDir& a, const OpenedDir& b) NO_THREAD_SAFETY_ANALYSIS {
    first_ = &a.names();
    second_ = a.inode == b.inode ? nullptr : &b.names();
    if (second_ != nullptr && b.inode->id < a.inode->id) std::swap(first_, second_);
    first_->lock();
    if (second_ != nullptr) second_->lock();
  }
  ~TwoLocks() NO_THREAD_SAFETY_ANALYSIS {
    if (second_ != nullptr) second_->unlock();
    first_->unlock();
  }
  TwoLocks(const TwoLocks&) = delete;
  TwoLocks& operator=(const TwoLocks&) = delete;

 private:
  base::SharedMutex* first_;
  base::SharedMutex* second_;
};

}  // namespace

// One entry on its way to another name.
struct Filesystem::Impl::Move {
  const OpenedDir& from_dir;
  std::string_view from_name;
  FoundEntry from;
  const OpenedDir& to_dir;
  std::string_view to_name;
  EntryName to;  // where it will lie
  InodeRef inode;
  std::optional<PinMove> pin;
  bool arrived = false;  // lies at its new name, and everybody knows
};

Result<Filesystem::Impl::Move> Filesystem::Impl::plan_move(const OpenedDir& from_dir, std::string_view from_name,
                                                           const FoundEntry& from, const OpenedDir& to_dir,
                                                           std::string_view to_name, std::optional<PinMove> pin) {
  Move move{from_dir,
            from_name,
            from,
            to_dir,
            to_name,
            names_.encode(to_dir.ids->front(), from.kind, to_name),
            ref(from_dir, from, from_name, 0),
            std::move(pin)};
  write_headerless(move.inode);
  // Durable: what is renamed may be, and its old name goes.
  COFFER_RETURN_IF_ERROR(names_.write_side_file(to_dir.at(), move.to, true));
  if (!from.is_directory()) return move;
  if (!move.pin || move.pin->directory != move.inode) return Errno(EBUSY);  // another directory took the name meanwhile
  COFFER_RETURN_IF_ERROR(add_pin(*move.pin, names_.cipher().derived_id(from.under, from.name.full),
                                 names_.cipher().derived_id(to_dir.ids->front(), move.to.full)));
  return move;
}

// The entry lies at its new name: everything that knew the old one hears of it.
void Filesystem::Impl::move_done(Move& move) {
  move.arrived = true;
  settler_->disk_changed();
  if (move.pin) pin_done(*move.pin);
  if (move.from_dir.inode != move.to_dir.inode || move.from.name.entry != move.to.entry) {
    static_cast<void>(names_.remove_side_file(move.from_dir.at(), move.from.name));
  }
  const crypto::DirId left = place_hash(move.from, move.from_name);
  const crypto::DirId reached = names_.cipher().derived_id(move.to_dir.ids->front(), move.to.full);
  if (!move.from.is_directory()) known_good_.explain_place(move.inode->backing, reached);
  inodes_.move_place(*move.inode, *move.from_dir.inode, move.from_name,
                     Place{move.to_dir.inode, std::string(move.to_name), nullptr});
  if (!move.from.is_directory() && left != reached) known_good_.forget_place(move.inode->backing, left);
  if (auto after = backing_->stat(move.to_dir.at(), move.to.entry)) own_change(move.inode, move.from.stat, *after);
}

// All or nothing, as far as the disk lets us: where the entry lies when this returns, it is known to lie
// (Move::arrived).
Status Filesystem::Impl::rename_over(Move& move, const std::optional<FoundEntry>& target) {
  std::vector<PinFile> target_pins;
  UniqueFd target_fd;
  // A target of another kind lies under another entry name, so the rename does not replace it.
  const bool other_entry = target && target->name.entry != move.to.entry;
  const auto make_room = [&]() -> Status {
    if (!target) return base::ok();
    if (target->is_directory() != move.from.is_directory()) return Errno(target->is_directory() ? EISDIR : ENOTDIR);
    keep_orphan(move.to_dir, *target);
    if (!target->is_directory()) return base::ok();
    COFFER_ASSIGN_OR_RETURN(target_fd, backing_->open(move.to_dir.at(), target->name.entry, O_PATH | O_DIRECTORY));
    return clear_for_removal(target_fd, ref(move.to_dir, *target, move.to_name, 0), target_pins);
  };
  Status done = make_room();
  // Else a crash could leave the new name over content that never reached the disk, and the old content gone.
  if (done && target && !move.from.is_directory()) done = make_durable(move.from_dir, move.from);
  std::optional<std::uint64_t> replacing;
  if (done && other_entry && !target->is_directory()) done = list_replacement(move, *target, nullptr, replacing);
  if (done) done = backing_->rename(move.from_dir.at(), move.from.name.entry, move.to_dir.at(), move.to.entry, 0);
  bool moved = done.has_value();
  if (moved && other_entry) {
    done = target->is_directory() ? backing_->rmdir(move.to_dir.at(), target->name.entry)
                                  : backing_->unlink(move.to_dir.at(), target->name.entry);
    if (!done && done.error() == Errno(ENOENT)) done = base::ok();
    if (!done) {
      moved = !backing_->rename(move.to_dir.at(), move.to.entry, move.from_dir.at(), move.from.name.entry, 0);
    }
  }
  if (replacing) journal_->end(*replacing);
  if (!done) {
    for (const PinFile& pin : target_pins) static_cast<void>(write_pin(target_fd, pin));
    if (!moved && other_entry) static_cast<void>(names_.remove_side_file(move.to_dir.at(), move.to));
  } else if (target) {
    FoundEntry gone = *target;
    if (!other_entry) gone.name.full = gone.name.entry;  // the side file now belongs to what took its place
    entry_removed(move.to_dir, move.to_name, gone);
  }
  if (moved) move_done(move);
  return done;
}

Status Filesystem::Impl::make_durable(const OpenedDir& dir, const FoundEntry& entry) {
  if (InodeRef inode = inodes_.find(BackingId::of(entry.stat))) {
    if (auto file = inodes_.file_of(*inode); file && file->dirty()) return file->sync(true);
  }
  if (sys::nanoseconds(entry.stat.ctime) < file_context_.synced_before_ns) return base::ok();
  COFFER_ASSIGN_OR_RETURN(UniqueFd fd, backing_->open(dir.at(), entry.name.entry, O_RDONLY | O_NONBLOCK));
  return backing_->fdatasync(fd);
}

// A new file is known to the journal by its name; before it gets another one, it gets its header. If it cannot be
// written now it is renamed all the same: a crash before the next try leaves it incomplete, which it is.
void Filesystem::Impl::write_headerless(const InodeRef& inode) {
  auto file = inode->is_directory ? nullptr : inodes_.file_of(*inode);
  if (file && !file->has_header()) static_cast<void>(write_out(inode, file));
}

// A target of another kind is removed, or goes where the other came from, after the rename: after a crash between the
// two, it still has to.
Status Filesystem::Impl::list_replacement(const Move& move, const FoundEntry& target, const Move* back,
                                          std::optional<std::uint64_t>& sequence) {
  if (!journal_) return base::ok();
  std::string payload(sizeof(std::uint64_t), '\0');
  base::store_le<std::uint64_t>(reinterpret_cast<base::Byte*>(payload.data()),
                                back == nullptr ? 0 : back->to_dir.inode->backing.ino);
  payload += move.to.entry + '\0' + target.name.entry + '\0' + (back == nullptr ? std::string() : back->to.entry);
  const JournalFile comes{{}, move.from.stat.ino, sys::nanoseconds(move.from.stat.btime)};
  COFFER_ASSIGN_OR_RETURN(sequence, journal_->append(JournalKind::kReplace, comes, move.to_dir.inode->backing.ino,
                                                     target.stat.ino, base::as_bytes(payload), true));
  return journal_->flush(*sequence);
}

Status Filesystem::Impl::exchange(Move& one, Move& other) {
  Status done = base::ok();
  const bool in_place = one.to.entry == other.from.name.entry && other.to.entry == one.from.name.entry;
  if (in_place) {
    done = backing_->rename(one.from_dir.at(), one.from.name.entry, one.to_dir.at(), one.to.entry, RENAME_EXCHANGE);
  } else {
    // Different kinds lie under different entry names, so each goes to one that is free.
    std::optional<std::uint64_t> replacing;
    COFFER_RETURN_IF_ERROR(list_replacement(one, other.from, &other, replacing));
    done = backing_->rename(one.from_dir.at(), one.from.name.entry, one.to_dir.at(), one.to.entry, RENAME_NOREPLACE);
    if (done) {
      done = backing_->rename(other.from_dir.at(), other.from.name.entry, other.to_dir.at(), other.to.entry,
                              RENAME_NOREPLACE);
      if (!done &&
          !backing_->rename(one.to_dir.at(), one.to.entry, one.from_dir.at(), one.from.name.entry, RENAME_NOREPLACE)) {
        move_done(one);  // beside the other, which has the same name
      }
    }
    if (replacing) journal_->end(*replacing);
  }
  if (!done) return done;
  if (in_place) {  // both names are still in use, so are their side files
    one.from.name.full = one.from.name.entry;
    other.from.name.full = other.from.name.entry;
  }
  move_done(one);
  move_done(other);
  return base::ok();
}

// Directories that may move get their ids and descriptors ready before any lock is taken.
Result<std::optional<Filesystem::Impl::PinMove>> Filesystem::Impl::prepare_if_directory(const OpenedDir& dir,
                                                                                        std::string_view name) {
  InodeRef inode;
  {
    base::ReaderLock lock(dir.names());
    auto found = find_entry(dir, name);
    if (!found && found.error() == Errno(ENOENT)) return std::optional<PinMove>{};
    if (!found) return found.error();
    if (!found->is_directory()) return std::optional<PinMove>{};
    inode = ref(dir, *found, name, 0);
  }
  COFFER_ASSIGN_OR_RETURN(PinMove pin, prepare_pin(inode));
  return std::optional(std::move(pin));
}

Status Filesystem::Impl::rename(InodeId parent, std::string_view name, InodeId new_parent, std::string_view new_name,
                                unsigned flags) {
  COFFER_RETURN_IF_ERROR(check_writable());
  COFFER_RETURN_IF_ERROR(check_name(name));
  COFFER_RETURN_IF_ERROR(check_name(new_name));
  if (flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE) return Errno(EINVAL);
  COFFER_ASSIGN_OR_RETURN(OpenedDir from_dir, open_dir(parent));
  COFFER_ASSIGN_OR_RETURN(OpenedDir to_dir, open_dir(new_parent));
  COFFER_ASSIGN_OR_RETURN(std::optional<PinMove> from_pin, prepare_if_directory(from_dir, name));
  std::optional<PinMove> to_pin;
  if (flags == RENAME_EXCHANGE) {
    COFFER_ASSIGN_OR_RETURN(to_pin, prepare_if_directory(to_dir, new_name));
  }
  TwoLocks locks(from_dir, to_dir);
  COFFER_ASSIGN_OR_RETURN(FoundEntry from, find_entry(from_dir, name));
  std::optional<FoundEntry> target;
  auto present = find_entry(to_dir, new_name);
  if (present) target = *present;
  if (!present && present.error() != Errno(ENOENT)) return present.error();
  if (target && flags == RENAME_NOREPLACE) return Errno(EEXIST);
  if (!target && flags == RENAME_EXCHANGE) return Errno(ENOENT);
  // Two names of one file: nothing happens, says POSIX.
  if (target && BackingId::of(target->stat) == BackingId::of(from.stat)) return base::ok();
  if (target && flags == 0 && target->is_directory() != from.is_directory()) {
    return target->is_directory() ? Errno(EISDIR) : Errno(ENOTDIR);
  }

  const Moves::UnderWay moving(moves_);
  COFFER_ASSIGN_OR_RETURN(Move move, plan_move(from_dir, name, from, to_dir, new_name, std::move(from_pin)));
  if (flags == RENAME_EXCHANGE) {
    auto back = plan_move(to_dir, new_name, *target, from_dir, name, std::move(to_pin));
    Status done = back ? exchange(move, *back) : back.error();
    if (!move.arrived && move.pin) pin_undone(*move.pin);
    if (!done && back && back->pin) pin_undone(*back->pin);
    return done;
  }
  Status done = rename_over(move, target);
  if (move.arrived) return done;
  if (move.pin) pin_undone(*move.pin);
  if (!target) static_cast<void>(names_.remove_side_file(to_dir.at(), move.to));
  return done;
}

}  // namespace coffer::fs
