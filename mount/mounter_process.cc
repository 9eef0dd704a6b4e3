// The process behind start_mounter(): one request, one answer, over a pair of sockets.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

#include "base/log.h"
#include "base/mutex.h"
#include "mount/mounter.h"
#include "mount/processes.h"

namespace coffer::mount {
namespace {

using base::Errno;
using base::FdRef;
using base::Result;
using base::Status;
using base::UniqueFd;
using fs::ExitCode;
using fs::Outcome;
using fs::UserError;

// One byte each.
enum class Request : char { kMount = 'm', kUnmount = 'u', kUnmountLazily = 'l', kWriteBack = 'w', kAbort = 'a' };

constexpr std::size_t kTextMax = 8192;

// An unmount waits for answers from the daemon, and an abort is what ends that when there will be none: so it has a
// channel of its own.
struct Channels {
  UniqueFd requests;
  UniqueFd aborts;
};

// A datagram: this, message, zero byte, hint; and a descriptor with the answer to kMount.
struct Head {
  int error = 0;  // errno of all but kMount
  int code = 0;   // ExitCode of kMount
};

struct Answer {
  Head head;
  std::string message;
  std::string hint;
  UniqueFd device;
};

union Control {  // room for one descriptor
  char bytes[CMSG_SPACE(sizeof(int))];
  cmsghdr align;
};

Status send_answer(FdRef socket, Answer answer) {
  std::string text(reinterpret_cast<const char*>(&answer.head), sizeof answer.head);
  text.append(answer.message.substr(0, kTextMax)).push_back('\0');
  text.append(answer.hint.substr(0, kTextMax));
  iovec part{text.data(), text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  Control control{};
  if (answer.device.valid()) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int device = answer.device.get();
    std::memcpy(CMSG_DATA(header), &device, sizeof device);
  }
  while (::sendmsg(socket.get(), &message, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return Errno::last();
  }
  return base::ok();
}

// Into `text`, which is as large as an answer can be.
Result<Answer> receive_answer(FdRef socket, std::string text) {
  iovec part{text.data(), text.size()};
  Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t got = 0;
  while ((got = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC)) < 0) {
    if (errno != EINTR) return Errno::last();
  }
  Answer answer;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
    int device = -1;
    std::memcpy(&device, CMSG_DATA(header), sizeof device);
    answer.device = UniqueFd(device);
  }
  if (static_cast<std::size_t>(got) < sizeof(Head)) return Errno(EPIPE);
  std::memcpy(&answer.head, text.data(), sizeof(Head));
  text.resize(static_cast<std::size_t>(got));
  const std::size_t end = text.find('\0', sizeof(Head));
  answer.message = text.substr(sizeof(Head), end == std::string::npos ? end : end - sizeof(Head));
  if (end != std::string::npos) answer.hint = text.substr(end + 1);
  return answer;
}

// --- in that process

Answer perform(Mounter& mounter, Request request) {
  Answer answer;
  if (request == Request::kMount) {
    Outcome<UniqueFd> device = mounter.mount();
    if (device) {
      answer.device = *std::move(device);
    } else {
      answer.head.code = static_cast<int>(device.error().code);
      answer.message = device.error().message;
      answer.hint = device.error().hint;
    }
    return answer;
  }
  const Status done = request == Request::kAbort       ? mounter.abort()
                      : request == Request::kWriteBack ? mounter.write_back()
                                                       : mounter.unmount(request == Request::kUnmountLazily);
  answer.head.error = done ? 0 : done.error().code();
  return answer;
}

void to_null(std::initializer_list<int> streams) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int stream : streams) {
    if (null.valid()) ::dup2(null.get(), stream);
  }
}

// Nothing of the daemon's is kept open. Signals that are meant for the daemon, by a terminal or by who ends a service
// with all its processes, must not take the one away that unmounts for it.
void leave_parent(const Channels& sockets) {
  const auto [first, last] = std::minmax({sockets.requests.get(), sockets.aborts.get()});
  for (int fd = STDERR_FILENO + 1; fd < last; fd++) {
    if (fd != first) ::close(fd);
  }
  ::close_range(static_cast<unsigned>(last) + 1, ~0U, 0);
  to_null({STDIN_FILENO, STDOUT_FILENO});
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(signal, SIG_IGN);
  ::setsid();
  ::prctl(PR_SET_NAME, kMounterName);
  base::log_set_level(base::LogLevel::kError);  // what libfuse says goes with the answer
  if (::chdir("/") != 0) return;
}

void serve(FdRef socket, Mounter& mounter) {
  while (true) {
    Request request{};
    const ssize_t got = ::recv(socket.get(), &request, sizeof request, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got != sizeof request) return;  // the daemon has ended
    Answer answer = perform(mounter, request);
    // fusermount3 has said on standard error what it had to say.
    if (request == Request::kMount) to_null({STDERR_FILENO});
    if (!send_answer(socket, std::move(answer))) return;
  }
}

[[noreturn]] void be_mounter(Channels sockets, std::string mount_point, SessionOptions options) noexcept {
  try {
    leave_parent(sockets);
    MounterHere mounter(std::move(mount_point), std::move(options));
    std::thread aborts([&] { serve(sockets.aborts, mounter); });
    serve(sockets.requests, mounter);
    aborts.join();
  } catch (const std::exception&) {  // no memory: as if it had been killed
  }
  ::_exit(0);
}

// --- in the daemon

class Channel {
 public:
  explicit Channel(UniqueFd socket) : socket_(std::move(socket)) {}

  Result<Answer> ask(Request request) EXCLUDES(mutex_) {
    const base::MutexLock lock(mutex_);
    // Before the request: one whose answer is left lying would be answered with it later.
    std::string text(sizeof(Head) + 2 * kTextMax + 1, '\0');
    if (::send(socket_.get(), &request, sizeof request, MSG_NOSIGNAL) < 0) return Errno(EPIPE);
    Result<Answer> answer = receive_answer(socket_, std::move(text));
    if (!answer) return Errno(EPIPE);
    return answer;
  }
  // Without asking for memory: write_back() is wanted when there is least, and in glibc a thread's first byte of it
  // costs an arena.
  Status ask_status(Request request) EXCLUDES(mutex_) {
    const base::MutexLock lock(mutex_);
    if (::send(socket_.get(), &request, sizeof request, MSG_NOSIGNAL) < 0) return Errno(EPIPE);
    Head head;
    ssize_t got = 0;
    while ((got = ::recv(socket_.get(), &head, sizeof head, 0)) <
           0) {  // the texts behind it, which say no more, are dropped
      if (errno != EINTR) return Errno(EPIPE);
    }
    if (got != sizeof head) return Errno(EPIPE);
    return head.error == 0 ? base::ok() : Status(Errno(head.error));
  }

 private:
  base::Mutex mutex_;
  UniqueFd socket_ GUARDED_BY(mutex_);
};

class MounterProcess : public Mounter {
 public:
  explicit MounterProcess(Channels sockets)
      : requests_(std::move(sockets.requests)), aborts_(std::move(sockets.aborts)) {}

  Outcome<UniqueFd> mount() override {
    Result<Answer> answer = requests_.ask(Request::kMount);
    if (!answer) {
      return UserError{.code = ExitCode::kOther, .message = "the process that mounts has ended", .hint = ""};
    }
    if (answer->head.code != 0) {
      return UserError{static_cast<ExitCode>(answer->head.code), answer->message, answer->hint};
    }
    return std::move(answer->device);
  }
  Status unmount(bool lazy) override {
    return requests_.ask_status(lazy ? Request::kUnmountLazily : Request::kUnmount);
  }
  Status write_back() override { return requests_.ask_status(Request::kWriteBack); }
  Status abort() override { return aborts_.ask_status(Request::kAbort); }

 private:
  Channel requests_;
  Channel aborts_;
};

Status make_pair(UniqueFd& one, UniqueFd& other) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return Errno::last();
  one = UniqueFd(ends[0]);
  other = UniqueFd(ends[1]);
  return base::ok();
}

}  // namespace

Result<std::unique_ptr<Mounter>> start_mounter(std::string mount_point, SessionOptions options) {
  Channels ours;
  Channels its;
  COFFER_RETURN_IF_ERROR(make_pair(ours.requests, its.requests));
  COFFER_RETURN_IF_ERROR(make_pair(ours.aborts, its.aborts));
  const pid_t process = ::fork();
  if (process < 0) return Errno::last();
  if (process == 0) be_mounter(std::move(its), std::move(mount_point), std::move(options));
  return std::unique_ptr<Mounter>(std::make_unique<MounterProcess>(std::move(ours)));
}

}  // namespace coffer::mount
