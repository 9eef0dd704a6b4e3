#include "fs/name_store.h"

#include <algorithm>

#include "crypto/base32.h"
#include "fs/durable_file.h"

namespace coffer::fs {
namespace {

constexpr std::string_view kTemporaryPrefix = ".~coffer-";
constexpr std::string_view kTemporarySuffix = ".tmp";
constexpr const char* kUpperSideSuffix = ".NAME";
// The longest ciphertext name: 16 + 255 bytes in base32 and a kind suffix.
constexpr std::size_t kFullNameMax = crypto::base32_length(16 + crypto::kMaxPlainName) + 1;

std::string folded(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

// What a client left of a token, in which case, and what it put around it.
struct Found {
  std::string as_found;
  std::string decoration;
};
Found find(const std::string& file_name, const std::string& token) {
  std::size_t at = folded(file_name).find(token);
  if (at == std::string::npos) return {token, file_name};
  return {file_name.substr(at, token.size()), file_name.substr(0, at) + file_name.substr(at + token.size())};
}

}  // namespace

EntryName NameStore::encode(const crypto::DirId& directory, crypto::Kind kind, std::string_view name) const {
  EntryName result;
  result.full = cipher_.encrypt(directory, kind, name);
  result.entry = crypto::entry_name(result.full, name_max_);
  return result;
}

ReadEntry NameStore::decode(FdRef directory, const std::vector<crypto::DirId>& ids, const std::string& file_name) {
  if (file_name.ends_with(crypto::kSideFileSuffix) || is_temporary_name(file_name)) return {};
  ReadEntry result;
  for (const crypto::NameToken& token : crypto::find_name_tokens(file_name)) {
    std::string full = token.text;
    Found found_as{token.text, {}};
    if (token.decorated) found_as = find(file_name, token.text);
    if (token.is_long) {
      auto found = long_name(directory, token.text, found_as.as_found);
      if (!found) {
        result.what = EntryClass::kUnreadable;
        continue;
      }
      full = *std::move(found);
    }
    for (const crypto::DirId& id : ids) {
      auto name = cipher_.decrypt(id, full);
      if (!name) continue;
      result.what = EntryClass::kOurs;
      const bool decorated = !found_as.decoration.empty();
      const bool other_case = token.decorated && !decorated;
      result.decoded = {*std::move(name), full, file_name, id, token.kind, decorated, std::move(found_as.decoration),
                        other_case};
      return result;
    }
    result.what = EntryClass::kUnreadable;
  }
  return result;
}

Result<std::string> NameStore::long_name(FdRef directory, const std::string& short_name, std::string_view as_found) {
  {
    base::MutexLock lock(mutex_);
    auto known = long_names_.find(short_name);
    if (known != long_names_.end()) return known->second;
  }
  const std::string suffix(crypto::kSideFileSuffix);
  auto fd = backing_.open(directory, short_name + suffix, O_RDONLY | O_NONBLOCK);
  if (!fd && as_found != short_name) {  // who changed the case of a name has likely changed that of its side file
    fd = backing_.open(directory, std::string(as_found) + kUpperSideSuffix, O_RDONLY | O_NONBLOCK);
    if (!fd) fd = backing_.open(directory, std::string(as_found) + suffix, O_RDONLY | O_NONBLOCK);
  }
  if (!fd) return fd.error();
  base::Bytes content(kFullNameMax + 1);
  COFFER_ASSIGN_OR_RETURN(std::size_t size, backing_.pread(*fd, content, 0));
  std::string full(base::as_text(ByteView(content).first(size)));
  if (size > kFullNameMax || crypto::short_form(full) != short_name) return Errno(EIO);
  remember(short_name, full);
  return full;
}

void NameStore::remember(const std::string& short_name, const std::string& full) {
  base::MutexLock lock(mutex_);
  if (long_names_.size() >= kLongNamesMax) long_names_.clear();
  long_names_.emplace(short_name, full);
}

Status NameStore::write_side_file(FdRef directory, const EntryName& name, bool durable) {
  if (!name.is_long()) return base::ok();
  std::string side = name.entry + std::string(crypto::kSideFileSuffix);
  if (auto present = long_name(directory, name.entry, name.entry)) {
    // Known or readable. In the cache it may be gone from this directory, so look.
    auto fd = backing_.open(directory, side, O_RDONLY | O_NONBLOCK);
    if (fd) return durable ? backing_.fsync(*fd) : base::ok();
  }
  std::string temporary = temporary_name();
  COFFER_ASSIGN_OR_RETURN(UniqueFd fd, backing_.open(directory, temporary, O_WRONLY | O_CREAT | O_EXCL, 0644));
  std::string content = name.full;
  Status status = backing_.pwritev(fd, {{content.data(), content.size()}}, 0);
  if (status && durable) status = backing_.fsync(fd);
  if (status) status = backing_.rename(directory, temporary, directory, side, 0);
  if (!status) {
    static_cast<void>(backing_.unlink(directory, temporary));  // the first error is the one to tell
    return status;
  }
  remember(name.entry, name.full);
  return base::ok();
}

Status NameStore::remove_side_file(FdRef directory, const EntryName& name) {
  if (!name.is_long()) return base::ok();
  Status status = backing_.unlink(directory, name.entry + std::string(crypto::kSideFileSuffix));
  if (!status && status.error() == Errno(ENOENT)) return base::ok();
  return status;
}

bool is_temporary_name(std::string_view file_name) {
  return file_name.starts_with(kTemporaryPrefix) && file_name.ends_with(kTemporarySuffix);
}

bool is_side_file_name(std::string_view file_name) {
  if (file_name.ends_with(crypto::kSideFileSuffix)) return true;
  // In other case only what is one for certain: nothing of somebody else's.
  const std::string text = folded(file_name);
  if (!text.ends_with(crypto::kSideFileSuffix)) return false;
  const auto tokens = crypto::find_name_tokens(text.substr(0, text.size() - crypto::kSideFileSuffix.size()));
  return !tokens.empty() && tokens.front().is_long && !tokens.front().decorated;
}

std::string conflict_name(const std::string& name, std::string_view label) {
  constexpr std::string_view kTrim = " ._-()[]~";
  std::size_t begin = label.find_first_not_of(kTrim);
  std::size_t end = label.find_last_not_of(kTrim);
  std::string text = begin == std::string_view::npos ? "copy" : std::string(label.substr(begin, end - begin + 1));
  std::string insert = " (conflict, " + text + ")";
  std::size_t dot = name.rfind('.');
  if (dot == std::string::npos || dot == 0) dot = name.size();
  std::string stem = name.substr(0, dot);
  std::string extension = name.substr(dot);
  if (insert.size() + extension.size() >= crypto::kMaxPlainName) {  // nothing of the stem would be left
    insert.resize(std::min<std::size_t>(insert.size(), 100));
    extension.resize(std::min<std::size_t>(extension.size(), 100));
  }
  std::size_t room = crypto::kMaxPlainName - insert.size() - extension.size();
  if (stem.size() > room) {
    stem.resize(room);
    // Not in the middle of a UTF-8 character.
    while (!stem.empty() && (static_cast<unsigned char>(stem.back()) & 0xC0) == 0x80) stem.pop_back();
    if (!stem.empty() && static_cast<unsigned char>(stem.back()) >= 0xC0) stem.pop_back();
  }
  return stem + insert + extension;
}

}  // namespace coffer::fs
