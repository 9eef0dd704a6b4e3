#include "fs/known_good.h"

#include <algorithm>
#include <vector>

#include "crypto/chunk_cipher.h"

namespace coffer::fs {
namespace {

// The file: magic, then records of six u64 (kind, dev, ino, birth, then ctime and length of a good state or the 16
// bytes of an explained place; of a pinned id just its 16 bytes, behind zeros), then the XXH3 of all before. Local disk
// is trusted (THREAT_MODEL.md); the sum is for accidents.
constexpr std::string_view kMagic("coffer-known-1\n\0", 16);
constexpr std::size_t kRecordSize = 48;
constexpr std::size_t kSumSize = 8;
constexpr std::size_t kFileMax = std::size_t{128} << 20;
constexpr std::uint64_t kGoodState = 1;
constexpr std::uint64_t kPlace = 2;
constexpr std::uint64_t kPinned = 3;

std::uint64_t sum_of(ByteView bytes) { return crypto::record_sum(crypto::ChunkIndex{0}, bytes); }

}  // namespace

KnownGood::State KnownGood::state_of(const base::sys::Stat& stat) {
  return {base::sys::nanoseconds(stat.ctime), stat.size};
}

bool KnownGood::contains(const base::sys::Stat& stat) const {
  base::MutexLock lock(mutex_);
  auto found = states_.find(BackingId::of(stat));
  return found != states_.end() && found->second == state_of(stat);
}

void KnownGood::insert_locked(const BackingId& id, const State& state) {
  if (states_.size() >= kStatesMax && states_.find(id) == states_.end()) states_.erase(states_.begin());
  states_[id] = state;
}

void KnownGood::insert(const base::sys::Stat& stat) {
  base::MutexLock lock(mutex_);
  insert_locked(BackingId::of(stat), state_of(stat));
}

void KnownGood::carry_over(const base::sys::Stat& before, const base::sys::Stat& after) {
  base::MutexLock lock(mutex_);
  auto found = states_.find(BackingId::of(before));
  if (found == states_.end() || found->second != state_of(before)) return;
  if (before.size == after.size && BackingId::of(before) == BackingId::of(after)) found->second = state_of(after);
}

void KnownGood::erase(const BackingId& id) {
  base::MutexLock lock(mutex_);
  states_.erase(id);
}

void KnownGood::explain_place(const BackingId& id, const crypto::DirId& place) {
  base::MutexLock lock(mutex_);
  if (places_.size() >= kStatesMax && places_.count({id, place}) == 0) places_.erase(places_.begin());
  places_.insert({id, place});
}

void KnownGood::forget_place(const BackingId& id, const crypto::DirId& place) {
  base::MutexLock lock(mutex_);
  places_.erase({id, place});
}

bool KnownGood::is_explained(const BackingId& id, const crypto::DirId& place) const {
  base::MutexLock lock(mutex_);
  return places_.count({id, place}) != 0;
}

void KnownGood::remember_pinned(const crypto::DirId& id) {
  base::MutexLock lock(mutex_);
  if (pinned_.size() >= kStatesMax && pinned_.count(id) == 0) pinned_.erase(pinned_.begin());
  pinned_.insert(id);
}

bool KnownGood::is_pinned(const crypto::DirId& id) const {
  base::MutexLock lock(mutex_);
  return pinned_.count(id) != 0;
}

void KnownGood::load(FdRef state, const char* file_name) {
  auto content = base::sys::read_file(state, file_name, kFileMax);
  if (!content) return;
  ByteView bytes(*content);
  if (bytes.size() < kMagic.size() + kSumSize || (bytes.size() - kMagic.size() - kSumSize) % kRecordSize != 0) return;
  ByteView body = bytes.first(bytes.size() - kSumSize);
  if (base::as_text(body.first(kMagic.size())) != kMagic) return;
  if (sum_of(body) != base::load_le<std::uint64_t>(bytes.data() + body.size())) return;
  base::MutexLock lock(mutex_);
  for (const base::Byte* at = body.data() + kMagic.size(); at < body.data() + body.size(); at += kRecordSize) {
    auto field = [&](int i) { return base::load_le<std::uint64_t>(at + 8 * i); };
    BackingId id{field(1), field(2), static_cast<std::int64_t>(field(3))};
    if (field(0) == kGoodState) insert_locked(id, {static_cast<std::int64_t>(field(4)), field(5)});
    crypto::DirId place;
    std::copy_n(at + 32, crypto::DirId::kSize, place.bytes.begin());
    if (field(0) == kPlace) places_.insert({id, place});
    if (field(0) == kPinned) pinned_.insert(place);
  }
}

Status KnownGood::save(FdRef state, const char* file_name) const {
  base::Bytes content(kMagic.begin(), kMagic.end());
  {
    base::MutexLock lock(mutex_);
    content.reserve(content.size() + (states_.size() + places_.size() + pinned_.size()) * kRecordSize + kSumSize);
    auto append = [&](std::uint64_t kind, const BackingId& id, std::uint64_t a, std::uint64_t b) {
      for (std::uint64_t field :
           {kind, std::uint64_t{id.dev}, std::uint64_t{id.ino}, static_cast<std::uint64_t>(id.birth_ns), a, b}) {
        content.resize(content.size() + 8);
        base::store_le(content.data() + content.size() - 8, field);
      }
    };
    for (const auto& [id, known] : states_) {
      append(kGoodState, id, static_cast<std::uint64_t>(known.ctime_ns), known.size);
    }
    auto append_id = [&](std::uint64_t kind, const BackingId& of, const crypto::DirId& id) {
      append(kind, of, base::load_le<std::uint64_t>(id.bytes.data()),
             base::load_le<std::uint64_t>(id.bytes.data() + 8));
    };
    for (const auto& [id, place] : places_) append_id(kPlace, id, place);
    for (const crypto::DirId& id : pinned_) append_id(kPinned, {}, id);
  }
  std::uint64_t sum = sum_of(content);
  content.resize(content.size() + kSumSize);
  base::store_le(content.data() + content.size() - kSumSize, sum);
  std::string temporary = std::string(file_name) + ".new";
  COFFER_ASSIGN_OR_RETURN(UniqueFd fd, base::sys::openat(state, temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
  COFFER_RETURN_IF_ERROR(base::sys::pwrite_full(fd, content, 0));
  COFFER_RETURN_IF_ERROR(base::sys::fdatasync(fd));
  return base::sys::renameat2(state, temporary.c_str(), state, file_name);
}

}  // namespace coffer::fs
