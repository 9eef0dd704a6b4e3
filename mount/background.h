// Going to the background without leaving the user in doubt.
//
//     fs::Done done = run_in_background([&](ReadyReporter& reporter) -> int {
//       ...ask for the password, unlock...
//       StopSignals signals;  ...open the Filesystem, mount...
//       if (!session) return reporter.failed(session.error());
//       auto ended = (*session)->run(signals, [&] { reporter.ready(); });
//       return ended ? 0 : log the error, 1
//     });
//     if (!done) print done.error(), exit with its code
#pragma once

#include <functional>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "fs/user_error.h"
#include "fs/vault_folder.h"

namespace coffer::mount {

// The daemon's line to the process that the user waits for. Only the first report counts. Also usable in the
// foreground (default constructed): then ready() does nothing, and failed() only returns the exit code.
class ReadyReporter {
 public:
  ReadyReporter() = default;
  explicit ReadyReporter(base::UniqueFd pipe) : pipe_(std::move(pipe)) {}

  // The mount answers: the waiting process may return. The daemon leaves the terminal (a session of its own; standard
  // input, output and error become /dev/null, so log_open() a file before) and the working directory, which becomes
  // "/". From any thread.
  void ready() noexcept;
  // Hands the error to the waiting process; returns its exit code.
  int failed(const fs::UserError& error) noexcept;

 private:
  base::Mutex mutex_;
  base::UniqueFd pipe_ GUARDED_BY(mutex_);
};

// Forks. The child calls `daemon` and exits with what it returns; this process returns once the child has reported:
// success, or the child's error. A child that dies without a word is an error too (kOther), naming how.
//
// The child stays on the terminal until it is ready: it may ask for passwords, and Ctrl-C ends both. Ask and unlock
// there, not before: a fork keeps neither threads (so no Filesystem may be open) nor memory locks (so secrets could be
// paged out). Descriptors, and flock() with them, do survive it.
// REQUIRES: no other thread exists.
fs::Done run_in_background(const std::function<int(ReadyReporter&)>& daemon);

}  // namespace coffer::mount
