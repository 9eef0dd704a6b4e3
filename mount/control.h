// The control socket of a mounted daemon: `control` in its local state folder, for `coffer status` and `coffer lock`.
//
// A connection carries one request, a line of JSON, and one answer, another. Requests:
//   {"request":"status"}     numbers of this mount: the object in "mounts" of `coffer status --json`, see docs/CLI.md
//   {"request":"await_end"}  answered when everything has been written out: {"ended":true}, or with
//                            "error":{"code":N,"message":"...","hint":"..."} if something could not be
// Anything else is answered with {"error":"..."}.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fs/user_error.h"
#include "fs/vault_folder.h"
#include "mount/control_message.h"

namespace coffer::mount {

inline constexpr const char* kControlSocket = "control";

// Answers from a thread of its own. Only the daemon's user and root are heard. Whoever connects and dawdles, floods or
// talks nonsense is cut off; nothing that a client does delays the mount.
class ControlServer {
 public:
  using Status = std::function<nlohmann::json()>;  // called on the server's thread; must not block

  // `state` is the local state folder, whose vault this process has locked: a socket found there is a dead one.
  static base::Result<std::unique_ptr<ControlServer>> start(base::FdRef state, Status status);
  // Ends the thread and removes the socket; whoever still waits sees the connection close.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Tells those who wait how it ended, within a second, and ends the thread.
  void finish(const fs::Done& end);

 private:
  class Impl;
  explicit ControlServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The client's end: one request, one answer.
class ControlClient {
 public:
  // Errors: ENOENT, ECONNREFUSED (no daemon), EPERM (the other end is somebody else's process).
  static base::Result<ControlClient> connect(const std::string& state_path);

  base::Status send(const nlohmann::json& request);
  // Errors: ETIMEDOUT (call again to go on waiting), ECONNRESET (it closed without an answer), EBADMSG (no answer, or
  // too long or deep a one). Its members may be of any type (mount/control_message.h).
  base::Result<nlohmann::json> receive(std::chrono::milliseconds timeout);

 private:
  explicit ControlClient(base::UniqueFd fd) : fd_(std::move(fd)) {}
  base::UniqueFd fd_;
  std::string received_;
};

}  // namespace coffer::mount
