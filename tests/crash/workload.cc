#include "tests/crash/workload.h"

#include <fmt/format.h>

#include <algorithm>

namespace coffer::crash {
namespace {

constexpr std::size_t kEntriesMax = 16;
constexpr std::size_t kOpenMax = 3;

}  // namespace

bool Workload::act() {
  using Action = void (Workload::*)();
  static constexpr std::pair<int, Action> kActions[] = {
      {10, &Workload::create},     {14, &Workload::overwrite},
      {10, &Workload::append},     {8, &Workload::rewrite},
      {7, &Workload::truncate},    {7, &Workload::punch},
      {3, &Workload::copy},        {6, &Workload::flush_one},
      {10, &Workload::close_one},  {8, &Workload::rename_file},
      {7, &Workload::rename_over}, {4, &Workload::rename_directory},
      {4, &Workload::exchange},    {3, &Workload::link},
      {3, &Workload::symlink},     {5, &Workload::unlink},
      {4, &Workload::mkdir},       {2, &Workload::rmdir},
      {10, &Workload::fsync},      {4, &Workload::fsync_directory},
      {6, &Workload::settle},
  };
  int all = 0;
  for (const auto& [weight, action] : kActions) all += weight;
  int pick = static_cast<int>(below(static_cast<std::uint64_t>(all)));
  for (const auto& [weight, action] : kActions) {
    pick -= weight;
    if (pick >= 0) continue;
    (this->*action)();
    break;
  }
  while (open_.size() > kOpenMax) close(0);
  if (history_.tree().size() > kEntriesMax) unlink();
  if (one_in(40)) sync();
  return failure_.empty();
}

bool Workload::step(const std::string& what, const std::function<base::Status()>& verb) {
  if (!failure_.empty()) return false;
  history_.begin(what, vault_->recording().size());
  const base::Status done = verb();
  history_.end(vault_->recording().size());
  if (!done) failure_ = fmt::format("{}: error {}", what, done.error().code());
  return done.has_value();
}

bool Workload::sync() {
  if (!step("sync", [&] { return vault_->fs().sync(); })) return false;
  for (const auto& [file, history] : history_.files()) history_.promise(file, Promise::Kind::kDurable);
  history_.promise_names(history_.now());
  return true;
}

bool Workload::close_all() {
  while (!open_.empty()) close(open_.size() - 1);
  return failure_.empty();
}

bool Workload::lock() {
  if (!close_all() || !step("lock", [&] { return vault_->fs().shutdown(); })) return false;
  for (const auto& [file, history] : history_.files()) history_.promise(file, Promise::Kind::kDurable);
  history_.promise_names(history_.now());
  return true;
}

void Workload::fsync() {
  auto open = some_open();
  if (!open) return;
  const bool data_only = one_in(2);
  const auto verb = [&] { return vault_->fs().fsync(open->handle, data_only); };
  if (!step(fmt::format("{} {}", data_only ? "fdatasync" : "fsync", open->file), verb)) return;
  history_.promise(open->file, Promise::Kind::kDurable);
  history_.promise(open->file, Promise::Kind::kProcess);
  // fdatasync promises the name that the file was made with, but not what it was called since.
  if (!data_only) history_.promise_names(history_.named(open->file));
}

void Workload::fsync_directory() {
  const std::string path = some_directory();
  auto opened = vault_->fs().open_directory(inode(path));
  if (!opened) return;
  const bool done = step("fsync directory " + path, [&] { return vault_->fs().fsync_directory(opened->handle); });
  vault_->fs().release_directory(opened->handle);
  const Tree& tree = history_.tree();
  if (!done) return;
  const FileId id = path.empty() ? 0 : tree.at(path).id;
  history_.promise_names(last_change_in(id));
}

void Workload::settle() {
  const std::chrono::seconds later(one_in(3) ? 11 : 3);
  step(fmt::format("{} s pass", later.count()), [&] {
    vault_->fs().settle_by_hand(later);
    return base::ok();
  });
}

fs::InodeId Workload::inode(const std::string& path) {
  auto attr = vault_->lookup(path);
  if (!attr && failure_.empty()) failure_ = fmt::format("lookup {}: error {}", path, attr.error().code());
  return attr ? attr->id : fs::kRootInode;
}

std::string Workload::pattern(std::size_t size) {
  std::string text(size, '\0');
  std::minstd_rand fast(static_cast<unsigned>(random_()));
  for (char& c : text) c = static_cast<char>(fast() >> 8 | 1);  // never zero: what is zero was never written
  return text;
}

std::size_t Workload::length() {
  const std::size_t chunk = static_cast<std::size_t>(chunk_size_);
  switch (below(8)) {
    case 0:
    case 1:
    case 2:
      return 1 + below(200);
    case 3:
      return chunk;
    case 4:
      return chunk * (1 + below(3));
    case 5:
      return one_in(4) ? std::max<std::size_t>(140 << 10, 9 * chunk) : 1 + below(2 * chunk);  // sealed at once
    default:
      return 1 + below(3 * chunk);
  }
}

std::uint64_t Workload::position(std::uint64_t size) {
  const std::uint64_t at = one_in(8) ? below(size + 8 * chunk_size_) : below(size + 1);
  return one_in(3) ? at / chunk_size_ * chunk_size_ : at;
}

Workload::Paths Workload::paths(const std::string& kinds) const {
  Paths found;
  for (const auto& [path, entry] : history_.tree()) {
    if (kinds.find(entry.kind) != std::string::npos) found.push_back(path);
  }
  return found;
}

std::optional<std::string> Workload::some(const std::string& kinds) {
  const Paths all = paths(kinds);
  if (all.empty()) return std::nullopt;
  return all[below(all.size())];
}

std::string Workload::some_directory() {
  auto found = one_in(3) ? std::nullopt : some("d");
  return found.value_or("");
}

std::string Workload::new_path() {
  const std::string directory = some_directory();
  std::string name = fmt::format("n{}", ++names_made_);
  if (one_in(5)) name += std::string(170 + below(60), 'x');  // with a side file
  return directory.empty() ? name : directory + "/" + name;
}

}  // namespace coffer::crash
