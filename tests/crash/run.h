// Many workloads, each cut at many points in many ways.
#pragma once

#include <chrono>

#include "tests/crash/check.h"

namespace coffer::crash {

struct RunOptions {
  std::uint64_t seed = 1;  // of the first workload; the next has the next
  std::size_t points = 1000;
  int actions = 25;
  Broken broken = {};
  // To play one again:
  std::optional<std::size_t> point = {};
  std::string variant = {};
  bool verbose = false;
};

struct Example {
  std::uint64_t count = 0;
  std::string replay;  // arguments that play the first one again
  std::string detail;
  std::map<std::string, std::uint64_t> by_variant;
};

struct Report {
  std::size_t points = 0;  // ways in which a workload was cut
  std::size_t images = 0;  // those of them that left something else than another, each mounted
  std::size_t workloads = 0;
  std::size_t state_writes = 0;  // to local state, through Backing: is there a journal?
  double seconds = 0;
  std::map<std::string, Example> violations;
  std::map<std::string, Example> tolerated;
  std::vector<std::string> failed;  // workloads that could not be run
};

Report run(const RunOptions& options);
std::string to_string(const Report& report);

}  // namespace coffer::crash
