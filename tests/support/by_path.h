// Verbs of a Filesystem by plaintext paths ("" is the root), as a kernel would come to them: lookup by lookup. The
// counts taken are kept.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "fs/filesystem.h"

namespace coffer::test {

inline std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}
inline std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }
inline fs::Caller caller() { return {::geteuid(), ::getegid(), ::getpid(), 022}; }

class ByPath {
 public:
  explicit ByPath(fs::Filesystem& fs) : fs_(fs) {}

  base::Result<fs::Attr> lookup(const std::string& path) {
    base::Result<fs::Attr> at = fs_.getattr(fs::kRootInode);
    for (std::size_t begin = 0; at && begin < path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      at = fs_.lookup(at->id, path.substr(begin, end - begin));
      begin = end + 1;
    }
    return at;
  }
  // All of a file; a byte more than `size` if it has more.
  base::Result<std::string> read(fs::InodeId file, std::uint64_t size) {
    COFFER_ASSIGN_OR_RETURN(fs::Opened opened, fs_.open_file(file, O_RDONLY, false));
    std::string content(static_cast<std::size_t>(size) + 1, '\0');
    auto got = fs_.read(opened.handle, 0, {reinterpret_cast<base::Byte*>(content.data()), content.size()});
    fs_.release(opened.handle);
    if (!got) return got.error();
    content.resize(*got);
    return content;
  }
  // Created if it is not there; opened with `flags` besides O_RDWR, written, closed. The first error.
  base::Status write_file(const std::string& path, std::uint64_t offset, base::ByteView data, int flags) {
    COFFER_ASSIGN_OR_RETURN(fs::Attr parent, lookup(parent_of(path)));
    COFFER_ASSIGN_OR_RETURN(fs::Created made, fs_.create(parent.id, name_of(path), 0644, O_RDWR | flags, caller()));
    base::Status status = base::ok();
    if (!data.empty()) {
      auto written = fs_.write(made.opened.handle, offset, data, {});
      if (!written) status = written.error();
    }
    const base::Status flushed = fs_.flush(made.opened.handle);
    fs_.release(made.opened.handle);
    return status ? flushed : status;
  }
  // In no order, without "." and "..".
  base::Result<std::vector<std::string>> list(fs::InodeId directory) {
    std::vector<std::string> names;
    COFFER_ASSIGN_OR_RETURN(fs::Opened opened, fs_.open_directory(directory));
    auto listed = fs_.list(opened.handle, 0, true, [&](const fs::ListedEntry& entry) {
      if (entry.name != "." && entry.name != "..") names.emplace_back(entry.name);
      return true;
    });
    fs_.release_directory(opened.handle);
    COFFER_RETURN_IF_ERROR(listed);
    return names;
  }

 private:
  fs::Filesystem& fs_;
};

}  // namespace coffer::test
