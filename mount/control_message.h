// What goes over the control socket, to text and back. Who is at the other end may be another user's process (root asks
// all daemons), so nothing that comes is taken to have a shape or type before it was looked at. Thread-safe.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "fs/vault_folder.h"

namespace coffer::mount {

// JSON on one line; bytes that are not UTF-8 (paths may hold any) become U+FFFD instead of an exception.
std::string to_line(const nlohmann::json& value);

// What a request asks for; "" if it is none.
std::string parse_request(std::string_view line);
// Errors: EBADMSG: not an object in JSON, or nested deeper than any answer of ours.
base::Result<nlohmann::json> parse_answer(std::string_view line);

// How a mount ended, as those who wait for it are told, and read again: fit to be printed, never with the exit code of
// success.
nlohmann::json end_message(const fs::Done& end);
fs::Done parse_end(const nlohmann::json& answer);

// A member of an answer: "", 0 or false if it is not there or of another type. Texts are fit to be printed.
std::string text_of(const nlohmann::json& answer, const char* key);
std::uint64_t number_of(const nlohmann::json& answer, const char* key);
bool is_set(const nlohmann::json& answer, const char* key);

}  // namespace coffer::mount
