#include "fs/journal_replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <climits>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "base/log.h"
#include "fs/replayed_file.h"
#include "fs/user_text.h"

namespace coffer::fs {
namespace {

using Entries = std::vector<JournalEntry>;

// Of opening a folder: gone meanwhile, none, or one in which we have never written.
bool is_not_ours(Errno error) {
  return error == Errno(ENOENT) || error == Errno(ENOTDIR) || error == Errno(ELOOP) || error == Errno(EACCES);
}

// Trouble of one file's, which is no reason to keep all others from being mounted; as opposed to what can be helped.
bool is_of_this_file(Errno error) {
  static constexpr std::array kOfAll{ENOSPC, EDQUOT, EROFS, ENOMEM, EMFILE, ENFILE};
  return std::find(kOfAll.begin(), kOfAll.end(), error.code()) == kOfAll.end();
}

// A kNew entry.
struct NewFile {
  crypto::FileId id;
  std::uint64_t directory = 0;
  std::int64_t since_ns = 0;
  base::Bytes header;
  std::string entry;
};

// A kReplace entry.
struct Replacement {
  JournalFile comes;
  std::uint64_t goes = 0;  // inode number
  std::uint64_t directory = 0;
  std::uint64_t goes_to = 0;  // directory; 0: it is removed
  std::string comes_as;
  std::string goes_from;
  std::string goes_as;
};

// Nothing that leads elsewhere, or that no file can be called: asking for it would be an error.
bool is_entry_name(std::string_view name) {
  return !name.empty() && name.size() <= NAME_MAX &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos && name != "." && name != "..";
}

std::optional<Replacement> parse_replacement(const JournalHead& head, ByteView payload) {
  if (payload.size() < sizeof(std::uint64_t)) return std::nullopt;
  Replacement one{head.file, head.b, head.a, base::load_le<std::uint64_t>(payload.data()), {}, {}, {}};
  const std::string_view names = base::as_text(payload.subspan(sizeof(std::uint64_t)));
  const std::size_t first = names.find('\0');
  const std::size_t second = first == std::string_view::npos ? first : names.find('\0', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  one.comes_as = names.substr(0, first);
  one.goes_from = names.substr(first + 1, second - first - 1);
  one.goes_as = names.substr(second + 1);
  if (!is_entry_name(one.comes_as) || !is_entry_name(one.goes_from)) return std::nullopt;
  if (one.goes_to != 0 && !is_entry_name(one.goes_as)) return std::nullopt;
  return one;
}

class Replay {
 public:
  Replay(FileContext& context, FdRef vault, FdRef state) : context_(context), vault_(vault), state_(state) {}

  Status run();

 private:
  Status read_segments();
  Status take(const JournalEntry& entry);
  Status search(FdRef directory, std::uint64_t inode);
  struct Opened {
    UniqueFd fd;
    sys::Stat stat;
  };
  Result<Opened> open_regular(FdRef directory, const std::string& entry);
  Status look_at(FdRef directory, const std::string& entry);
  Status replay(FdRef fd, const sys::Stat& stat, const crypto::FileId& id, const Entries& entries,
                const std::string& entry);
  Status finish_new(FdRef directory, const NewFile& made);
  Status finish_replacement(const Replacement& replacement);
  void set_aside(const std::string& what);
  Status keep_segments();

  FileContext& context_;
  const FdRef vault_;
  const FdRef state_;
  std::array<UniqueFd, kJournalSegments> segments_;
  std::map<JournalFile, Entries> files_;                                // not found yet
  std::unordered_map<std::uint64_t, std::vector<JournalFile>> wanted_;  // the same by inode number
  std::unordered_map<crypto::FileId, NewFile> new_files_;
  std::unordered_map<std::uint64_t, std::vector<crypto::FileId>> new_in_;  // by inode number of the directory
  std::vector<Replacement> replacements_;
  std::unordered_map<std::uint64_t, UniqueFd> directories_;  // of these, by inode number; invalid: not found
  std::unordered_set<crypto::FileId> gone_;
  bool set_aside_ = false;
  int completed_ = 0;
  int cut_ = 0;
  int emptied_ = 0;
};

Status Replay::run() {
  COFFER_RETURN_IF_ERROR(read_segments());
  if (files_.empty() && new_files_.empty() && replacements_.empty()) return base::ok();
  base::log(base::LogLevel::kInfo, "the last mount did not end cleanly: looking at {} files",
            files_.size() + new_files_.size());
  for (const auto& [file, entries] : files_) wanted_[file.ino].push_back(file);
  for (const auto& [id, made] : new_files_) new_in_[made.directory].push_back(id);
  for (const Replacement& one : replacements_) {
    directories_[one.directory];
    if (one.goes_to != 0) directories_[one.goes_to];
  }
  COFFER_ASSIGN_OR_RETURN(sys::Stat root, context_.backing.stat(vault_));
  COFFER_ASSIGN_OR_RETURN(UniqueFd top, context_.backing.open(vault_, ".", O_RDONLY | O_DIRECTORY));
  COFFER_RETURN_IF_ERROR(search(top, root.ino));
  for (const Replacement& one : replacements_) COFFER_RETURN_IF_ERROR(finish_replacement(one));
  COFFER_RETURN_IF_ERROR(context_.backing.syncfs(top));  // before the journal is begun anew
  for (const auto& [file, entries] : files_) {
    // One that was removed is found only if its removal did not reach the disk.
    if (gone_.count(file.id) != 0 || entries.empty() || entries.back().head.kind == JournalKind::kApplied) continue;
    set_aside(fmt::format("changes to a file that is not there any more (inode {})", file.ino));
  }
  if (completed_ + emptied_ + cut_ > 0) {
    base::log(base::LogLevel::kInfo, "{} files completed from the crash journal, {} cut back, {} new ones left empty",
              completed_, cut_, emptied_);
  }
  return set_aside_ ? keep_segments() : base::ok();
}

Status Replay::read_segments() {
  Entries all;
  for (int number = 0; number < kJournalSegments; ++number) {
    auto fd = context_.backing.open(state_, journal_segment_name(number), O_RDONLY);
    if (!fd && fd.error() == Errno(ENOENT)) continue;
    if (!fd) return fd.error();
    UniqueFd& segment = segments_[static_cast<std::size_t>(number)];
    segment = *std::move(fd);
    COFFER_ASSIGN_OR_RETURN(Entries entries, read_journal_segment(context_.backing, segment, number));
    all.insert(all.end(), entries.begin(), entries.end());
  }
  std::sort(all.begin(), all.end(),
            [](const JournalEntry& a, const JournalEntry& b) { return a.head.sequence < b.head.sequence; });
  for (const JournalEntry& entry : all) COFFER_RETURN_IF_ERROR(take(entry));
  return base::ok();
}

Status Replay::take(const JournalEntry& entry) {
  const JournalHead& head = entry.head;
  const auto payload = [&] {
    return read_journal_payload(context_.backing, segments_[static_cast<std::size_t>(entry.segment)], entry);
  };
  switch (head.kind) {
    case JournalKind::kReset:
      break;
    case JournalKind::kNew: {
      COFFER_ASSIGN_OR_RETURN(base::Bytes bytes, payload());
      if (bytes.size() < crypto::kHeaderSize) break;
      NewFile made{head.file.id, head.a, static_cast<std::int64_t>(head.b), {}, {}};
      made.entry = base::as_text(ByteView(bytes).subspan(crypto::kHeaderSize));
      if (made.directory == 0) {
        files_[head.file];  // found by its inode number
      } else if (!is_entry_name(made.entry)) {
        break;
      }
      bytes.resize(crypto::kHeaderSize);
      made.header = std::move(bytes);
      new_files_[made.id] = std::move(made);
      break;
    }
    case JournalKind::kReplace: {
      COFFER_ASSIGN_OR_RETURN(const base::Bytes bytes, payload());
      if (auto one = parse_replacement(head, bytes)) replacements_.push_back(*std::move(one));
      break;
    }
    case JournalKind::kGone:
      gone_.insert(head.file.id);
      if (head.file.ino == 0) new_files_.erase(head.file.id);  // never made
      break;
    case JournalKind::kBegin:
    case JournalKind::kWrite:
    case JournalKind::kTruncate:
    case JournalKind::kPunch:
    case JournalKind::kCommit:
    case JournalKind::kApplied:
      files_[head.file].push_back(entry);
      break;
  }
  return base::ok();
}

// Through the whole vault, by inode numbers: renames would make paths wrong.
Status Replay::search(FdRef directory, std::uint64_t inode) {
  COFFER_ASSIGN_OR_RETURN(const std::vector<sys::DirEntry> names, context_.backing.list(directory));
  for (const sys::DirEntry& name : names) {
    if (name.type == DT_DIR || name.type == DT_UNKNOWN) {
      auto child = context_.backing.open(directory, name.name, O_RDONLY | O_DIRECTORY);
      if (!child && !is_not_ours(child.error())) return child.error();
      if (child) COFFER_RETURN_IF_ERROR(search(*child, name.ino));
    }
    if (name.type == DT_REG || name.type == DT_UNKNOWN) {
      if (wanted_.count(name.ino) != 0) COFFER_RETURN_IF_ERROR(look_at(directory, name.name));
    }
  }
  if (auto made = new_in_.find(inode); made != new_in_.end()) {
    for (const crypto::FileId& id : made->second) COFFER_RETURN_IF_ERROR(finish_new(directory, new_files_.at(id)));
  }
  if (auto needed = directories_.find(inode); needed != directories_.end()) {
    COFFER_ASSIGN_OR_RETURN(needed->second, sys::dup(directory));
  }
  return base::ok();
}

// Not valid: there is no such file.
Result<Replay::Opened> Replay::open_regular(FdRef directory, const std::string& entry) {
  Opened opened;
  auto before = context_.backing.stat(directory, entry);
  if (!before && before.error() != Errno(ENOENT)) return before.error();
  if (!before || !S_ISREG(before->mode)) return opened;
  COFFER_ASSIGN_OR_RETURN(UniqueFd fd, context_.backing.open(directory, entry, O_RDWR | O_NONBLOCK));
  COFFER_ASSIGN_OR_RETURN(opened.stat, context_.backing.stat(fd));
  if (S_ISREG(opened.stat.mode)) opened.fd = std::move(fd);
  return opened;
}

Status Replay::look_at(FdRef directory, const std::string& entry) {
  COFFER_ASSIGN_OR_RETURN(const Opened found, open_regular(directory, entry));
  if (!found.fd.valid()) return base::ok();
  const sys::Stat& stat = found.stat;
  for (const JournalFile& file : wanted_[stat.ino]) {
    auto of_file = files_.find(file);
    if (of_file == files_.end() || file.birth_ns != sys::nanoseconds(stat.btime)) continue;
    const Entries entries = std::move(of_file->second);
    files_.erase(of_file);
    COFFER_RETURN_IF_ERROR(replay(found.fd, stat, file.id, entries, entry));
  }
  return base::ok();
}

Status Replay::replay(FdRef fd, const sys::Stat& stat, const crypto::FileId& id, const Entries& entries,
                      const std::string& entry) {
  const auto made = new_files_.find(id);
  ReplayedFile file(context_, fd, stat, id, entries, {segments_[0], segments_[1]},
                    made == new_files_.end() ? ByteView{} : ByteView(made->second.header));
  auto run = file.run();
  if (!run && !is_of_this_file(run.error())) return run.error();
  const ReplayedFile::Outcome outcome =
      run ? *run : ReplayedFile::Outcome{ReplayedFile::What::kSetAside, errno_text(run.error())};
  switch (outcome.what) {
    case ReplayedFile::What::kNothing:
      break;
    case ReplayedFile::What::kCompleted:
      ++completed_;
      break;
    case ReplayedFile::What::kCut:
      ++cut_;
      break;
    case ReplayedFile::What::kEmptied:
      ++emptied_;
      break;
    case ReplayedFile::What::kSetAside:
      set_aside(fmt::format("{}: {}", entry, outcome.why));
      break;
  }
  return base::ok();
}

Status Replay::finish_new(FdRef directory, const NewFile& made) {
  // The clock that files are dated with moves in steps of some milliseconds.
  constexpr std::int64_t kStep = 100'000'000;
  COFFER_ASSIGN_OR_RETURN(const Opened found, open_regular(directory, made.entry));
  if (!found.fd.valid()) return base::ok();
  const sys::Stat& stat = found.stat;
  // Older: not the one that we were about to make.
  if (sys::nanoseconds(stat.btime) < made.since_ns - kStep) return base::ok();
  const auto changed = files_.find({made.id, stat.ino, sys::nanoseconds(stat.btime)});
  if (changed != files_.end()) return base::ok();  // comes by its inode number, with all that is known
  return replay(found.fd, stat, made.id, {}, made.entry);
}

Status Replay::finish_replacement(const Replacement& one) {
  const UniqueFd& directory = directories_.at(one.directory);
  if (!directory.valid()) return base::ok();
  auto comes = context_.backing.stat(directory, one.comes_as);
  auto goes = context_.backing.stat(directory, one.goes_from);
  // Not begun, or finished.
  if (!comes || !goes || comes->ino != one.comes.ino || goes->ino != one.goes) return base::ok();
  if (sys::nanoseconds(comes->btime) != one.comes.birth_ns) return base::ok();
  if (one.goes_to != 0) {
    const UniqueFd& target = directories_.at(one.goes_to);
    if (!target.valid()) return base::ok();
    Status renamed = context_.backing.rename(directory, one.goes_from, target, one.goes_as, RENAME_NOREPLACE);
    return renamed || renamed.error() == Errno(EEXIST) ? base::ok() : renamed;
  }
  return S_ISDIR(goes->mode) ? base::ok() : context_.backing.unlink(directory, one.goes_from);
}

void Replay::set_aside(const std::string& what) {
  set_aside_ = true;
  context_.events.report(EventKind::kSetAside, what + "; not applied, kept in the local state folder");
}

Status Replay::keep_segments() {
  for (int number = 0; number < kJournalSegments; ++number) {
    if (!segments_[static_cast<std::size_t>(number)].valid()) continue;
    const std::string name = journal_segment_name(number);
    for (int copy = 1;; ++copy) {
      Status moved =
          context_.backing.rename(state_, name, state_, fmt::format("{}.aside-{}", name, copy), RENAME_NOREPLACE);
      if (moved) break;
      if (moved.error() != Errno(EEXIST)) return moved;
    }
  }
  return base::ok();
}

}  // namespace

Status replay_journal(FileContext& context, FdRef vault, FdRef state) { return Replay(context, vault, state).run(); }

}  // namespace coffer::fs
