#include "crypto/strict_json.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace coffer::crypto {
namespace {

// Builds the value from the parser's events; returning false from one ends the parse.
class Builder {
 public:
  using number_integer_t = Json::number_integer_t;
  using number_unsigned_t = Json::number_unsigned_t;
  using number_float_t = Json::number_float_t;
  using string_t = Json::string_t;
  using binary_t = Json::binary_t;

  explicit Builder(std::size_t text_size) : text_size_(text_size) {}

  Json take() { return std::move(root_); }
  JsonError error() const { return error_; }

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(number_integer_t value) { return add(value); }
  bool number_unsigned(number_unsigned_t value) { return add(value); }
  bool number_float(number_float_t value, const string_t&) { return add(value); }
  bool string(string_t& value) { return add(std::move(value)); }
  bool binary(binary_t&) { return false; }

  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(string_t& name) {
    Json& object = *open_.back();
    if (object.contains(name)) return fail(JsonError::kDuplicateKey);
    member_ = &object[name];
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) {
    return fail(position > text_size_ ? JsonError::kEndsEarly : JsonError::kSyntax);
  }

 private:
  // Where the next value belongs.
  Json& place() {
    if (open_.empty()) return root_;
    Json& container = *open_.back();
    return container.is_array() ? container.emplace_back() : *member_;
  }

  bool add(Json value) {
    place() = std::move(value);
    return true;
  }

  bool open(Json container) {
    if (open_.size() == kMaxJsonDepth) return fail(JsonError::kTooDeep);
    Json& opened = place();
    opened = std::move(container);
    open_.push_back(&opened);
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  bool fail(JsonError error) {
    error_ = error;
    return false;
  }

  std::size_t text_size_;
  Json root_;
  std::vector<Json*> open_;  // containers begun and not ended, outermost first; none grows but the last
  Json* member_ = nullptr;   // of the innermost object: where the value of the key just read goes
  JsonError error_ = JsonError::kSyntax;
};

bool begins_with_byte_order_mark(std::string_view text) { return text.starts_with("\xEF\xBB\xBF"); }

}  // namespace

std::variant<Json, JsonError> parse_strict_json(std::string_view text) {
  // The parser takes a zero byte for the end and skips a byte order mark; both would hide bytes from the reader.
  const std::size_t zero = text.find('\0');
  if (zero != std::string_view::npos) {
    return text.find_first_not_of('\0', zero) == std::string_view::npos ? JsonError::kEndsEarly : JsonError::kSyntax;
  }
  if (begins_with_byte_order_mark(text)) return JsonError::kSyntax;
  Builder builder(text.size());
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) return builder.error();
  return builder.take();
}

}  // namespace coffer::crypto
