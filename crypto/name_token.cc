#include "crypto/base32.h"
#include "crypto/blake2b.h"
#include "crypto/name_cipher.h"
#include "crypto/name_text.h"

namespace coffer::crypto {
namespace {

constexpr std::size_t kMinRun = 28;  // a name of one byte: base32_length(16 + 1)
constexpr char kLongPrefix = '0';
constexpr std::size_t kLongHashSize = 20;
constexpr std::size_t kLongRun = base32_length(kLongHashSize);
static_assert(kLongRun == 32 && kMinRun == base32_length(17));

std::size_t end_of_run(std::string_view text, std::size_t begin) {
  while (begin < text.size() && is_base32_character(text[begin])) ++begin;
  return begin;
}

// A stretch of a file name, and the name it was found in (folded and as it is).
struct Source {
  std::string_view folded;
  std::string_view original;
};

NameToken make_token(const Source& source, std::size_t begin, std::size_t end, Kind kind) {
  NameToken token;
  token.text = source.folded.substr(begin, end - begin);
  token.kind = kind;
  token.is_long = token.text.front() == kLongPrefix;
  token.decorated = token.text != source.original;
  return token;
}

// Sync clients make copies of side files, too, and put their decoration before or behind the ".name". Such a copy is no
// entry, whatever its hash says.
bool is_side_file(const Source& source, std::size_t token_end) {
  return source.folded.find(kSideFileSuffix, token_end) != std::string_view::npos;
}

void add_run(const Source& source, std::size_t begin, std::size_t end, std::vector<NameToken>& tokens) {
  const std::optional<Kind> suffix =
      end < source.folded.size() ? kind_of_suffix(source.folded[end]) : std::optional<Kind>();
  const Kind kind = suffix.value_or(Kind::kFileOrDirectory);
  const std::size_t token_end = end + (suffix ? 1 : 0);
  if (end - begin == kLongRun && begin > 0 && source.folded[begin - 1] == kLongPrefix) {
    if (is_side_file(source, token_end)) return;
    tokens.push_back(make_token(source, begin - 1, token_end, kind));
  }
  // A run of 32 behind a '0' may still be the name of four bytes with a decoration that ends in '0'.
  tokens.push_back(make_token(source, begin, token_end, kind));
}

}  // namespace

std::vector<NameToken> find_name_tokens(std::string_view file_name) {
  const std::string folded = fold_case(file_name);
  const Source source{folded, file_name};
  std::vector<NameToken> tokens;
  std::size_t at = 0;
  while (at < folded.size()) {
    const std::size_t end = end_of_run(folded, at);
    if (end - at >= kMinRun) add_run(source, at, end, tokens);
    at = end + 1;
  }
  return tokens;
}

std::string entry_name(std::string_view ciphertext_name, std::uint16_t name_max) {
  return ciphertext_name.size() > name_max ? short_form(ciphertext_name) : std::string(ciphertext_name);
}

std::string short_form(std::string_view ciphertext_name) {
  ByteArray<kLongHashSize> hash;
  blake2b(hash, {}, {base::as_bytes(ciphertext_name)});
  std::string name = kLongPrefix + base32_encode(hash);
  const std::string_view stem = split_kind(ciphertext_name).stem;
  name += ciphertext_name.substr(stem.size());
  return name;
}

}  // namespace coffer::crypto
