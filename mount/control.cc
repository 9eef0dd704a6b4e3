#include "mount/control.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <optional>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"

namespace coffer::mount {
namespace {

using base::Errno;
using base::FdRef;
using base::Result;
using base::UniqueFd;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kRequestMax = 4096;
constexpr std::size_t kAnswerMax = std::size_t{1} << 20;
constexpr std::size_t kConnectionsMax = 32;
constexpr std::size_t kWaitersMax = 16;                  // of these, so that status is always answered
constexpr std::chrono::milliseconds kPatience{2000};     // for a whole request, and for taking the answer
constexpr std::chrono::milliseconds kLastAnswers{1000};  // for those who wait, at the end

// A path in `state` that fits sockaddr_un's 107 bytes however deep the state folder lies.
sockaddr_un socket_address(FdRef state) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", state.get(), kControlSocket);
  return address;
}

// The user at the other end.
std::optional<uid_t> peer_user(FdRef fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
  return peer.uid;
}

bool is_trusted(std::optional<uid_t> user) { return user && (*user == 0 || *user == ::geteuid()); }

struct Connection {
  UniqueFd fd;
  std::string in;
  std::string out;
  Clock::time_point deadline;
  bool waits = false;     // for the end
  bool answered = false;  // `out` is all there will be
};

}  // namespace

class ControlServer::Impl {
 public:
  Impl(UniqueFd listener, UniqueFd wake, UniqueFd state, Status status)
      : listener_(std::move(listener)), wake_(std::move(wake)), state_(std::move(state)), status_(std::move(status)) {
    thread_ = std::thread([this] { serve(); });
  }

  ~Impl() {
    stop(std::nullopt);
    ::unlinkat(state_.get(), kControlSocket, 0);
  }

  void stop(std::optional<json> last_word) {
    {
      base::MutexLock lock(mutex_);
      stopping_ = true;
      if (last_word) last_word_ = std::move(last_word);
    }
    const std::uint64_t one = 1;
    if (::write(wake_.get(), &one, sizeof one) < 0)
      base::log_line(base::LogLevel::kWarning, "control socket: no wake-up");
    if (thread_.joinable()) thread_.join();
  }

 private:
  void serve() {
    while (!stopping()) {
      try {
        wait_for_events(until_next_deadline());
        work();
      } catch (const std::exception&) {  // no memory for a question about the mount: the mount goes on without
        connections_.clear();
      }
      drop_the_late();
    }
    say_last_word();
  }

  bool stopping() {
    base::MutexLock lock(mutex_);
    return stopping_;
  }

  // Milliseconds, for poll(); -1: none is pending.
  int until_next_deadline() const {
    std::optional<Clock::time_point> next;
    for (const Connection& c : connections_) {
      if (!is_idle_waiter(c) && (!next || c.deadline < *next)) next = c.deadline;
    }
    if (!next) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now()).count();
    return static_cast<int>(std::max<std::int64_t>(left, 0));
  }

  static bool is_idle_waiter(const Connection& c) { return c.waits && !c.answered; }

  void wait_for_events(int timeout_ms) {
    events_.clear();
    events_.push_back({wake_.get(), POLLIN, 0});
    // A full house answers nobody new until somebody leaves; deadlines see to that.
    events_.push_back({connections_.size() < kConnectionsMax ? listener_.get() : -1, POLLIN, 0});
    for (const Connection& c : connections_) {
      // From one that waits for the end only its hanging up is of interest.
      const short wanted = c.answered ? POLLOUT : is_idle_waiter(c) ? short{0} : POLLIN;
      events_.push_back({c.fd.get(), wanted, 0});
    }
    ::poll(events_.data(), events_.size(), timeout_ms);
  }

  void work() {
    for (std::size_t i = connections_.size(); i-- > 0;) {
      const short happened = events_[i + 2].revents;
      if (happened == 0) continue;
      Connection& c = connections_[i];
      const bool keep = c.answered ? write_some(c) : (happened & POLLIN) != 0 && read_some(c);
      if (!keep) connections_.erase(connections_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (events_[1].revents != 0) accept_one();
  }

  void accept_one() {
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.valid() || !is_trusted(peer_user(fd))) return;
    Connection connection;
    connection.fd = std::move(fd);
    connection.deadline = Clock::now() + kPatience;
    connections_.push_back(std::move(connection));
  }

  // False: the connection is over.
  bool read_some(Connection& c) {
    char buffer[kRequestMax];
    const ssize_t n = ::recv(c.fd.get(), buffer, sizeof buffer, 0);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    c.in.append(buffer, static_cast<std::size_t>(n));
    const std::size_t newline = c.in.find('\n');
    if (newline == std::string::npos) return c.in.size() <= kRequestMax;
    if (newline > kRequestMax) return false;
    obey(c, std::string_view(c.in).substr(0, newline));
    return is_idle_waiter(c) || write_some(c);
  }

  void obey(Connection& c, std::string_view line) {
    const std::string wanted = parse_request(line);
    if (wanted == "status") {
      answer(c, status_());
    } else if (wanted == "await_end" && waiters() < kWaitersMax) {
      c.waits = true;
    } else {
      answer(c, {{"error", wanted == "await_end" ? "too many are waiting" : "unknown request"}});
    }
  }

  std::size_t waiters() const {
    std::size_t count = 0;
    for (const Connection& c : connections_) count += c.waits ? 1 : 0;
    return count;
  }

  static void answer(Connection& c, const json& value) {
    c.out = to_line(value);
    if (c.out.size() > kAnswerMax) c.out = to_line({{"error", "the answer is too long"}});
    c.answered = true;
    c.deadline = Clock::now() + kPatience;
  }

  // False: all is said, or nobody listens.
  static bool write_some(Connection& c) {
    const ssize_t n = ::send(c.fd.get(), c.out.data(), c.out.size(), MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    c.out.erase(0, static_cast<std::size_t>(n));
    return !c.out.empty();
  }

  void drop_the_late() {
    const auto now = Clock::now();
    std::erase_if(connections_, [now](const Connection& c) { return !is_idle_waiter(c) && c.deadline <= now; });
  }

  void say_last_word() {
    std::optional<json> word;
    {
      base::MutexLock lock(mutex_);
      word = last_word_;
    }
    if (!word) return;
    std::erase_if(connections_, [](const Connection& c) { return !is_idle_waiter(c); });
    for (Connection& c : connections_) {
      answer(c, *word);
      // Short enough for any socket's buffer: one that does not take it is not worth waiting for beyond this.
      pollfd ready{c.fd.get(), POLLOUT, 0};
      if (::poll(&ready, 1, static_cast<int>(kLastAnswers.count())) == 1) write_some(c);
    }
    connections_.clear();
  }

  UniqueFd listener_;
  UniqueFd wake_;
  UniqueFd state_;
  Status status_;
  std::vector<Connection> connections_;  // the thread's own, as events_
  std::vector<pollfd> events_;           // wake_, listener_, then one for each connection
  base::Mutex mutex_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::optional<json> last_word_ GUARDED_BY(mutex_);
  std::thread thread_;
};

Result<std::unique_ptr<ControlServer>> ControlServer::start(FdRef state, Status status) {
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.valid()) return Errno::last();
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC));
  if (!wake.valid()) return Errno::last();
  UniqueFd own_state(::fcntl(state.get(), F_DUPFD_CLOEXEC, 3));
  if (!own_state.valid()) return Errno::last();
  ::unlinkat(own_state.get(), kControlSocket, 0);
  const sockaddr_un address = socket_address(own_state);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return Errno::last();
  // The folder is closed to others anyway (mode 0700), and everybody's credentials are checked.
  if (::fchmodat(own_state.get(), kControlSocket, 0600, 0) != 0) return Errno::last();
  if (::listen(listener.get(), static_cast<int>(kConnectionsMax)) != 0) return Errno::last();
  return std::unique_ptr<ControlServer>(new ControlServer(
      std::make_unique<Impl>(std::move(listener), std::move(wake), std::move(own_state), std::move(status))));
}

ControlServer::ControlServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlServer::~ControlServer() = default;
void ControlServer::finish(const fs::Done& end) { impl_->stop(end_message(end)); }

Result<ControlClient> ControlClient::connect(const std::string& state_path) {
  UniqueFd state(::open(state_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!state.valid()) return Errno::last();
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return Errno::last();
  // A daemon that does not accept for this long hangs.
  const timeval patience{2, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const sockaddr_un address = socket_address(state);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return Errno::last();
  struct stat owner {};
  const std::optional<uid_t> peer = peer_user(fd);
  // Root looks into other users' state folders: there the folder's owner is who must be at the other end.
  if (::fstat(state.get(), &owner) != 0 || !peer || (*peer != 0 && *peer != owner.st_uid)) return Errno(EPERM);
  return ControlClient(std::move(fd));
}

base::Status ControlClient::send(const json& request) {
  const std::string line = to_line(request);
  const ssize_t n = ::send(fd_.get(), line.data(), line.size(), MSG_NOSIGNAL);
  if (n < 0) return Errno::last();
  if (static_cast<std::size_t>(n) != line.size()) return Errno(EAGAIN);
  return base::ok();
}

Result<json> ControlClient::receive(std::chrono::milliseconds timeout) {
  const auto until = Clock::now() + timeout;
  for (;;) {
    if (const std::size_t newline = received_.find('\n'); newline != std::string::npos) {
      return parse_answer(std::string_view(received_).substr(0, newline));
    }
    if (received_.size() > kAnswerMax) return Errno(EBADMSG);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    if (left.count() <= 0) return Errno(ETIMEDOUT);
    pollfd readable{fd_.get(), POLLIN, 0};
    const int ready = ::poll(&readable, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) return Errno::last();
    if (ready <= 0) continue;
    char buffer[16384];
    const ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return Errno::last();
    if (n == 0) return Errno(ECONNRESET);
    if (n > 0) received_.append(buffer, static_cast<std::size_t>(n));
  }
}

}  // namespace coffer::mount
