// Mounts what a power cut left and compares it with the history of the vault.
#pragma once

#include "tests/crash/disk_model.h"
#include "tests/crash/history.h"
#include "tests/crash/mounted.h"

namespace coffer::crash {

// Something that must not be, or (tolerated) that need not be.
struct Finding {
  std::string what;  // the class: see main.cc
  std::string detail;
};

// What may be found: the states of the vault around the crash.
struct Moment {
  const History& history;
  int started = -1;
  int completed = -1;
  bool process = false;  // only the process died: what was closed is there
};

struct Seen {
  char kind = 'f';
  std::uint64_t ino = 0;
  int error = 0;  // of reading
  std::string content;
};
using SeenTree = std::map<std::string, Seen>;

struct Checked {
  std::vector<Finding> violations;
  std::vector<Finding> tolerated;
  SeenTree seen;
  std::vector<Operation> recovery;  // what mounting and reading did below
};

// `go_on`: also writes to every file, locks, mounts and reads again.
Checked check(const Setup& setup, const Image& image, const Moment& moment, bool go_on);

// --- the pieces ------------------------------------------------------------------------------------------------------
SeenTree look_at(Mounted& vault, std::vector<Finding>& violations);
// Judges content and size of one file against the versions that it may be in; nothing if they are right.
std::optional<Finding> judge(const FileHistory& file, std::optional<std::size_t> promised, std::size_t newest,
                             const std::string& content, std::uint64_t chunk_size);
void compare(const Setup& setup, const Moment& moment, const SeenTree& seen, Checked& result);

}  // namespace coffer::crash
