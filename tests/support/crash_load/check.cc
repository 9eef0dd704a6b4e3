#include "check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>

namespace crash {
namespace {

namespace stdfs = std::filesystem;

const char* name_of(Kind kind) {
  return kind == Kind::kFile ? "file" : kind == Kind::kFolder ? "folder" : "symbolic link";
}

// A name of 220 letters tells no more than its first ones.
std::string shortened(const std::string& path) {
  std::string text;
  for (std::size_t at = 0; at < path.size(); ++at) {
    const bool run = at >= 3 && path[at] == 'x' && path[at - 1] == 'x' && path[at - 2] == 'x';
    if (!run) text += path[at];
  }
  return text;
}

class Checker {
 public:
  Checker(Load& load, unsigned number, WorkerModel& model, Counts& counts)
      : load_(load), folder_(fmt::format("{}/worker-{}", load.folder, number)), model_(model), counts_(counts) {}

  void run() {
    list("");
    if (was_made(model_.pending)) carry_out(model_.tree, model_.pending);
    compare_names();
    for (auto at = model_.tree.begin(); at != model_.tree.end();) {
      const bool whole = at->second.kind == Kind::kFolder || compare(at->first, at->second);
      if (whole) {
        ++at;
        continue;
      }
      std::error_code ignored;
      stdfs::remove(full(at->first), ignored);
      at = model_.tree.erase(at);
    }
    model_.pending = {};
  }

 private:
  std::string full(const std::string& path) const { return path.empty() ? folder_ : folder_ + "/" + path; }

  void report(const char* violation_class, const std::string& path, const std::string& text) {
    load_.violation(violation_class, shortened(full(path)), text);
  }

  // Was the change made that was under way when the mount died?
  bool was_made(const Change& change) const {
    if (change.what == Change::What::kNothing) return false;
    Tree after = model_.tree;
    carry_out(after, change);
    const std::size_t without = differences(model_.tree);
    const std::size_t with = differences(after);
    if (with != without || change.what != Change::What::kExchange) return with < without;
    // Two of a kind have changed places: no name tells.
    return !looks_like(change.from, model_.tree) && looks_like(change.from, after);
  }

  // Whether there is what `tree` has there; roughly, for files.
  bool looks_like(const std::string& path, const Tree& tree) const {
    const Node& node = tree.at(path);
    std::error_code error;
    if (node.kind == Kind::kLink) return stdfs::read_symlink(full(path), error) == node.target;
    if (node.kind == Kind::kFolder) return true;  // told by what is in it, or both are empty
    const Fd fd(::open(full(path).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    Data page(kPage);
    const ssize_t n = ::pread(fd.get(), page.data(), page.size(), 0);
    if (n <= 0 || node.file->pages.empty()) return n == 0 && node.file->size.verdict(0) == Verdict::kFine;
    return node.file->pages.front().verdict(hash_page(page.data(), static_cast<std::size_t>(n))) == Verdict::kFine;
  }

  void list(const std::string& folder) {
    std::error_code error;
    for (auto at = stdfs::directory_iterator(full(folder), error); !error && at != stdfs::directory_iterator();
         at.increment(error)) {
      const std::string path = (folder.empty() ? "" : folder + "/") + at->path().filename().string();
      std::error_code status_error;
      const stdfs::file_status status = at->symlink_status(status_error);
      if (status_error) {
        report("name-unreadable", path, "listed, but lstat says: " + status_error.message());
        continue;
      }
      const bool is_folder = status.type() == stdfs::file_type::directory;
      seen_[path] = is_folder ? Kind::kFolder : status.type() == stdfs::file_type::symlink ? Kind::kLink : Kind::kFile;
      if (is_folder) list(path);
    }
    if (error) report("name-unreadable", folder, "cannot be listed: " + error.message());
  }

  std::size_t differences(const Tree& tree) const {
    std::size_t found = 0;
    for (const auto& [path, node] : tree) {
      auto there = seen_.find(path);
      found += there == seen_.end() || there->second != node.kind ? 1 : 0;
    }
    for (const auto& [path, kind] : seen_) found += tree.count(path) == 0 ? 1 : 0;
    return found;
  }

  void compare_names() {
    for (auto at = model_.tree.begin(); at != model_.tree.end();) {
      auto there = seen_.find(at->first);
      if (there != seen_.end() && there->second == at->second.kind) {
        ++at;
        continue;
      }
      if (there == seen_.end()) {
        report("name-lost", at->first, fmt::format("the {} is not there{}", name_of(at->second.kind), pending_text()));
      } else {
        report("name-kind", at->first,
               fmt::format("is a {}, not a {}{}", name_of(there->second), name_of(at->second.kind), pending_text()));
      }
      at = model_.tree.erase(at);
    }
    for (const auto& [path, kind] : seen_) {
      if (model_.tree.count(path) != 0) continue;
      report("name-unknown", path, fmt::format("nobody made this {}, or it was gone{}", name_of(kind), pending_text()));
      std::error_code ignored;
      stdfs::remove_all(full(path), ignored);
    }
  }

  std::string pending_text() const {
    const Change& change = model_.pending;
    if (change.what == Change::What::kNothing) return "";
    static constexpr const char* kWhat[] = {"", "creation", "removal", "renaming", "exchange"};
    return fmt::format(" (under way: {} {} {})", kWhat[static_cast<int>(change.what)], shortened(change.from),
                       shortened(change.to));
  }

  bool compare(const std::string& path, Node& node) {
    if (node.kind == Kind::kFile) return compare_content(path, *node.file);
    std::error_code error;
    const std::string target = stdfs::read_symlink(full(path), error).string();
    if (!error && target == node.target) return true;
    report(error ? "unreadable" : "link", path,
           error ? "reading the link: " + error.message() : "leads to " + target + ", not " + node.target);
    return false;
  }

  // Whether it had content before that somebody relied on.
  static const char* unreadable(const File& file) { return file.promised ? "unreadable-old" : "unreadable-new"; }

  // The whole of it, or nothing and a report.
  std::optional<Data> read(const std::string& path, const File& file) {
    Fd fd(::open(full(path).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    struct stat attributes {};
    if (fd.get() < 0 || ::fstat(fd.get(), &attributes) != 0) {
      report(unreadable(file), path, fmt::format("open: {} (after {})", std::strerror(errno), file.story));
      return std::nullopt;
    }
    Data seen(static_cast<std::size_t>(attributes.st_size));
    for (std::size_t at = 0; at < seen.size();) {
      const ssize_t n = ::pread(fd.get(), seen.data() + at, seen.size() - at, static_cast<off_t>(at));
      if (n <= 0) {
        report(unreadable(file), path,
               fmt::format("read at {} of {}: {} (after {})", at, seen.size(),
                           n == 0 ? "ends there" : std::strerror(errno), file.story));
        return std::nullopt;
      }
      at += static_cast<std::size_t>(n);
    }
    return seen;
  }

  bool compare_content(const std::string& path, File& file) {
    std::optional<Data> seen = read(path, file);
    if (!seen) return false;
    ++counts_.files;
    counts_.bytes += seen->size();
    bool good = compare_size(path, file, seen->size());
    std::map<std::string, std::vector<std::size_t>> bad;  // pages, by class
    std::string states;                                   // of the first bad page
    File now;
    const std::size_t pages = (seen->size() + kPage - 1) / kPage;
    for (std::size_t page = 0; page < pages; ++page) {
      const std::size_t at = page * kPage;
      const Hash hash = hash_page(seen->data() + at, std::min(kPage, seen->size() - at));
      const History unwritten(hash_of_zeros());
      const History& history = page < file.pages.size() ? file.pages[page] : unwritten;
      const Verdict verdict = history.verdict(hash);
      counts_.older_than_close += verdict == Verdict::kBeforeClose ? 1 : 0;
      if (verdict != Verdict::kFine && verdict != Verdict::kBeforeClose && states.empty())
        states = history.describe(hash);
      if (verdict == Verdict::kBeforePromise) bad[hash == hash_of_zeros() ? "lost-zeros" : "lost"].push_back(page);
      if (verdict == Verdict::kNever) bad[hash == hash_of_zeros() ? "never-zeros" : "never"].push_back(page);
      now.pages.emplace_back(hash);
    }
    for (const auto& [violation_class, where] : bad) {
      report(
          violation_class.c_str(), path,
          fmt::format("{} of {} pages {}; the first at {}, in chunk {}, {} (after {})", where.size(), pages,
                      violation_class.find("lost") == 0 ? "are older than what was promised" : "never were like this",
                      where.front() * kPage, where.front() * kPage / 16384, states, file.story));
      good = false;
    }
    now.size = History(seen->size());
    now.promised = true;
    file = std::move(now);
    return good;
  }

  bool compare_size(const std::string& path, const File& file, std::size_t seen) {
    const auto [least, most] = file.size.range();
    const Verdict verdict = file.size.verdict(seen);
    if (verdict == Verdict::kFine) return true;
    // Pages are written back one by one, so the end may be that of any page.
    if (seen % kPage == 0 && least <= seen && seen <= most) return true;
    if (verdict == Verdict::kBeforeClose) {
      ++counts_.older_than_close;
      return true;
    }
    report(verdict == Verdict::kBeforePromise ? "lost-size" : "never-size", path,
           fmt::format("{} bytes; {} to {} since the last promise, {} at last (after {})", seen, least, most,
                       file.size.last(), file.story));
    return false;
  }

  Load& load_;
  std::string folder_;
  WorkerModel& model_;
  Counts& counts_;
  std::map<std::string, Kind> seen_;
};

}  // namespace

Counts check(Load& load, Model& model) {
  Counts counts;
  for (unsigned i = 0; i < model.workers.size(); ++i) Checker(load, i, model.workers[i], counts).run();
  return counts;
}

}  // namespace crash
