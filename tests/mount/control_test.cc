#include "mount/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>

#include "tests/support/temp_dir.h"

namespace coffer::mount {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::HasSubstr;

class ControlTest : public ::testing::Test {
 protected:
  void start(ControlServer::Status status = [] { return json{{"mount_point", "/mnt"}, {"open_files", 3}}; }) {
    auto started = ControlServer::start(dir_.open(), std::move(status));
    ASSERT_TRUE(started) << started.error().code();
    server_ = *std::move(started);
  }

  base::Result<json> ask(const json& request) {
    base::Result<ControlClient> client = ControlClient::connect(dir_.path());
    if (!client) return client.error();
    COFFER_RETURN_IF_ERROR(client->send(request));
    return client->receive(20s);
  }

  sockaddr_un address_of_socket() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = dir_.path() + "/control";
    EXPECT_LT(path.size(), sizeof address.sun_path);
    path.copy(address.sun_path, path.size());
    return address;
  }

  // A connection that does as it likes.
  base::UniqueFd raw() {
    base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = address_of_socket();
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }

  test::TempDir dir_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(ControlTest, AnswersWhatItIsAsked) {
  start();
  const base::Result<json> answer = ask({{"request", "status"}});
  ASSERT_TRUE(answer);
  EXPECT_EQ((*answer)["open_files"], 3);
}

TEST_F(ControlTest, TheSocketIsForItsOwnerAndGoesWithTheServer) {
  start();
  struct stat attributes {};
  const std::string path = dir_.path() + "/control";
  ASSERT_EQ(::lstat(path.c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 07777, 0600u);
  server_.reset();
  EXPECT_NE(::lstat(path.c_str(), &attributes), 0);
  EXPECT_FALSE(ControlClient::connect(dir_.path()));
}

TEST_F(ControlTest, ADeadSocketIsReplaced) {
  {  // what a daemon leaves that was killed
    base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = address_of_socket();
    ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  EXPECT_EQ(ControlClient::connect(dir_.path()).error().code(), ECONNREFUSED);
  start();
  EXPECT_TRUE(ask({{"request", "status"}}));
}

TEST_F(ControlTest, ALongStatePathWillDo) {
  const std::string deep = dir_.path() + "/" + std::string(200, 'x');
  ASSERT_EQ(::mkdir(deep.c_str(), 0700), 0);
  base::UniqueFd folder(::open(deep.c_str(), O_RDONLY | O_DIRECTORY));
  auto started = ControlServer::start(folder, [] { return json{{"ok", true}}; });
  ASSERT_TRUE(started);
  base::Result<ControlClient> client = ControlClient::connect(deep);
  ASSERT_TRUE(client);
  ASSERT_TRUE(client->send({{"request", "status"}}));
  EXPECT_TRUE(client->receive(20s));
}

TEST_F(ControlTest, NonsenseIsAnsweredOrCutOff) {
  start();
  EXPECT_THAT((*ask({{"request", "fly"}}))["error"], "unknown request");
  EXPECT_THAT((*ask(json::array({1, 2})))["error"], "unknown request");
  EXPECT_THAT((*ask({{"request", {{"deep", 1}}}}))["error"], "unknown request");
  // No newline within the limit: the connection ends, with no answer.
  base::UniqueFd fd = raw();
  const std::string flood(64 * 1024, 'x');
  ::send(fd.get(), flood.data(), flood.size(), MSG_NOSIGNAL);
  char c;
  EXPECT_LE(::recv(fd.get(), &c, 1, 0), 0);
  EXPECT_TRUE(ask({{"request", "status"}}));
}

TEST_F(ControlTest, TheSilentAndTheManyDoNotKeepOthersOut) {
  start();
  std::vector<base::UniqueFd> crowd;
  for (int i = 0; i < 60; ++i) crowd.push_back(raw());
  EXPECT_TRUE(ask({{"request", "status"}}));
}

TEST_F(ControlTest, TellsThoseWhoWaitHowItEnded) {
  start();
  base::Result<ControlClient> client = ControlClient::connect(dir_.path());
  ASSERT_TRUE(client);
  ASSERT_TRUE(client->send({{"request", "await_end"}}));
  EXPECT_EQ(client->receive(300ms).error().code(), ETIMEDOUT);
  EXPECT_TRUE(ask({{"request", "status"}}));  // others are still heard
  server_->finish(fs::UserError{fs::ExitCode::kNoSpace, "no room", "make some"});
  const base::Result<json> answer = client->receive(20s);
  ASSERT_TRUE(answer);
  EXPECT_EQ((*answer)["ended"], true);
  EXPECT_EQ((*answer)["error"]["code"], 19);
  EXPECT_EQ((*answer)["error"]["message"], "no room");
}

TEST_F(ControlTest, AGoodEndHasNoError) {
  start();
  base::Result<ControlClient> client = ControlClient::connect(dir_.path());
  ASSERT_TRUE(client && client->send({{"request", "await_end"}}));
  ASSERT_TRUE(ask({{"request", "status"}}));  // so that the first has been read
  server_->finish(std::monostate{});
  const base::Result<json> answer = client->receive(20s);
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->contains("error"));
}

TEST_F(ControlTest, ADaemonThatDiesIsSeen) {
  start();
  base::Result<ControlClient> client = ControlClient::connect(dir_.path());
  ASSERT_TRUE(client && client->send({{"request", "await_end"}}));
  server_.reset();
  EXPECT_EQ(client->receive(20s).error().code(), ECONNRESET);
}

// Root asks the daemons of others, and those may be programs of any kind.
class FakeDaemon {
 public:
  FakeDaemon(const sockaddr_un& address, std::string answer) : answer_(std::move(answer)) {
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 1), 0);
    thread_ = std::thread([this] {
      base::UniqueFd fd(::accept(listener_.get(), nullptr, nullptr));
      for (std::size_t sent = 0; sent < answer_.size();) {
        const ssize_t n = ::send(fd.get(), answer_.data() + sent, answer_.size() - sent, MSG_NOSIGNAL);
        if (n < 0) return;
        sent += static_cast<std::size_t>(n);
      }
    });
  }
  ~FakeDaemon() { thread_.join(); }

 private:
  base::UniqueFd listener_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::string answer_;
  std::thread thread_;
};

// The JSON library copies and prints by recursion: half a million levels would be the end of whoever does.
TEST_F(ControlTest, ADeepAnswerIsNone) {
  const std::string deep(std::size_t{1} << 19, '[');
  FakeDaemon daemon(address_of_socket(), R"({"mount_point":)" + deep + std::string(deep.size(), ']') + "}\n");
  const base::Result<json> answer = ask({{"request", "status"}});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), EBADMSG);
}

TEST(ParseAnswer, TakesWhatDaemonsSayAndNothingElse) {
  EXPECT_TRUE(parse_answer(R"({"mount_point":"/mnt","warnings":["one","two"],"error":{"code":14}})"));
  for (const char* wrong : {"", "[]", "7", "\"text\"", "{", "{} {}", R"({"a":[[[[[[[[[[]]]]]]]]]]})"}) {
    EXPECT_FALSE(parse_answer(wrong)) << wrong;
  }
}

TEST(ParseAnswer, MembersOfAnotherTypeCountAsMissing) {
  const json answer = *parse_answer(R"({"text":7,"number":"7","negative":-1,"flag":1,"colour":"\u001b[31mred"})");
  EXPECT_EQ(text_of(answer, "text"), "");
  EXPECT_EQ(number_of(answer, "number"), 0U);
  EXPECT_EQ(number_of(answer, "negative"), 0U);
  EXPECT_FALSE(is_set(answer, "flag"));
  EXPECT_EQ(text_of(answer, "colour"), "?[31mred");
}

TEST(ParseEnd, AFailureIsNeverASuccess) {
  EXPECT_TRUE(parse_end(*parse_answer(R"({"ended":true})")));
  for (const char* code : {"0", "256", "-1", "4294967296", "1e3", "\"14\"", "null"}) {
    const auto end = parse_end(*parse_answer(R"({"error":{"message":"m\u0007","code":)" + std::string(code) + "}}"));
    ASSERT_FALSE(end) << code;
    EXPECT_EQ(end.error().code, fs::ExitCode::kOther) << code;
    EXPECT_EQ(end.error().message, "m?");
  }
  const fs::Done busy = parse_end(*parse_answer(R"({"error":{"code":14,"message":"busy","hint":"wait"}})"));
  EXPECT_EQ(busy.error().code, fs::ExitCode::kBusy);
  EXPECT_EQ(busy.error().hint, "wait");
}

TEST_F(ControlTest, OnlySoManyMayWait) {
  start();
  std::vector<ControlClient> waiting;
  for (int i = 0; i < 16; ++i) {
    base::Result<ControlClient> client = ControlClient::connect(dir_.path());
    ASSERT_TRUE(client && client->send({{"request", "await_end"}}));
    waiting.push_back(*std::move(client));
  }
  EXPECT_THAT((*ask({{"request", "await_end"}}))["error"], "too many are waiting");
  EXPECT_TRUE(ask({{"request", "status"}}));
}

TEST_F(ControlTest, ManyAskAtOnce) {
  start();
  std::atomic<int> answers = 0;
  std::vector<std::thread> askers;
  for (int i = 0; i < 8; ++i) {
    askers.emplace_back([&] {
      for (int n = 0; n < 20; ++n) answers += ask({{"request", "status"}}) ? 1 : 0;
    });
  }
  for (std::thread& asker : askers) asker.join();
  EXPECT_EQ(answers, 160);
}

TEST(ToLine, BytesThatAreNoTextBecomeVisible) {
  EXPECT_EQ(to_line({{"name", "a\xff"}}), "{\"name\":\"a\xef\xbf\xbd\"}\n");
}

}  // namespace
}  // namespace coffer::mount
