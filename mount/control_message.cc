#include "mount/control_message.h"

#include "fs/user_text.h"

namespace coffer::mount {

using base::Errno;
using base::Result;
using nlohmann::json;

namespace {

// Our answers have a list in an object. The library copies and prints values by recursion.
constexpr int kDepthMax = 8;

// One of ours that means a failure.
fs::ExitCode exit_code_of(std::uint64_t code) {
  return code >= 1 && code <= static_cast<std::uint64_t>(fs::ExitCode::kInterrupted) ? static_cast<fs::ExitCode>(code)
                                                                                     : fs::ExitCode::kOther;
}

}  // namespace

std::string to_line(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"; }

std::string parse_request(std::string_view line) {
  const json request = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!request.is_object()) return "";
  const auto wanted = request.find("request");
  return wanted != request.end() && wanted->is_string() ? wanted->get<std::string>() : "";
}

Result<json> parse_answer(std::string_view line) {
  bool too_deep = false;
  json answer = json::parse(
      line,
      [&](int depth, json::parse_event_t, json&) {
        too_deep |= depth > kDepthMax;
        return !too_deep;
      },
      /*allow_exceptions=*/false);
  if (too_deep || !answer.is_object()) return Errno(EBADMSG);
  return answer;
}

json end_message(const fs::Done& end) {
  json message{{"ended", true}};
  if (!end) {
    const fs::UserError& error = end.error();
    message["error"] = {{"code", static_cast<int>(error.code)}, {"message", error.message}, {"hint", error.hint}};
  }
  return message;
}

fs::Done parse_end(const json& answer) {
  const auto error = answer.find("error");
  if (error == answer.end() || !error->is_object()) return std::monostate{};
  return fs::UserError{exit_code_of(number_of(*error, "code")), text_of(*error, "message"), text_of(*error, "hint")};
}

std::string text_of(const json& answer, const char* key) {
  const auto found = answer.find(key);
  return found != answer.end() && found->is_string() ? fs::printable(found->get<std::string>()) : "";
}

std::uint64_t number_of(const json& answer, const char* key) {
  const auto found = answer.find(key);
  return found != answer.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

bool is_set(const json& answer, const char* key) {
  const auto found = answer.find(key);
  return found != answer.end() && found->is_boolean() && found->get<bool>();
}

}  // namespace coffer::mount
