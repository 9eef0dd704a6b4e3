#include "tests/crash/disk_model.h"

#include <algorithm>
#include <limits>
#include <set>

namespace coffer::crash {
namespace {

using Kind = Operation::Kind;

bool is_flush(Kind kind) { return kind == Kind::kFsync || kind == Kind::kFdatasync || kind == Kind::kSyncfs; }
// Without it the data of a file cannot be read as it was.
bool is_for_data(Kind kind) {
  return kind == Kind::kWrite || kind == Kind::kTruncate || kind == Kind::kPunch || kind == Kind::kAllocate ||
         kind == Kind::kCreate;
}

// How far a log of metadata must have come, given the flushes; and until when the data of each node is there.
class Flushed {
 public:
  Flushed(const std::vector<Operation>& operations, std::size_t count, const Variant& variant) {
    for (std::size_t i = 0; i < count; ++i) {
      const Operation& operation = operations[i];
      const Reached& reached = operation.disk == Disk::kVault ? variant.vault : variant.state;
      if (operation.kind == Kind::kSyncfs) {
        for (Disk disk : {Disk::kVault, Disk::kState}) {
          if (variant.two_disks && disk != operation.disk) continue;
          all_until_[index(disk)] = i;
          raise(disk, i, variant);
        }
      } else if (is_flush(operation.kind)) {
        data_until_[operation.node] = i;
        const auto& touched = operation.kind == Kind::kFsync ? touched_ : touched_data_;
        auto last = touched.find(operation.node);
        const std::size_t needed = last == touched.end() ? 0 : last->second;
        // Nothing to commit is nothing committed.
        if (needed > floor_[index(operation.disk)]) raise(operation.disk, reached.commits_all ? i : needed, variant);
      } else {
        for (NodeId node : {operation.node, operation.other, operation.dir, operation.to_dir}) touched_[node] = i + 1;
        if (is_for_data(operation.kind)) touched_data_[operation.node] = i + 1;
      }
    }
  }
  std::size_t floor(Disk disk) const { return floor_[index(disk)]; }
  bool has_data(const Operation& operation, std::size_t at) const {
    auto own = data_until_.find(operation.node);
    return at < all_until_[index(operation.disk)] || (own != data_until_.end() && at < own->second);
  }

 private:
  static std::size_t index(Disk disk) { return static_cast<std::size_t>(disk); }
  void raise(Disk disk, std::size_t to, const Variant& variant) {
    for (Disk each : {Disk::kVault, Disk::kState}) {
      if (each == disk || !variant.two_disks) floor_[index(each)] = std::max(floor_[index(each)], to);
    }
  }
  std::size_t floor_[2] = {0, 0};
  std::size_t all_until_[2] = {0, 0};
  std::map<NodeId, std::size_t> data_until_, touched_, touched_data_;
};

// Plays operations on an image, those of them that reached the disk.
class Player {
 public:
  Player(Image image, std::uint64_t seed) : image_(std::move(image)), random_(seed) {}

  void metadata(const Operation& operation);
  // A write all of which is there.
  void write(const Operation& operation);
  // A write that nobody flushed. `committed`: its metadata may be on disk.
  void write_unflushed(const Operation& operation, const Reached& reached, bool committed);
  // A cut or a hole whose metadata is not on disk: what is written there from now on lies in other blocks.
  void detach(const Operation& operation);
  double chance() { return static_cast<double>(random_() >> 11) * 0x1p-53; }
  std::uint64_t random(std::uint64_t below) { return random_() % below; }
  Image finish();

 private:
  struct Range {
    std::uint64_t begin, end;
  };
  Node* node(NodeId id) {
    auto found = image_.find(id);
    return found == image_.end() ? nullptr : &found->second;
  }
  void enter(NodeId dir, const std::string& name, NodeId id) {
    if (Node* directory = node(dir)) directory->entries[name] = id;
  }
  void leave(NodeId dir, const std::string& name) {
    if (Node* directory = node(dir)) directory->entries.erase(name);
  }
  bool is_detached(NodeId id, std::uint64_t at) const;

  Image image_;
  std::mt19937_64 random_;
  std::set<NodeId> capped_;  // an extension was lost: sizes do not grow beyond it
  std::map<NodeId, std::vector<Range>> detached_;
};

void put(std::string& content, std::uint64_t at, std::string_view bytes) {
  if (content.size() < at + bytes.size()) content.resize(at + bytes.size(), '\0');
  content.replace(at, bytes.size(), bytes);
}

void Player::metadata(const Operation& operation) {
  switch (operation.kind) {
    case Kind::kCreate:
    case Kind::kMkdir:
      image_[operation.node] = {operation.disk, operation.kind == Kind::kMkdir, operation.mode, {}, {}, {}};
      enter(operation.dir, operation.name, operation.node);
      return;
    case Kind::kUnlink:
      leave(operation.dir, operation.name);
      return;
    case Kind::kLink:
      enter(operation.to_dir, operation.to_name, operation.node);
      return;
    case Kind::kRename:
      leave(operation.dir, operation.name);
      enter(operation.to_dir, operation.to_name, operation.node);
      return;
    case Kind::kExchange:
      enter(operation.dir, operation.name, operation.other);
      enter(operation.to_dir, operation.to_name, operation.node);
      return;
    default:
      break;
  }
  Node* at = node(operation.node);
  if (at == nullptr) return;
  std::string& content = at->content;
  if (operation.kind == Kind::kTruncate) content.resize(operation.length, '\0');
  if (operation.kind == Kind::kTruncate) capped_.erase(operation.node);
  if (operation.kind == Kind::kAllocate) content.resize(std::max(content.size(), operation.offset + operation.length));
  if (operation.kind == Kind::kPunch && operation.offset < content.size()) {
    const std::size_t size = std::min<std::size_t>(operation.length, content.size() - operation.offset);
    content.replace(operation.offset, size, size, '\0');
  }
  if (operation.kind == Kind::kChmod) at->mode = operation.mode;
  if (operation.kind == Kind::kSetXattr) at->xattrs[operation.to_name] = operation.bytes;
  if (operation.kind == Kind::kRemoveXattr) at->xattrs.erase(operation.to_name);
}

void Player::write(const Operation& operation) {
  if (Node* at = node(operation.node)) put(at->content, operation.offset, operation.bytes);
}

void Player::detach(const Operation& operation) {
  const std::uint64_t end = operation.offset + operation.length;
  if (operation.kind == Kind::kTruncate) {
    detached_[operation.node].push_back({operation.length, std::numeric_limits<std::uint64_t>::max()});
  } else if (operation.kind == Kind::kPunch) {
    detached_[operation.node].push_back({operation.offset, end});
  }
}

bool Player::is_detached(NodeId id, std::uint64_t at) const {
  auto found = detached_.find(id);
  if (found == detached_.end()) return false;
  return std::any_of(found->second.begin(), found->second.end(),
                     [&](const Range& range) { return range.begin <= at && at < range.end; });
}

void Player::write_unflushed(const Operation& operation, const Reached& reached, bool committed) {
  Node* at = node(operation.node);
  if (at == nullptr) return;
  std::string& content = at->content;
  const std::uint64_t begin = operation.offset;
  const std::uint64_t end = begin + operation.bytes.size();
  if (committed && reached.size_first && content.size() < end) content.resize(end, '\0');
  const std::uint64_t piece = reached.piece != 0 ? reached.piece : std::numeric_limits<std::uint64_t>::max() / 2;
  const bool tears = reached.piece != 0 && chance() < 0.7;  // else all or nothing, which independent pieces rarely are
  const bool whole_lost = chance() < reached.lost;
  for (std::uint64_t from = begin; from < end;) {
    const std::uint64_t to = std::min(end, (from / piece + 1) * piece);
    const bool lost = tears ? chance() < reached.lost : whole_lost;
    std::uint64_t until = to;
    if (to > content.size() && (!committed || capped_.count(operation.node) != 0 || lost)) {
      until = std::max<std::uint64_t>(from, content.size());
      if (committed) capped_.insert(operation.node);
    }
    if (!lost && !is_detached(operation.node, from) && until > from) {
      put(content, from, std::string_view(operation.bytes).substr(from - begin, until - from));
    }
    from = to;
  }
}

// Without what nothing leads to.
Image Player::finish() {
  Image result;
  std::vector<NodeId> reached{kVaultRoot, kStateRoot};
  while (!reached.empty()) {
    const NodeId id = reached.back();
    reached.pop_back();
    auto found = image_.find(id);
    if (found == image_.end() || result.count(id) != 0) continue;
    for (const auto& [name, entry] : found->second.entries) reached.push_back(entry);
    result.emplace(id, std::move(found->second));
  }
  return result;
}

// A process that is killed in the middle of a write leaves whole pages of its beginning.
Operation shortened(Operation operation, Player& player) {
  constexpr std::uint64_t kPage = 4096;
  const std::uint64_t first = kPage - operation.offset % kPage;
  if (operation.bytes.size() <= first) return operation;
  const std::uint64_t pages = 1 + (operation.bytes.size() - first - 1) / kPage;
  operation.bytes.resize(first + kPage * player.random(pages));
  return operation;
}

// On one disk or two of a kind.
Variant both(const char* name, const Reached& reached) { return {name, true, false, false, reached, reached}; }

}  // namespace

std::vector<Variant> variants() {
  using Metadata = Reached::Metadata;
  const Reached all;
  const Reached flushed{Metadata::kFlushed, 1, 0, false, false};
  return {
      {"kill", false, false, false, all, all},
      {"kill-in-write", false, true, false, all, all},
      both("flushed-only", flushed),
      both("no-data", {Metadata::kAll, 1, 0, false, true}),
      both("no-data-but-sizes", {Metadata::kAll, 1, 0, true, true}),
      {"vault-ahead", true, false, true, all, flushed},
      {"state-ahead", true, false, true, flushed, all},
      both("torn-512", {Metadata::kRandom, 0.5, 512, true, false}),
      both("torn-4096", {Metadata::kRandom, 0.5, 4096, false, true}),
      both("mostly-there", {Metadata::kAll, 0.1, 512, true, true}),
      both("mostly-lost", {Metadata::kRandom, 0.9, 4096, true, false}),
      {"two-disks",
       true,
       false,
       true,
       {Metadata::kRandom, 0.5, 512, true, false},
       {Metadata::kRandom, 0.5, 4096, false, false}},
      {"vault-ahead-torn",
       true,
       false,
       true,
       {Metadata::kAll, 0.5, 4096, false, true},
       {Metadata::kFlushed, 0.5, 512, true, false}},
  };
}

Image cut(const Image& before, const std::vector<Operation>& operations, std::size_t count, const Variant& variant,
          std::uint64_t seed) {
  Player player(before, seed);
  const Flushed flushed(operations, count, variant);
  std::size_t committed[2];
  for (Disk disk : {Disk::kVault, Disk::kState}) {
    const Reached& reached = disk == Disk::kVault ? variant.vault : variant.state;
    std::size_t& until = committed[static_cast<std::size_t>(disk)];
    until = flushed.floor(disk);
    if (reached.metadata == Reached::Metadata::kAll) until = count;
    if (reached.metadata == Reached::Metadata::kRandom) until += player.random(count - until + 1);
  }
  if (!variant.two_disks) committed[1] = committed[0];
  for (std::size_t i = 0; i < count; ++i) {
    const Operation& operation = operations[i];
    const bool in_log = i < committed[static_cast<std::size_t>(operation.disk)];
    if (is_flush(operation.kind)) continue;
    if (operation.kind != Kind::kWrite) {
      in_log ? player.metadata(operation) : player.detach(operation);
    } else if (!variant.power) {
      player.write(variant.short_write && i + 1 == count ? shortened(operation, player) : operation);
    } else if (flushed.has_data(operation, i)) {
      player.write(operation);
    } else {
      player.write_unflushed(operation, operation.disk == Disk::kVault ? variant.vault : variant.state, in_log);
    }
  }
  return player.finish();
}

}  // namespace coffer::crash
