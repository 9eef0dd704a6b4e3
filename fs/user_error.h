// The currency of the control plane (init, unlock, commands): a sentence for a person, what to do next, and the exit
// code. The data plane speaks base::Result.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace coffer::fs {

// Frozen: a number is never reused. Table with explanations: docs/CLI.md. 2 is for wrong usage.
enum class ExitCode : int {
  kOk = 0,
  kOther = 1,  // an error of the system below (the message has it)
  kUsage = 2,
  kWrongSecret = 10,    // password, keyfile or vault key does not fit
  kNotAVault = 11,      // no coffer.json here
  kConfigDamaged = 12,  // coffer.json is truncated, malformed or forged
  kNewerFormat = 13,    // a format or feature of a later program
  kBusy = 14,           // vault already mounted, or mount point in use
  kRolledBack = 15,     // coffer.json is older than remembered
  kMountPoint = 16,     // does not exist, no directory, not empty, inside the vault or around it
  kNoFuse = 17,         // no /dev/fuse or no fusermount3
  kReadOnly = 18,       // the vault folder cannot be written
  kNoSpace = 19,
  kNotEmpty = 20,  // init on a folder that holds something
  kNotMounted = 21,
  kNoSecret = 22,  // nothing to unlock with: no terminal, empty password file, command failed
  kNotFound = 23,  // no such path in the vault
  kDamaged = 24,   // content that does not authenticate or is incomplete
  kInterrupted = 25
};

struct UserError {
  ExitCode code = ExitCode::kOther;
  std::string message;  // one sentence, no full stop needed, names what it speaks of
  std::string hint;     // what to do next; may be empty
};

// A value or a UserError.
template <class T>
class [[nodiscard]] Outcome {
 public:
  Outcome(T value) : state_(std::in_place_index<0>, std::move(value)) {}          // NOLINT: implicit on purpose
  Outcome(UserError error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit on purpose

  explicit operator bool() const noexcept { return state_.index() == 0; }
  T& operator*() & { return std::get<0>(state_); }
  const T& operator*() const& { return std::get<0>(state_); }
  T&& operator*() && { return std::move(std::get<0>(state_)); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }
  const UserError& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, UserError> state_;
};

}  // namespace coffer::fs
