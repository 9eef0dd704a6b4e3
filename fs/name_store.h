// Plaintext names and the entries of the vault folder that carry them: encryption, long names and their side files,
// and reading back what sync clients made of entry names. FORMAT.md section 5.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "crypto/name_cipher.h"
#include "fs/backing.h"
#include "fs/types.h"

namespace coffer::fs {

// How a name is written in a directory.
struct EntryName {
  std::string entry;  // on disk
  std::string full;   // ciphertext name, before shortening
  bool is_long() const { return entry != full; }
};

// An entry of the vault folder, read.
struct DecodedEntry {
  std::string name;     // plaintext
  std::string full;     // ciphertext name, undecorated
  std::string entry;    // on disk
  crypto::DirId under;  // the id it authenticates under
  crypto::Kind kind = crypto::Kind::kFileOrDirectory;
  bool decorated = false;
  std::string decoration;   // what a client put around it
  bool other_case = false;  // not decorated, but not in lower case either

  // As opposed to conflict copies, which are shown under names made for them.
  bool is_shown_as(std::string_view shown) const { return name == shown && !decorated; }
};

enum class EntryClass { kOurs, kForeign, kUnreadable };
struct ReadEntry {
  EntryClass what = EntryClass::kForeign;
  DecodedEntry decoded;  // if kOurs
};

// Thread-safe.
class NameStore {
 public:
  NameStore(Backing& backing, const crypto::KeyRing& keys, std::uint16_t name_max)
      : backing_(backing), cipher_(keys), name_max_(name_max) {}

  const crypto::NameCipher& cipher() const { return cipher_; }

  EntryName encode(const crypto::DirId& directory, crypto::Kind kind, std::string_view name) const;
  // `ids`: those names in this directory may be encrypted under, the surest first.
  ReadEntry decode(FdRef directory, const std::vector<crypto::DirId>& ids, const std::string& file_name);

  // The side file of a long name; does nothing for others. Already there: kept, if it says the same, else replaced.
  // `durable`: on disk when this returns.
  Status write_side_file(FdRef directory, const EntryName& name, bool durable);
  Status remove_side_file(FdRef directory, const EntryName& name);

 private:
  // `as_found`: the short name in the case in which it was found.
  Result<std::string> long_name(FdRef directory, const std::string& short_name, std::string_view as_found)
      EXCLUDES(mutex_);
  void remember(const std::string& short_name, const std::string& full) EXCLUDES(mutex_);

  // A short name is a hash of the full one, so what is kept here is true for ever; the limit is only for memory.
  static constexpr std::size_t kLongNamesMax = 65536;

  Backing& backing_;
  crypto::NameCipher cipher_;
  std::uint16_t name_max_;
  base::Mutex mutex_;
  std::unordered_map<std::string, std::string> long_names_ GUARDED_BY(mutex_);
};

// One of temporary_name()'s (fs/durable_file.h): unfinished work, which readers ignore.
bool is_temporary_name(std::string_view file_name);
// The name of a side file, in whatever case.
bool is_side_file_name(std::string_view file_name);

// "report (conflict, LAPTOP).odt" for a decorated "report.odt"; at most 255 bytes, made from this entry alone.
std::string conflict_name(const std::string& name, std::string_view label);

}  // namespace coffer::fs
