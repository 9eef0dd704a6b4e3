#include "mount/companion.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "mount/proc_file.h"

namespace coffer::mount {
namespace {

// The number in place `index` of a line of words.
std::optional<std::uint64_t> number_at(std::string_view line, int index) {
  for (; index > 0; --index) {
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    line.remove_prefix(space + 1);
  }
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
  if (error != std::errc()) return std::nullopt;
  return number;
}

// proc(5), /proc/pid/stat: field 39; counted from behind the name, which may hold anything and is field 2.
std::optional<int> last_processor_of(pid_t thread) {
  const ProcFile stat("/proc/{}/stat", thread);
  const std::string_view line = stat.text();
  const std::size_t name_end = line.rfind(") ");
  if (name_end == std::string_view::npos) return std::nullopt;
  const auto processor = number_at(line.substr(name_end + 2), 39 - 3);
  if (!processor || *processor >= CPU_SETSIZE) return std::nullopt;
  return static_cast<int>(*processor);
}

// How long this thread has been ready but not running (Documentation/scheduler/sched-stats.rst); 0 where that is not
// counted.
std::uint64_t waited_for_processor() {
  const ProcFile counted("/proc/thread-self/schedstat");
  return number_at(counted.text(), 1).value_or(0);
}

}  // namespace

void Companion::asked_by(pid_t caller) {
  if (caller == 0) return;
  if (asked_ == 0) caller_ = caller;
  asked_++;
  if (caller == caller_) by_caller_++;
  if (asked_ >= kWindow) decide();
}

// Bound through the last window: did the caller stay, and was the processor free for us?
bool Companion::has_helped(int processor_of_caller, std::uint64_t waited_ns) const {
  const bool has_left = caller_ == close_to_ && processor_of_caller != processor_;
  return !has_left && waited_ns - waited_ns_ <= wait_max_ns_ * asked_;
}

void Companion::decide() {
  const bool mostly_one = by_caller_ >= kMostly;
  const auto processor = mostly_one && apart_ <= 1 ? last_processor_of(caller_) : std::nullopt;
  const std::uint64_t waited = waited_for_processor();
  if (apart_ > 0) apart_--;
  if (is_close() && processor) {
    if (has_helped(*processor, waited)) {
      next_apart_ = kApartFirst;
    } else {
      apart_ = next_apart_;
      next_apart_ = std::min(2 * next_apart_, kApartLast);
    }
  }
  waited_ns_ = waited;
  asked_ = by_caller_ = 0;
  if (!processor || apart_ > 0) return part();
  bind_to(*processor);
  close_to_ = caller_;
}

void Companion::bind_to(int processor) {
  if (processor == processor_) return;
  if (!is_close() && ::sched_getaffinity(0, sizeof before_, &before_) != 0) return;
  if (!CPU_ISSET(static_cast<unsigned>(processor), &before_)) return part();
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(static_cast<unsigned>(processor), &only);
  if (::sched_setaffinity(0, sizeof only, &only) == 0) processor_ = processor;
}

void Companion::part() {
  if (!is_close()) return;
  ::sched_setaffinity(0, sizeof before_, &before_);
  processor_ = -1;
}

}  // namespace coffer::mount
