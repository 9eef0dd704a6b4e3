#include "tests/crash/check.h"

#include <fmt/format.h>

#include <algorithm>

namespace coffer::crash {
namespace {

void look_below(Mounted& vault, fs::InodeId directory, const std::string& path, SeenTree& seen,
                std::vector<Finding>& violations) {
  auto names = vault.list(directory);
  if (!names) {
    violations.push_back({"unlistable", fmt::format("{:.40}/: error {}", path, names.error().code())});
    return;
  }
  for (const std::string& name : *names) {
    const std::string full = path.empty() ? name : path + "/" + name;
    auto attr = vault.fs().lookup(directory, name);
    if (!attr || seen.count(full) != 0) {
      violations.push_back({attr ? "name-twice" : "unlistable", fmt::format("{:.60}: listed, but not found", full)});
      continue;
    }
    Seen& entry = seen[full];
    entry.ino = attr->ino;
    if (S_ISDIR(attr->mode)) {
      entry.kind = 'd';
      look_below(vault, attr->id, full, seen, violations);
      continue;
    }
    entry.kind = S_ISLNK(attr->mode) ? 'l' : 'f';
    auto content = entry.kind == 'l' ? vault.fs().readlink(attr->id) : vault.read(attr->id, attr->size);
    if (content) entry.content = *std::move(content);
    if (!content) entry.error = content.error().code();
    if (entry.kind == 'f' && content && attr->size != entry.content.size()) {
      violations.push_back(
          {"wrong-size", fmt::format("{:.60}: stat says {}, read gives {}", full, attr->size, entry.content.size())});
    }
  }
}

// The entry name of such a file has a side file, which is flushed with the file and not before.
constexpr std::size_t kSurelyShortName = 60;

// How a seen tree differs from one that it may be.
class Comparison {
 public:
  Comparison(const Moment& moment, int step, const Tree& tree, const SeenTree& seen)
      : moment_(moment), step_(step), tree_(tree), seen_(seen) {}

  void names() {
    for (const auto& [path, entry] : tree_) {
      auto found = seen_.find(path);
      if (found != seen_.end() && found->second.kind == entry.kind) {
        if (found->second.ino != moment_.history.files().at(entry.id).ino) ++strangers_;
        continue;
      }
      missing(path, entry);
    }
    for (const auto& [path, entry] : seen_) {
      auto known = tree_.find(path);
      if (known != tree_.end()) continue;
      const bool other_kind = path.find(" (conflict, ") != std::string::npos;
      ++unknown_;
      violations.push_back({other_kind ? "name-twice" : "unknown-name", fmt::format("{:.60} ({})", path, entry.kind)});
    }
  }

  void contents(std::uint64_t chunk_size) {
    std::map<FileId, std::uint64_t> inodes;
    for (const auto& [path, entry] : tree_) {
      auto found = seen_.find(path);
      if (found == seen_.end() || found->second.kind != entry.kind) continue;
      const std::uint64_t ino = inodes.emplace(entry.id, found->second.ino).first->second;
      if (ino != found->second.ino) violations.push_back({"links-parted", path});
      if (entry.kind != 'd') content(path, entry, found->second, chunk_size);
    }
  }

  std::vector<Finding> violations, tolerated;
  // How unlikely it is that this is the tree. A name may well be lost; one that is not of this tree, or leads to
  // another file than in it, speaks for another tree.
  std::size_t distance() const { return violations.size() + unknown_ + 2 * strangers_; }

 private:
  void missing(const std::string& path, const Entry& entry) {
    const std::string who = fmt::format("{:.60} ({} {})", path, entry.kind, entry.id);
    const bool side_file = name_of(path).size() > kSurelyShortName && entry.kind != 'd';
    const bool durable = moment_.history.promised(entry.id, moment_.completed, -1, false).has_value();
    if (!side_file || durable || moment_.process) {
      violations.push_back({"name-lost", who});
    } else if (promised(entry.id)) {
      violations.push_back({"rename-over-lost", who});
    } else {
      tolerated.push_back({"new-unsynced-incomplete", who});
    }
  }
  std::optional<std::size_t> promised(FileId file) const {
    return moment_.history.promised(file, moment_.completed, step_, moment_.process);
  }
  void content(const std::string& path, const Entry& entry, const Seen& seen, std::uint64_t chunk_size) {
    const FileHistory& file = moment_.history.files().at(entry.id);
    const auto oldest = promised(entry.id);
    const std::string who = fmt::format("{:.40} ({} {})", path, entry.kind, entry.id);
    const auto durable = moment_.history.promised(entry.id, moment_.completed, -1, false);
    // More than was flushed is promised only because it took another file's name.
    const bool replaced = oldest > durable && !moment_.process;
    if (seen.error != 0) {
      const char* what = durable           ? "unreadable"
                         : replaced        ? "rename-over-lost"
                         : moment_.process ? "incomplete-after-kill"
                                           : "new-unsynced-incomplete";
      auto& where = oldest || moment_.process ? violations : tolerated;
      where.push_back({what, fmt::format("{}: error {}", who, seen.error)});
      return;
    }
    std::size_t newest = 0;
    while (newest + 1 < file.versions.size() && file.versions[newest + 1].step <= moment_.started) ++newest;
    if (auto wrong = judge(file, oldest, newest, seen.content, chunk_size)) {
      const bool as_flushed = replaced && !judge(file, durable, newest, seen.content, chunk_size);
      violations.push_back({as_flushed ? "rename-over-lost" : wrong->what, who + ": " + wrong->detail});
    }
  }

  const Moment& moment_;
  int step_;
  const Tree& tree_;
  const SeenTree& seen_;
  std::size_t unknown_ = 0;    // names that are not in this tree
  std::size_t strangers_ = 0;  // names that lead to another file than in this tree
};

bool same_chunk(const std::string& content, const std::string& version, std::size_t begin, std::size_t end) {
  if (version.size() <= begin) return false;
  const std::size_t both = std::min(end, version.size());
  if (content.compare(begin, both - begin, version, begin, both - begin) != 0) return false;
  return std::all_of(content.begin() + static_cast<std::ptrdiff_t>(both),
                     content.begin() + static_cast<std::ptrdiff_t>(end), [](char c) { return c == '\0'; });
}

}  // namespace

SeenTree look_at(Mounted& vault, std::vector<Finding>& violations) {
  SeenTree seen;
  look_below(vault, fs::kRootInode, "", seen, violations);
  return seen;
}

std::optional<Finding> judge(const FileHistory& file, std::optional<std::size_t> promised, std::size_t newest,
                             const std::string& content, std::uint64_t chunk_size) {
  const std::size_t oldest = promised.value_or(0);
  const auto in_span = [&](auto fits) {
    for (std::size_t v = newest + 1; v-- > oldest;) {
      if (fits(file.versions[v].content)) return true;
    }
    return false;
  };
  const auto before_span = [&](auto fits) {
    for (std::size_t v = 0; v < oldest; ++v) {
      if (fits(file.versions[v].content)) return true;
    }
    return false;
  };
  const auto same_size = [&](const std::string& version) { return version.size() == content.size(); };
  // What was never flushed may have come as far as some chunk.
  const bool beginning = !promised && content.size() % chunk_size == 0 &&
                         in_span([&](const std::string& version) { return version.size() >= content.size(); });
  if (!in_span(same_size) && !beginning) {
    return Finding{before_span(same_size) ? "promise-broken" : "wrong-size",
                   fmt::format("size {}, last {}", content.size(), file.versions[newest].content.size())};
  }
  for (std::size_t begin = 0; begin < content.size(); begin += chunk_size) {
    const std::size_t end = std::min<std::size_t>(content.size(), begin + chunk_size);
    const auto fits = [&](const std::string& version) { return same_chunk(content, version, begin, end); };
    if (in_span(fits)) continue;
    return Finding{before_span(fits) ? "promise-broken" : "chunk-of-nothing",
                   fmt::format("chunk {} of {} bytes", begin / chunk_size, content.size())};
  }
  return std::nullopt;
}

// Of all states of the names that it may be, the one that it differs from least.
void compare(const Setup& setup, const Moment& moment, const SeenTree& seen, Checked& result) {
  std::optional<Comparison> best;
  std::size_t nearest = 0;  // the distance of the best one: names count before contents
  auto possible = moment.history.trees(moment.started, moment.completed, moment.process);
  std::reverse(possible.begin(), possible.end());
  for (const auto& [step, tree] : possible) {
    Comparison comparison(moment, step, *tree, seen);
    comparison.names();
    const std::size_t distance = comparison.distance();
    if (best && distance > nearest) continue;
    comparison.contents(setup.config.chunk_size);
    if (best && distance == nearest && comparison.violations.size() >= best->violations.size()) continue;
    nearest = distance;
    best.emplace(std::move(comparison));
    if (best->violations.empty()) break;
  }
  result.violations.insert(result.violations.end(), best->violations.begin(), best->violations.end());
  result.tolerated.insert(result.tolerated.end(), best->tolerated.begin(), best->tolerated.end());
}

namespace {

// Writes to every file, also to those that cannot be read, and to a new one: `seen` becomes what must be there then.
void write_everywhere(Mounted& vault, SeenTree& seen, std::vector<Finding>& violations) {
  std::map<std::uint64_t, std::string> written;
  seen["made after the crash"] = {'f', 0, EIO, {}};
  for (auto& [path, entry] : seen) {
    if (entry.kind != 'f') continue;
    if (auto known = written.find(entry.ino); known != written.end() && entry.ino != 0) {
      entry.content = known->second;
      entry.error = 0;
      continue;
    }
    const std::string data = "written after the crash";
    const std::size_t at = entry.error != 0 ? 0 : entry.content.size() - entry.content.size() / 3;
    const base::Status done = vault.write_file(path, at, data, entry.error != 0 ? O_TRUNC : 0);
    if (!done) {
      violations.push_back({"write-after", fmt::format("{:.60}: error {}", path, done.error().code())});
      continue;
    }
    if (entry.error != 0) entry.content.clear();
    if (entry.content.size() < at + data.size()) entry.content.resize(at + data.size());
    entry.content.replace(at, data.size(), data);
    entry.error = 0;
    written[entry.ino] = entry.content;
  }
}

void compare_after(const SeenTree& expected, const SeenTree& seen, std::vector<Finding>& violations) {
  for (const auto& [path, entry] : expected) {
    auto found = seen.find(path);
    const bool same = found != seen.end() && found->second.kind == entry.kind && found->second.error == entry.error &&
                      found->second.content == entry.content;
    if (!same) violations.push_back({"write-after", fmt::format("{:.60}: not as it was written", path)});
  }
  for (const auto& [path, entry] : seen) {
    if (expected.count(path) == 0) violations.push_back({"write-after", fmt::format("{:.60}: a new name", path)});
  }
}

}  // namespace

Checked check(const Setup& setup, const Image& image, const Moment& moment, bool go_on) {
  Checked result;
  const Folders folders(image);
  auto vault = Mounted::mount(setup, folders);
  if (!vault) {
    result.violations.push_back({"mount-failed", fmt::format("error {}", vault.error().code())});
    return result;
  }
  SeenTree seen = look_at(**vault, result.violations);
  compare(setup, moment, seen, result);
  result.seen = seen;
  result.recovery = (*vault)->recording().operations();
  if (!go_on) return result;
  std::vector<Finding> after;
  write_everywhere(**vault, seen, after);
  if (auto locked = (*vault)->fs().shutdown(); !locked) {
    after.push_back({"write-after", fmt::format("lock: error {}", locked.error().code())});
  }
  vault->reset();
  auto again = Mounted::mount(setup, folders);
  if (!again) after.push_back({"mount-failed", fmt::format("the second time: error {}", again.error().code())});
  if (again) compare_after(seen, look_at(**again, after), after);
  result.violations.insert(result.violations.end(), after.begin(), after.end());
  return result;
}

}  // namespace coffer::crash
