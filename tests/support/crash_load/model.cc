#include "model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>

namespace crash {
namespace {

constexpr std::size_t kOlderKept = 8;

constexpr char kKinds[] = {'f', 'd', 'l'};

bool is_below(const std::string& path, const std::string& folder) {
  return path.size() > folder.size() && path.compare(0, folder.size(), folder) == 0 && path[folder.size()] == '/';
}

// Takes out `path` and all below it; what comes back has paths relative to it.
Tree take(Tree& tree, const std::string& path) {
  Tree taken;
  for (auto at = tree.lower_bound(path); at != tree.end();) {
    if (at->first != path && !is_below(at->first, path)) {
      // "a-b" lies between "a" and "a/b".
      if (at->first.compare(0, path.size(), path) != 0) break;
      ++at;
      continue;
    }
    taken.emplace(at->first.substr(path.size()), std::move(at->second));
    at = tree.erase(at);
  }
  return taken;
}

void put(Tree& tree, const std::string& path, Tree nodes) {
  for (auto& [relative, node] : nodes) tree[path + relative] = std::move(node);
}

void write_node(std::ostream& out, const Node& node) {
  out << kKinds[static_cast<int>(node.kind)] << ' ' << (node.target.empty() ? "-" : node.target);
  out << ' ' << (node.file ? static_cast<std::ptrdiff_t>(node.file->pages.size()) : -1) << '\n';
  if (!node.file) return;
  out << node.file->promised << ' ' << node.file->story << '\n' << node.file->size.text() << '\n';
  for (const History& page : node.file->pages) out << page.text() << '\n';
}

Node read_node(std::istream& in) {
  Node node;
  char kind = 0;
  std::ptrdiff_t pages = -1;  // there is no file
  in >> kind >> node.target >> pages;
  if (node.target == "-") node.target.clear();
  node.kind = static_cast<Kind>(std::find(std::begin(kKinds), std::end(kKinds), kind) - kKinds);
  std::string line;
  std::getline(in, line);
  if (pages < 0) return node;
  node.file = std::make_shared<File>();
  in >> node.file->promised;
  in.ignore();
  std::getline(in, node.file->story);
  std::getline(in, line);
  node.file->size = History::from(line);
  for (std::ptrdiff_t i = 0; i < pages && std::getline(in, line); ++i) node.file->pages.push_back(History::from(line));
  return node;
}

}  // namespace

Hash hash_page(const std::uint8_t* bytes, std::size_t size) {
  std::uint8_t whole[kPage] = {};
  if (size != 0) std::memcpy(whole, bytes, size);
  // The same in every process of this program.
  return std::hash<std::string_view>()({reinterpret_cast<const char*>(whole), sizeof whole});
}

Hash hash_of_zeros() {
  static const Hash hash = hash_page(nullptr, 0);
  return hash;
}

void History::promise() {
  closed();
  if (closed_ > kOlderKept) {
    states_.erase(states_.begin(), states_.begin() + static_cast<std::ptrdiff_t>(closed_ - kOlderKept));
    closed_ = kOlderKept;
  }
  promised_ = closed_;
}

Verdict History::verdict(std::uint64_t seen) const {
  for (std::size_t i = states_.size(); i-- > 0;) {
    if (states_[i] != seen) continue;
    return i >= closed_ ? Verdict::kFine : i >= promised_ ? Verdict::kBeforeClose : Verdict::kBeforePromise;
  }
  return Verdict::kNever;
}

std::string History::describe(std::uint64_t seen) const {
  const auto at = std::find(states_.rbegin(), states_.rend(), seen);
  const std::string which = at == states_.rend() ? "none" : fmt::format("{}", states_.rend() - at);
  return fmt::format("state {} of {}, {} was promised, {} closed", which, states_.size(), promised_ + 1, closed_ + 1);
}

std::pair<std::uint64_t, std::uint64_t> History::range() const {
  auto [least, most] = std::minmax_element(states_.begin() + static_cast<std::ptrdiff_t>(promised_), states_.end());
  return {*least, *most};
}

std::string History::text() const {
  std::ostringstream out;
  out << promised_ << ' ' << closed_;
  for (std::uint64_t state : states_) out << ' ' << state;
  return out.str();
}

History History::from(const std::string& text) {
  History history{0};
  std::istringstream in(text);
  in >> history.promised_ >> history.closed_;
  history.states_.clear();
  for (std::uint64_t state = 0; in >> state;) history.states_.push_back(state);
  return history;
}

void File::changed(std::size_t begin, std::size_t end) {
  size.now(data.size());
  const std::size_t last = std::max((end + kPage - 1) / kPage, begin / kPage + 1);
  for (std::size_t page = begin / kPage; page < last; ++page) {
    while (pages.size() <= page) pages.emplace_back(hash_of_zeros());
    const std::size_t at = page * kPage;
    const std::size_t length = at < data.size() ? std::min(kPage, data.size() - at) : 0;
    pages[page].now(hash_page(data.data() + (length == 0 ? 0 : at), length));
  }
}

void File::note(std::string_view operation) {
  constexpr std::size_t kNoted = 80;
  if (!story.empty()) story += ", ";
  story += operation;
  if (story.size() > kNoted) story.erase(0, story.find(", ", story.size() - kNoted) + 2);
}

void File::closed() {
  size.closed();
  for (History& page : pages) page.closed();
}

void File::promise(std::size_t begin, std::size_t end) {
  promised = true;
  size.promise();
  for (std::size_t page = begin / kPage; page * kPage < end; ++page) pages[page].promise();
}

void File::promise() {
  promised = true;
  size.promise();
  for (History& page : pages) page.promise();
}

void carry_out(Tree& tree, const Change& change) {
  switch (change.what) {
    case Change::What::kNothing:
      break;
    case Change::What::kAdd:
      tree[change.to] = change.added;
      break;
    case Change::What::kRemove:
      tree.erase(change.from);
      break;
    case Change::What::kRename: {
      Tree moved = take(tree, change.from);
      auto replaced = tree.find(change.to);
      const Node& source = moved.begin()->second;
      if (replaced != tree.end() && source.file) source.file->promise();
      put(tree, change.to, std::move(moved));
      break;
    }
    case Change::What::kExchange: {
      Tree one = take(tree, change.from);
      Tree other = take(tree, change.to);
      put(tree, change.to, std::move(one));
      put(tree, change.from, std::move(other));
      break;
    }
  }
}

void save(const Model& model, const std::string& path) {
  std::ofstream out(path + ".new");
  out << model.workers.size() << '\n';
  for (const WorkerModel& worker : model.workers) {
    const Change& pending = worker.pending;
    const auto name = [](const std::string& text) { return text.empty() ? "-" : text; };
    out << worker.tree.size() << ' ' << static_cast<int>(pending.what) << ' ' << name(pending.from) << ' '
        << name(pending.to) << '\n';
    write_node(out, pending.added);
    for (const auto& [node_path, node] : worker.tree) {
      out << node_path << '\n';
      write_node(out, node);
    }
  }
  out.close();
  if (!out || std::rename((path + ".new").c_str(), path.c_str()) != 0) std::perror(path.c_str());
}

std::optional<Model> load_model(const std::string& path) {
  std::ifstream in(path);
  std::size_t workers = 0;
  if (!(in >> workers)) return std::nullopt;
  Model model;
  for (std::size_t i = 0; i < workers; ++i) {
    WorkerModel worker;
    std::size_t nodes = 0;
    int what = 0;
    in >> nodes >> what >> worker.pending.from >> worker.pending.to;
    worker.pending.what = static_cast<Change::What>(what);
    for (std::string* name : {&worker.pending.from, &worker.pending.to})
      if (*name == "-") name->clear();
    worker.pending.added = read_node(in);
    for (std::size_t n = 0; n < nodes; ++n) {
      std::string node_path;
      in >> node_path;
      worker.tree.emplace(node_path, read_node(in));
    }
    model.workers.push_back(std::move(worker));
  }
  return in ? std::optional(std::move(model)) : std::nullopt;
}

}  // namespace crash
