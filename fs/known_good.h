// What this machine remembers of ciphertext files between mounts.
//
// States of ciphertext files whose content sum is known to be right, so that it need not be checked again at the next
// open: those that we wrote and those that we checked. A state is (device, inode, birth, ctime, length); any change
// from outside gives another. And the places that we gave a file without telling its header, and the directory ids that
// are pinned somewhere. Kept over mounts in local state; losing it costs checks and explanations, and may give a new
// directory the id of one that was renamed (FORMAT.md section 6).
#pragma once

#include <string>
#include <unordered_map>
#include <unordered_set>

#include "base/mutex.h"
#include "base/sys.h"
#include "crypto/types.h"
#include "fs/inode_table.h"
#include "fs/types.h"

namespace coffer::fs {

// Thread-safe; a leaf in the lock order.
class KnownGood {
 public:
  bool contains(const base::sys::Stat& stat) const EXCLUDES(mutex_);
  void insert(const base::sys::Stat& stat) EXCLUDES(mutex_);
  // After a change of ours that moved the ctime but no content: what was good stays good.
  void carry_over(const base::sys::Stat& before, const base::sys::Stat& after) EXCLUDES(mutex_);
  void erase(const BackingId& id) EXCLUDES(mutex_);

  // We moved or linked this file to a place that its header need not name: no reason to report it there. `place` is the
  // keyed hash of its parent's id and its ciphertext name. A file with several links has several.
  void explain_place(const BackingId& id, const crypto::DirId& place) EXCLUDES(mutex_);
  // It is there no more, by our own doing.
  void forget_place(const BackingId& id, const crypto::DirId& place) EXCLUDES(mutex_);
  bool is_explained(const BackingId& id, const crypto::DirId& place) const EXCLUDES(mutex_);

  // An id that a directory keeps by a pin, wherever that is now: none for a directory made where it comes from.
  void remember_pinned(const crypto::DirId& id) EXCLUDES(mutex_);
  bool is_pinned(const crypto::DirId& id) const EXCLUDES(mutex_);

  // From and to `file_name` in the local state folder. A missing or damaged file is an empty memory; saving writes a
  // new file and renames it.
  void load(FdRef state, const char* file_name) EXCLUDES(mutex_);
  Status save(FdRef state, const char* file_name) const EXCLUDES(mutex_);

 private:
  struct State {
    std::int64_t ctime_ns = 0;
    std::uint64_t size = 0;
    friend bool operator==(const State&, const State&) = default;
  };
  struct ExplainedPlace {
    BackingId id;
    crypto::DirId place;
    friend bool operator==(const ExplainedPlace&, const ExplainedPlace&) = default;
  };
  struct ExplainedPlaceHash {
    std::size_t operator()(const ExplainedPlace& e) const noexcept {
      return BackingIdHash()(e.id) ^ std::hash<crypto::DirId>()(e.place);
    }
  };
  static State state_of(const base::sys::Stat& stat);
  void insert_locked(const BackingId& id, const State& state) REQUIRES(mutex_);

  // About 100 bytes each; past the limit an arbitrary one goes, which costs a check.
  static constexpr std::size_t kStatesMax = 1 << 20;

  mutable base::Mutex mutex_;
  std::unordered_map<BackingId, State, BackingIdHash> states_ GUARDED_BY(mutex_);
  std::unordered_set<ExplainedPlace, ExplainedPlaceHash> places_ GUARDED_BY(mutex_);
  std::unordered_set<crypto::DirId> pinned_ GUARDED_BY(mutex_);
};

}  // namespace coffer::fs
