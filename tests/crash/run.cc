#include "tests/crash/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "tests/crash/workload.h"

namespace coffer::crash {
namespace {

// How many cuts of one workload are played, so that many workloads are.
constexpr std::size_t kPointsPerWorkload = 400;
// One in so many recoveries is cut short as well.
constexpr std::uint64_t kCutRecoveryEvery = 4;

// One workload, run and recorded, from a vault in which some things are already and are safe.
class Recorded {
 public:
  Recorded(const RunOptions& options, std::uint64_t number) : seed(number), setup(make_setup(number, options.broken)) {
    Folders first(empty_image());
    auto vault = must_mount(first);
    Workload workload(*vault, history, setup.config.chunk_size, seed);
    for (int i = 0; i < options.actions / 2 && workload.act(); ++i) continue;
    workload.lock();
    const std::vector<Operation> made = vault->recording().operations();
    before = cut(empty_image(), made, made.size(), variants().front(), 0);
    history.forget_operations();
    vault.reset();

    Folders second(before);
    vault = must_mount(second);
    workload.continue_in(*vault);
    for (int i = 0; i < options.actions && workload.act(); ++i) continue;
    if (seed % 3 == 0) workload.lock();
    operations = vault->recording().operations();
    failure = workload.failure();
  }

  const std::uint64_t seed;
  Setup setup;
  History history;
  Image before;
  std::vector<Operation> operations;
  std::string failure;

 private:
  std::unique_ptr<Mounted> must_mount(const Folders& folders) {
    auto vault = Mounted::mount(setup, folders);
    if (!vault) std::abort();
    return *std::move(vault);
  }
};

class Runner {
 public:
  explicit Runner(const RunOptions& options) : options_(options), variants_(variants()) {}

  Report run() {
    const auto began = std::chrono::steady_clock::now();
    std::uint64_t seed = options_.seed;
    do {
      const Recorded recorded(options_, seed++);
      ++report_.workloads;
      if (!recorded.failure.empty()) {
        report_.failed.push_back(fmt::format("--seed {}: {}", recorded.seed, recorded.failure));
      }
      if (options_.verbose) print(recorded);
      for (const Operation& operation : recorded.operations) {
        if (operation.disk == Disk::kState && operation.kind == Operation::Kind::kWrite) ++report_.state_writes;
      }
      cut_everywhere(recorded);
    } while (report_.points < options_.points && !options_.point);
    report_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    return std::move(report_);
  }

 private:
  // All points and variants in a random order, as many as there is room for.
  void cut_everywhere(const Recorded& recorded) {
    std::vector<std::pair<std::size_t, std::size_t>> cuts;
    for (std::size_t point = 0; point <= recorded.operations.size(); ++point) {
      for (std::size_t variant = 0; variant < variants_.size(); ++variant) {
        if (options_.point && (point != *options_.point || variants_[variant].name != options_.variant)) continue;
        cuts.emplace_back(point, variant);
      }
    }
    std::mt19937_64 random(recorded.seed);
    std::shuffle(cuts.begin(), cuts.end(), random);
    std::set<std::pair<std::uint64_t, int>> seen;
    for (std::size_t i = 0; i < cuts.size() && i < kPointsPerWorkload && report_.points < options_.points; ++i) {
      play(recorded, cuts[i].first, variants_[cuts[i].second], seen);
    }
  }

  void play(const Recorded& recorded, std::size_t point, const Variant& variant,
            std::set<std::pair<std::uint64_t, int>>& seen) {
    ++report_.points;
    const std::uint64_t seed = (recorded.seed << 32) ^ (point << 8) ^ std::hash<std::string>()(variant.name);
    const Image image = cut(recorded.before, recorded.operations, point, variant, seed);
    // A write that was cut short has not returned.
    const std::size_t returned = variant.short_write && point > 0 ? point - 1 : point;
    const Moment moment{recorded.history, recorded.history.started(point), recorded.history.completed(returned),
                        !variant.power};
    const std::string replay = fmt::format(
        "--seed {} --point {} --variant {}{}", recorded.seed, point, variant.name,
        options_.actions == RunOptions().actions ? std::string() : fmt::format(" --actions {}", options_.actions));
    // Promises come only with steps: what was found right at this moment is right in the same moment.
    const std::uint64_t hash = hash_of(image) ^ (moment.process ? 1 : 0);
    if (!seen.emplace(hash, moment.completed * 1000 + moment.started).second) return;
    const Checked checked = check_one(recorded, image, moment, variant, replay);
    if (checked.recovery.empty() || seed % kCutRecoveryEvery != 0) return;
    cut_recovery(recorded, image, moment, checked.recovery, variant, seed, replay);
  }

  // The power goes again while the mount after the first cut is recovering.
  void cut_recovery(const Recorded& recorded, const Image& image, const Moment& moment,
                    const std::vector<Operation>& recovery, const Variant& variant, std::uint64_t seed,
                    const std::string& replay) {
    const Image again = cut(image, recovery, seed / kCutRecoveryEvery % (recovery.size() + 1), variant, seed);
    check_one(recorded, again, moment, variant, replay);
  }

  Checked check_one(const Recorded& recorded, const Image& image, const Moment& moment, const Variant& variant,
                    const std::string& replay) {
    ++report_.images;
    Checked checked = check(recorded.setup, image, moment, true);
    if (options_.verbose) print(checked.seen);
    for (const auto& [findings, examples] :
         {std::pair{&checked.violations, &report_.violations}, std::pair{&checked.tolerated, &report_.tolerated}}) {
      for (const Finding& finding : *findings) {
        Example& example = (*examples)[finding.what];
        if (example.count++ == 0) example = {1, replay, finding.detail, {}};
        ++example.by_variant[variant.name];
        if (options_.verbose) fmt::print("{}: {}\n", finding.what, finding.detail);
      }
    }
    return checked;
  }

  static void print(const SeenTree& seen) {
    fmt::print("found:\n");
    for (const auto& [path, entry] : seen) {
      fmt::print("    {} {:.60} inode {} ", entry.kind, path, entry.ino);
      entry.error == 0 ? fmt::print("{} bytes\n", entry.content.size()) : fmt::print("error {}\n", entry.error);
    }
  }

  void print(const Recorded& recorded) const {
    const auto& steps = recorded.history.steps();
    for (std::size_t i = 0; i < steps.size(); ++i) {
      fmt::print("{:3} {}\n", i, steps[i].what);
      for (std::size_t at = steps[i].begin; at < steps[i].end; ++at) {
        fmt::print("    {:4} {}{}\n", at, to_string(recorded.operations[at]),
                   at + 1 == options_.point.value_or(0) ? "   <-- the last" : "");
      }
    }
  }

  const RunOptions& options_;
  const std::vector<Variant> variants_;
  Report report_;
};

}  // namespace

Report run(const RunOptions& options) { return Runner(options).run(); }

std::string to_string(const Report& report) {
  std::string text = fmt::format(
      "{} crash points in {} workloads, {} different vaults mounted and checked, {:.1f} s ({:.0f} points/s)\n",
      report.points, report.workloads, report.images, report.seconds,
      static_cast<double>(report.points) / report.seconds);
  const auto list = [&](const char* title, const std::map<std::string, Example>& examples) {
    text += fmt::format("{}:{}\n", title, examples.empty() ? " none" : "");
    for (const auto& [what, example] : examples) {
      text += fmt::format("  {:24} {:6}  first: {}\n{:35}{}\n{:34}", what, example.count, example.replay, "",
                          example.detail, "");
      for (const auto& [variant, count] : example.by_variant) text += fmt::format(" {} {}", variant, count);
      text += '\n';
    }
  };
  list("violations", report.violations);
  list("tolerated", report.tolerated);
  for (const std::string& failed : report.failed) text += "a workload could not be run: " + failed + "\n";
  return text;
}

}  // namespace coffer::crash
