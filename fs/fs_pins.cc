// Pins: how a directory keeps its id when it moves. FORMAT.md section 6.
#include <algorithm>
#include <ctime>

#include "crypto/random.h"
#include "fs/filesystem_impl.h"

namespace coffer::fs {
namespace {

std::int64_t now_ns() {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  return sys::nanoseconds(now);
}

// Later than every pin there is, also when the clock has gone back.
std::int64_t next_time(const std::vector<PinFile>& pins) {
  std::int64_t time = now_ns();
  for (const PinFile& pin : pins) time = std::max(time, pin.pin.time_ns + 1);
  return time;
}

}  // namespace

Status Filesystem::Impl::write_pin(FdRef directory, const PinFile& pin) {
  COFFER_ASSIGN_OR_RETURN(UniqueFd fd, backing_->open(directory, pin.file_name, O_WRONLY | O_CREAT | O_EXCL, 0666));
  // The content only repeats the name, for clients that skip empty files.
  std::string content = pin.file_name + "\n";
  Status written = backing_->pwritev(fd, {{content.data(), content.size()}}, 0);
  if (!written) static_cast<void>(backing_->unlink(directory, pin.file_name));
  return written;
}

// A directory made where the id of the place belongs to one that moved away gets an id of its own.
Status Filesystem::Impl::pin_new_directory(const InodeRef& directory, FdRef fd, const crypto::DirId& derived) {
  PinFile pin;
  pin.pin = {crypto::random_id<crypto::DirId>(), derived, derived, now_ns()};
  pin.file_name = names_.cipher().pin_name(pin.pin);
  COFFER_RETURN_IF_ERROR(write_pin(fd, pin));
  known_good_.remember_pinned(pin.pin.id);
  directory->directory->set_ids_once({pin.pin.id, derived}, {pin});
  return base::ok();
}

Result<Filesystem::Impl::PinMove> Filesystem::Impl::prepare_pin(const InodeRef& directory) {
  PinMove move;
  move.directory = directory;
  COFFER_ASSIGN_OR_RETURN(move.fd, directory_fd(directory));
  COFFER_ASSIGN_OR_RETURN(move.ids, directory_ids_of(directory, FdRef(*move.fd)));
  COFFER_ASSIGN_OR_RETURN(move.stat, backing_->stat(FdRef(*move.fd)));
  if (move.ids->size() > 1) {
    COFFER_ASSIGN_OR_RETURN(move.carried, ids_in_use(FdRef(*move.fd), *move.ids));
    std::erase(move.carried, move.ids->front());
  }
  return move;
}

// Those of `ids` under which there are names or attributes, in their order. All names are looked at: rare, and whatever
// else was known of them may have changed.
Result<std::vector<crypto::DirId>> Filesystem::Impl::ids_in_use(FdRef fd, const std::vector<crypto::DirId>& ids) {
  std::unordered_set<crypto::DirId> seen;
  COFFER_ASSIGN_OR_RETURN(std::vector<sys::DirEntry> entries, backing_->list(fd));
  for (const sys::DirEntry& entry : entries) {
    if (crypto::looks_like_pin(entry.name)) continue;
    ReadEntry read = names_.decode(fd, ids, entry.name);
    if (read.what == EntryClass::kOurs) seen.insert(read.decoded.under);
  }
  auto attributes = backing_->listxattr(fd, ".");
  for (const std::string& stored : attributes ? *attributes : std::vector<std::string>{}) {
    if (!stored.starts_with(crypto::kXattrPrefix)) continue;
    auto sealed = backing_->getxattr(fd, ".", stored);
    for (const crypto::DirId& id : ids) {
      if (sealed && xattrs_.open(id.view(), stored, *sealed)) seen.insert(id);
    }
  }
  std::vector<crypto::DirId> used;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(used), [&](const auto& id) { return seen.count(id) != 0; });
  return used;
}

Status Filesystem::Impl::add_pin(PinMove& move, const crypto::DirId& from, const crypto::DirId& to) {
  move.from = from;
  move.to = to;
  // The oldest first, so that the first id stays the first.
  std::vector<crypto::DirId> ids(move.carried.rbegin(), move.carried.rend());
  ids.push_back(move.ids->front());
  std::int64_t time = next_time(move.directory->directory->pins());
  for (const crypto::DirId& id : ids) {
    PinFile pin;
    pin.pin = {id, from, to, time++};
    pin.file_name = names_.cipher().pin_name(pin.pin);
    Status written = write_pin(FdRef(*move.fd), pin);
    if (!written) {
      pin_undone(move);
      return written;
    }
    known_good_.remember_pinned(id);
    move.added.push_back(std::move(pin));
  }
  return base::ok();
}

// The directory has arrived: what the new pins say, older ones need not repeat.
void Filesystem::Impl::pin_done(PinMove& move) {
  std::vector<PinFile> kept;
  for (PinFile& pin : move.directory->directory->pins()) {
    const bool same_id = std::any_of(move.added.begin(), move.added.end(),
                                     [&](const PinFile& added) { return added.pin.id == pin.pin.id; });
    if (same_id && backing_->unlink(FdRef(*move.fd), pin.file_name)) continue;
    kept.push_back(std::move(pin));
  }
  kept.insert(kept.end(), move.added.begin(), move.added.end());
  std::vector<crypto::DirId> ids = fs::directory_ids(move.to, kept);
  move.directory->directory->set_ids(std::move(ids), std::move(kept));
  // Nobody changed the directory's content as people see it.
  const timespec times[2] = {{0, UTIME_OMIT}, move.stat.mtime};
  static_cast<void>(backing_->utimens(FdRef(*move.fd), ".", times));
}

void Filesystem::Impl::pin_undone(PinMove& move) {
  if (move.added.empty()) return;
  for (const PinFile& pin : move.added) {
    static_cast<void>(backing_->unlink(FdRef(*move.fd), pin.file_name));  // left behind it only repeats the id
  }
  const timespec times[2] = {{0, UTIME_OMIT}, move.stat.mtime};
  static_cast<void>(backing_->utimens(FdRef(*move.fd), ".", times));
}

}  // namespace coffer::fs
