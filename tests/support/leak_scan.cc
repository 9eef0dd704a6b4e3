// leak_scan PLAIN VAULT [CONTROL]: looks in the folder VAULT, at every byte offset of names, contents, link targets and
// extended attributes, for what the folder PLAIN holds: names of 8 bytes or more, link targets, names and values of
// extended attributes likewise, and 16-byte runs of content, taken at every 16th offset (up to kRunsPerFile a file) so
// that any leak of 31 bytes in a row is seen. Runs of fewer than six different bytes are left out: a header's zeros and
// small numbers hold some by accident. What also occurs in CONTROL, an empty vault, says nothing (README.txt is plain
// text) and is left out too.
//
// Prints each finding, at most kFindingsShown; exit code 0: none, 1: some, 2: could not look.

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

constexpr std::size_t kRun = 16;
constexpr std::size_t kNameMin = 8;
constexpr std::size_t kRunsPerFile = 16384;
constexpr int kDistinctMin = 6;
constexpr int kFindingsShown = 20;
constexpr std::size_t kFilterBits = std::size_t{1} << 28;

[[noreturn]] void die(const std::string& what) {
  std::perror(what.c_str());
  std::exit(2);
}

std::uint64_t first_eight(const char* at) {
  std::uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

std::size_t filter_slot(std::uint64_t key) { return (key * 0x9e3779b97f4a7c15ULL) >> (64 - 28); }

bool is_constant(std::string_view run) {
  std::set<char> distinct(run.begin(), run.end());
  return static_cast<int>(distinct.size()) < kDistinctMin;
}

// What to look for, found by its first eight bytes.
class Needles {
 public:
  void add(std::string_view needle) {
    if (needle.size() < kNameMin) return;
    std::uint64_t key = first_eight(needle.data());
    filter_[filter_slot(key)] = true;
    auto [at, end] = needles_.equal_range(key);
    for (; at != end; ++at) {
      if (at->second == needle) return;
    }
    needles_.emplace(key, needle);
  }

  void remove(const std::string& needle) {
    auto [at, end] = needles_.equal_range(first_eight(needle.data()));
    for (; at != end; ++at) {
      if (at->second == needle) {
        needles_.erase(at);
        return;
      }
    }
  }

  // Calls found(needle, offset) for each needle in `hay`.
  void search(std::string_view hay, const std::function<void(const std::string&, std::size_t)>& found) const {
    if (hay.size() < kNameMin) return;
    for (std::size_t offset = 0; offset + kNameMin <= hay.size(); ++offset) {
      std::uint64_t key = first_eight(hay.data() + offset);
      if (!filter_[filter_slot(key)]) continue;
      auto [at, end] = needles_.equal_range(key);
      for (; at != end; ++at) {
        if (hay.substr(offset, at->second.size()) == at->second) found(at->second, offset);
      }
    }
  }

  std::size_t size() const { return needles_.size(); }

 private:
  std::vector<bool> filter_ = std::vector<bool>(kFilterBits);
  std::unordered_multimap<std::uint64_t, std::string> needles_;
};

// The content of a file, mapped.
class Mapping {
 public:
  explicit Mapping(const std::string& path) {
    int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) die(path);
    struct stat attributes;
    if (::fstat(fd, &attributes) != 0) die(path);
    size_ = static_cast<std::size_t>(attributes.st_size);
    if (size_ > 0) {
      data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
      if (data_ == MAP_FAILED) die(path);
    }
    ::close(fd);
  }
  ~Mapping() {
    if (size_ > 0) ::munmap(data_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  std::string_view text() const { return {static_cast<const char*>(data_), size_}; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

enum class Part { kName, kContent, kLinkTarget, kAttributeName, kAttributeValue };
using Visitor = std::function<void(Part, std::string_view bytes, const std::string& path)>;

void visit_attributes(const std::string& path, const Visitor& visit) {
  std::vector<char> names(65536);
  ssize_t length = ::llistxattr(path.c_str(), names.data(), names.size());
  if (length < 0) return;  // the file system has none
  for (const char *at = names.data(), *end = at + length; at < end; at += std::strlen(at) + 1) {
    if (std::string_view(at).starts_with("system.posix_acl_")) continue;  // kept as they are, on purpose
    visit(Part::kAttributeName, at, path);
    std::vector<char> value(65536);
    ssize_t size = ::lgetxattr(path.c_str(), at, value.data(), value.size());
    if (size >= 0) visit(Part::kAttributeValue, {value.data(), static_cast<std::size_t>(size)}, path);
  }
}

void visit_tree(const std::string& folder, const Visitor& visit) {
  visit_attributes(folder, visit);
  DIR* stream = ::opendir(folder.c_str());
  if (stream == nullptr) die(folder);
  while (const dirent* entry = ::readdir(stream)) {
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    std::string path = folder + "/" + name;
    visit(Part::kName, name, path);
    struct stat attributes;
    if (::lstat(path.c_str(), &attributes) != 0) die(path);
    if (S_ISDIR(attributes.st_mode)) {
      visit_tree(path, visit);
      continue;
    }
    visit_attributes(path, visit);
    if (S_ISREG(attributes.st_mode)) {
      visit(Part::kContent, Mapping(path).text(), path);
    } else if (S_ISLNK(attributes.st_mode)) {
      std::vector<char> target(4096);
      ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
      if (size < 0) die(path);
      visit(Part::kLinkTarget, {target.data(), static_cast<std::size_t>(size)}, path);
    }
  }
  ::closedir(stream);
}

void collect(Needles& needles, Part part, std::string_view bytes) {
  switch (part) {
    case Part::kContent: {
      std::size_t runs = bytes.size() / kRun;
      std::size_t step = runs <= kRunsPerFile ? 1 : runs / kRunsPerFile + 1;
      for (std::size_t run = 0; run < runs; run += step) {
        std::string_view text = bytes.substr(run * kRun, kRun);
        if (!is_constant(text)) needles.add(text);
      }
      break;
    }
    case Part::kAttributeName:
      needles.add(bytes.substr(bytes.find('.') + 1));
      break;
    case Part::kAttributeValue:
      if (!is_constant(bytes)) needles.add(bytes);
      break;
    case Part::kName:
    case Part::kLinkTarget:
      needles.add(bytes);
      break;
  }
}

const char* name_of(Part part) {
  switch (part) {
    case Part::kName:
      return "name";
    case Part::kContent:
      return "content";
    case Part::kLinkTarget:
      return "link target";
    case Part::kAttributeName:
      return "attribute name";
    case Part::kAttributeValue:
      break;
  }
  return "attribute value";
}

std::string printable(std::string_view bytes) {
  std::string result;
  for (char c : bytes.substr(0, 80)) result += c >= ' ' && c <= '~' ? c : '?';
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fprintf(stderr, "usage: leak_scan PLAIN VAULT [CONTROL]\n");
    return 2;
  }
  Needles needles;
  visit_tree(argv[1], [&](Part part, std::string_view bytes, const std::string&) { collect(needles, part, bytes); });
  if (argc == 4) {
    std::set<std::string> known;
    visit_tree(argv[3], [&](Part, std::string_view bytes, const std::string&) {
      needles.search(bytes, [&](const std::string& needle, std::size_t) { known.insert(needle); });
    });
    for (const std::string& needle : known) needles.remove(needle);
  }
  std::uint64_t bytes_seen = 0;
  int findings = 0;
  visit_tree(argv[2], [&](Part part, std::string_view bytes, const std::string& path) {
    bytes_seen += bytes.size();
    needles.search(bytes, [&](const std::string& needle, std::size_t offset) {
      if (findings++ < kFindingsShown) {
        std::printf("%s: %s at %zu: %s\n", path.c_str(), name_of(part), offset, printable(needle).c_str());
      }
    });
  });
  std::printf("%zu needles, %llu bytes searched, %d findings\n", needles.size(),
              static_cast<unsigned long long>(bytes_seen), findings);
  return findings == 0 ? 0 : 1;
}
