// Names: encryption, long names, decoding of what sync clients make of them, directory ids and pins.
// FORMAT.md sections 5 and 6. Everything here is a pure function of the key ring; safe for concurrent use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/keys.h"
#include "crypto/types.h"

namespace coffer::crypto {

// True for what may be a plaintext name: 1 to 255 bytes, no '/', no NUL, not "." or "..".
bool is_plain_name(std::string_view name) noexcept;

// A run inside a file name that could be a ciphertext name (5.2) or the short form of a long one (5.3).
struct NameToken {
  std::string text;  // folded to lower case, with the kind suffix; a long one with its leading '0'
  Kind kind = Kind::kFileOrDirectory;
  bool is_long = false;    // `text` is the short form; the ciphertext name is in the side file `text` + ".name"
  bool decorated = false;  // the file name has more than the token, or other case
};
// All candidates in a file name, in order; empty for foreign names. Never more than a handful (names have 255 bytes).
std::vector<NameToken> find_name_tokens(std::string_view file_name);

// The entry name for a ciphertext name: itself, or its short form if longer than name_max.
std::string entry_name(std::string_view ciphertext_name, std::uint16_t name_max);
// The short form whatever the length: what a side file's content must hash to.
std::string short_form(std::string_view ciphertext_name);
inline constexpr std::string_view kSideFileSuffix = ".name";

// What a pin says (section 6).
struct Pin {
  DirId id;
  DirId from;  // derived id of the place it leaves
  DirId to;    // derived id of the place it goes to
  std::int64_t time_ns = 0;
  friend bool operator==(const Pin&, const Pin&) = default;
};

class NameCipher {
 public:
  // Borrows `keys`.
  explicit NameCipher(const KeyRing& keys) : keys_(keys) {}

  // The full ciphertext name, with kind suffix, before any shortening. REQUIRES: is_plain_name(name).
  std::string encrypt(const DirId& directory, Kind kind, std::string_view name) const;
  // The inverse. nullopt: does not authenticate under this id, or is no legal name. `ciphertext_name` is undecorated
  // and lower case; its suffix gives the kind.
  std::optional<std::string> decrypt(const DirId& directory, std::string_view ciphertext_name) const;

  DirId root_id() const;
  DirId derived_id(const DirId& parent, std::string_view ciphertext_name) const;

  // "dir.<...>.coffer"
  std::string pin_name(const Pin& pin) const;
  // nullopt: not a pin of this vault. Case is folded; decoration is not accepted.
  std::optional<Pin> parse_pin(std::string_view file_name) const;

 private:
  const KeyRing& keys_;
};

// Looks like a pin, of this vault or another ("dir." + 116 characters + ".coffer", any case).
bool looks_like_pin(std::string_view file_name) noexcept;

}  // namespace coffer::crypto
