// crash_load load|check FOLDER MODEL [--seed S] [--round N] [--workers N]
//
// load: workers change files in FOLDER, on a mount, until the mount is gone or SIGTERM; then MODEL, outside of it, says
//   what must be there. MODEL.ready appears once they are at work. After SIGUSR1 all that was done before counts as
//   promised, as if each file had been synced; MODEL.marked says from when on.
// check: after the next mount; MODEL becomes what is there.
//
// Violations go to standard output, one a line: `violation CLASS round ROUND seed SEED PATH: WHAT`; the exit code is
// then 1.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <string_view>
#include <thread>

#include "check.h"
#include "model.h"
#include "worker.h"

namespace {

using crash::Load;
using crash::Model;
using crash::Worker;

struct Options {
  std::string verb, folder, model;
  std::uint64_t seed = 0;
  std::uint64_t round = 0;
  unsigned workers = 6;
};

int usage() {
  std::fprintf(stderr, "usage: crash_load load|check FOLDER MODEL [--seed S] [--round N] [--workers N]\n");
  return 2;
}

void touch(const std::string& path) { std::ofstream(path).close(); }

// Until all have ended; SIGTERM stops them, SIGUSR1 makes a mark.
void oversee(Load& load, const std::vector<std::unique_ptr<Worker>>& workers, const sigset_t& signals,
             const std::string& model_path) {
  constexpr timespec kTick{0, 10'000'000};
  const auto all_answered = [&](unsigned mark) {
    return std::all_of(workers.begin(), workers.end(), [&](const auto& worker) { return worker->answered() >= mark; });
  };
  bool waiting = false;
  while (!all_answered(~0U)) {
    const int signal = ::sigtimedwait(&signals, nullptr, &kTick);
    if (signal == SIGTERM) load.stop = true;
    if (signal == SIGUSR1) ++load.marks, waiting = true;
    if (waiting && all_answered(load.marks)) {
      waiting = false;
      touch(model_path + ".marked");
    }
  }
  if (waiting) touch(model_path + ".marked");
}

int run_load(Load& load, const Options& options) {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGUSR1}) sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  crash::catch_lost_mappings();
  Model model = crash::load_model(options.model).value_or(Model{});
  model.workers.resize(options.workers);
  std::vector<std::unique_ptr<Worker>> workers;
  for (unsigned i = 0; i < options.workers; ++i) {
    workers.push_back(std::make_unique<Worker>(load, i, model.workers[i]));
  }
  std::vector<std::thread> threads;
  for (auto& worker : workers)
    if (!worker->prepare()) return 1;
  for (auto& worker : workers) threads.emplace_back([&worker] { worker->run(); });
  touch(options.model + ".ready");
  oversee(load, workers, signals, options.model);
  for (std::thread& thread : threads) thread.join();
  crash::save(model, options.model);
  fmt::print("{} operations\n", load.operations.load());
  return load.violations == 0 ? 0 : 1;
}

int run_check(Load& load, const Options& options) {
  std::optional<Model> model = crash::load_model(options.model);
  if (!model) {
    std::fprintf(stderr, "crash_load: cannot read %s\n", options.model.c_str());
    return 2;
  }
  const crash::Counts counts = crash::check(load, *model);
  crash::save(*model, options.model);
  fmt::print("{} files, {} bytes read, {} pages or sizes older than the last close\n", counts.files, counts.bytes,
             counts.older_than_close);
  return load.violations == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || argc % 2 != 0) return usage();
  Options options;
  options.verb = argv[1];
  options.folder = argv[2];
  options.model = argv[3];
  for (int i = 4; i < argc; i += 2) {
    const std::string_view option = argv[i];
    const std::uint64_t value = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--seed") {
      options.seed = value;
    } else if (option == "--round") {
      options.round = value;
    } else if (option == "--workers") {
      options.workers = static_cast<unsigned>(value);
    } else {
      return usage();
    }
  }
  Load load;
  load.folder = options.folder;
  load.seed = options.seed;
  load.round = options.round;
  struct stat attributes {};
  if (::stat(options.folder.c_str(), &attributes) != 0) {
    std::fprintf(stderr, "crash_load: %s: %s\n", options.folder.c_str(), std::strerror(errno));
    return 2;
  }
  load.device = attributes.st_dev;
  if (options.verb == "load") return run_load(load, options);
  if (options.verb == "check") return run_check(load, options);
  return usage();
}
