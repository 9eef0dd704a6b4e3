// What is known of one directory beyond its entry: the ids its names are encrypted under, its pins, and entries that do
// not lie under their computed name. FORMAT.md section 6.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "crypto/name_cipher.h"
#include "fs/name_store.h"

namespace coffer::fs {

struct PinFile {
  std::string file_name;
  crypto::Pin pin;
};

using DirectoryIds = std::shared_ptr<const std::vector<crypto::DirId>>;

class Directory {
 public:
  // Shared by whoever looks names up or lists, exclusive for whoever changes them. All kinds of one name are one name
  // under this lock. Order between directories: by inode number (docs/LOCKING.md). What follows has a leaf lock of its
  // own.
  base::SharedMutex names;

  // Is the kernel of this machine telling us what others change in it? (fs/vault_watch.h)
  enum class Watch : unsigned char { kNotYet, kWatched, kRefused };
  std::atomic<Watch> watch{Watch::kNotYet};
  std::string watch_handle;  // written by VaultWatch before kWatched, constant after

  // nullptr until known. Never empty; the first is the one new names use.
  DirectoryIds ids() const EXCLUDES(mutex_);
  std::vector<PinFile> pins() const EXCLUDES(mutex_);
  // The first to say counts: a reader of the folder must not undo what a rename did meanwhile.
  void set_ids_once(std::vector<crypto::DirId> ids, std::vector<PinFile> pins) EXCLUDES(mutex_);
  void set_ids(std::vector<crypto::DirId> ids, std::vector<PinFile> pins) EXCLUDES(mutex_);

  // Entries shown under a name that is not theirs: conflict copies and names of several kinds or ids. Refreshed at each
  // listing.
  std::optional<DecodedEntry> find_odd(const std::string& shown) const EXCLUDES(mutex_);
  bool has_odd() const { return has_odd_.load(std::memory_order_acquire); }
  std::map<std::string, DecodedEntry> odd() const EXCLUDES(mutex_);

  // Whoever reads the folder takes the generation first. What it read is not kept if somebody else changed the folder
  // meanwhile (forget()); for ids and pins the first to say counts, as with set_ids_once().
  std::uint64_t generation() const EXCLUDES(mutex_);
  void set_read(std::uint64_t generation, std::vector<crypto::DirId> ids, std::vector<PinFile> pins,
                std::map<std::string, DecodedEntry> odd) EXCLUDES(mutex_);
  void set_odd(std::uint64_t generation, std::map<std::string, DecodedEntry> odd) EXCLUDES(mutex_);
  // Ids, pins and odd entries have to be read again.
  void forget() EXCLUDES(mutex_);

 private:
  void keep_odd(std::map<std::string, DecodedEntry> odd) REQUIRES(mutex_);

  mutable base::Mutex mutex_;
  std::uint64_t generation_ GUARDED_BY(mutex_) = 0;
  std::atomic<bool> has_odd_{false};
  DirectoryIds ids_ GUARDED_BY(mutex_);
  std::vector<PinFile> pins_ GUARDED_BY(mutex_);  // all in the folder that are ours, fitting or not
  std::map<std::string, DecodedEntry> odd_ GUARDED_BY(mutex_);
};

// Chooses the ids of a directory from its pins and its derived id. The first is for new names.
std::vector<crypto::DirId> directory_ids(const crypto::DirId& derived, const std::vector<PinFile>& pins);

// The entries of a listing under the names they are shown by: duplicates (kinds, ids) and decorated ones get a conflict
// name of their own. `odd` receives those.
struct ShownEntry {
  std::string shown;
  DecodedEntry decoded;
  std::uint64_t ino = 0;
  unsigned char type = 0;  // DT_* of the ciphertext entry
};
// Its entry name is not what computing it from the name that it is shown by gives.
bool is_odd(const ShownEntry& entry, const std::vector<crypto::DirId>& ids);
std::vector<ShownEntry> name_listing(std::vector<ShownEntry> entries, const std::vector<crypto::DirId>& ids,
                                     std::map<std::string, DecodedEntry>& odd);

}  // namespace coffer::fs
