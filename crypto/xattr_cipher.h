// Extended attributes as the vault keeps them. FORMAT.md section 7.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "crypto/keys.h"
#include "crypto/types.h"

namespace coffer::crypto {

inline constexpr std::string_view kXattrPrefix = "user.coffer.";
constexpr std::size_t kXattrMaxName = 255;

struct Xattr {
  std::string name;
  Bytes value;
};

// Borrows the key ring; safe for concurrent use. `owner` is a file id's or a directory id's 16 bytes.
class XattrCipher {
 public:
  explicit XattrCipher(const KeyRing& keys) : keys_(keys) {}

  // "user.coffer.<26 characters>". REQUIRES: 1 <= name.size() <= kXattrMaxName.
  std::string stored_name(std::string_view name) const;
  Bytes seal(ByteView owner, std::string_view name, ByteView value) const;
  // nullopt: not sealed for this owner and stored name.
  std::optional<Xattr> open(ByteView owner, std::string_view stored_name, ByteView sealed) const;
  // Bytes that seal() adds to a value.
  static std::size_t overhead(std::string_view name) { return 24 + 16 + 1 + name.size(); }

 private:
  const KeyRing& keys_;
};

}  // namespace coffer::crypto
