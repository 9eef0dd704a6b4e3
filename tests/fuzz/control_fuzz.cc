// Lines that come over the control socket, from clients and from daemons, which may be any program's.
#include <algorithm>

#include "base/check.h"
#include "mount/control_message.h"
#include "tests/fuzz/input.h"

namespace coffer::mount {
namespace {

bool is_printable(const std::string& text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return (c >= '\0' && c < ' ') || c == '\x7f'; });
}

void check_answer(std::string_view line) {
  const auto answer = parse_answer(line);
  if (!answer) {
    COFFER_CHECK(answer.error().code() == EBADMSG);
    return;
  }
  for (const auto& [key, value] : answer->items()) {
    COFFER_CHECK(is_printable(text_of(*answer, key.c_str())));
    static_cast<void>(number_of(*answer, key.c_str()));
    static_cast<void>(is_set(*answer, key.c_str()));
  }
  const fs::Done end = parse_end(*answer);
  if (!end) {
    const int code = static_cast<int>(end.error().code);
    COFFER_CHECK(code > 0 && code < 256 && is_printable(end.error().message) && is_printable(end.error().hint));
  }
  // Shown by `coffer status --json`, and read by other programs.
  const std::string again = to_line(*answer);
  COFFER_CHECK(again.find('\n') == again.size() - 1);
  COFFER_CHECK(parse_answer(again).has_value());
}

}  // namespace
}  // namespace coffer::mount

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coffer::mount;
  const std::string line = coffer::fuzz::Input(data, size).rest_text();
  const std::string wanted = parse_request(line);
  if (!wanted.empty()) COFFER_CHECK(parse_request(to_line({{"request", wanted}})) == wanted);
  check_answer(line);
  return 0;
}
