// Actions that change names.
#include <fmt/format.h>

#include "tests/crash/workload.h"

namespace coffer::crash {
namespace {

bool lies_in(const std::string& path, const std::string& directory) {
  return path == directory || path.starts_with(directory + "/");
}

// What lies at and below `from`, taken out of the tree.
Tree take(Tree& tree, const std::string& from) {
  Tree taken;
  for (auto at = tree.begin(); at != tree.end();) {
    if (!lies_in(at->first, from)) {
      ++at;
      continue;
    }
    taken[at->first.substr(from.size())] = at->second;
    at = tree.erase(at);
  }
  return taken;
}

void put(Tree& tree, const std::string& to, const Tree& taken) {
  for (const auto& [rest, entry] : taken) tree[to + rest] = entry;
}

}  // namespace

void Workload::made(const std::string& path, Entry entry) {
  history_.change_tree()[path] = entry;
  touched(path, entry.id);
}

// A name in the directory of `path` changed.
void Workload::touched(const std::string& path, FileId file) {
  history_.touched(file);
  const std::string parent = parent_of(path);
  changed_in_[parent.empty() ? 0 : history_.tree().at(parent).id] = history_.now();
}

int Workload::last_change_in(FileId directory) const {
  auto found = changed_in_.find(directory);
  return found == changed_in_.end() ? -1 : found->second;
}

void Workload::rename(const std::string& from, const std::string& to, unsigned flags) {
  const Tree& before = history_.tree();
  const Entry moved = before.at(from);
  const bool replaces = before.count(to) != 0;
  const fs::InodeId from_parent = inode(parent_of(from));
  const fs::InodeId to_parent = inode(parent_of(to));
  const auto verb = [&] {
    Tree& tree = history_.change_tree();
    const Tree source = take(tree, from);
    const Tree target = take(tree, to);
    put(tree, to, source);
    if (flags == RENAME_EXCHANGE) put(tree, from, target);
    touched(from, moved.id);
    touched(to, moved.id);
    if (!target.empty()) history_.touched(target.at("").id);
    return vault_->fs().rename(from_parent, name_of(from), to_parent, name_of(to), flags);
  };
  const char* what = flags == RENAME_EXCHANGE ? "exchange" : replaces ? "rename over" : "rename";
  if (!step(fmt::format("{} {:.40} -> {:.40} (file {})", what, from, to, moved.id), verb)) return;
  if (replaces && flags == 0 && moved.kind == 'f') history_.promise_as_flushed(moved.id);
}

void Workload::rename_file() {
  const auto from = some("fl");
  if (from) rename(*from, new_path(), one_in(2) ? RENAME_NOREPLACE : 0);
}

void Workload::rename_over() {
  const auto from = some("fl");
  const auto to = some("fl");
  if (!from || !to || history_.tree().at(*from).id == history_.tree().at(*to).id) return;
  rename(*from, *to, 0);
}

void Workload::rename_directory() {
  const auto from = some("d");
  const std::string to = new_path();
  if (from && !lies_in(to, *from)) rename(*from, to, 0);
}

void Workload::exchange() {
  const auto one = some("fld");
  const auto other = some("fld");
  if (!one || !other || lies_in(*one, *other) || lies_in(*other, *one)) return;
  if (history_.tree().at(*one).id == history_.tree().at(*other).id) return;
  rename(*one, *other, RENAME_EXCHANGE);
}

void Workload::link() {
  const auto from = some("f");
  if (!from) return;
  const std::string to = new_path();
  const Entry entry = history_.tree().at(*from);
  const fs::InodeId file = inode(*from);
  const fs::InodeId parent = inode(parent_of(to));
  step(fmt::format("link {} at {:.40}", entry.id, to), [&]() -> base::Status {
    made(to, entry);
    COFFER_RETURN_IF_ERROR(vault_->fs().link(file, parent, name_of(to)));
    return base::ok();
  });
}

void Workload::symlink() {
  const std::string path = new_path();
  const fs::InodeId parent = inode(parent_of(path));
  const std::string target = "to/" + std::to_string(below(1000000));
  step(fmt::format("symlink {:.40}", path), [&]() -> base::Status {
    const FileId file = history_.make('l');
    history_.set_link(file, target);
    made(path, {'l', file});
    COFFER_ASSIGN_OR_RETURN(fs::Attr attr, vault_->fs().symlink(parent, name_of(path), target, Mounted::caller()));
    history_.set_ino(file, attr.ino);
    return base::ok();
  });
}

void Workload::unlink() {
  const auto path = some("fl");
  if (!path) return;
  const fs::InodeId parent = inode(parent_of(*path));
  step(fmt::format("unlink {:.40}", *path), [&] {
    touched(*path, history_.tree().at(*path).id);
    history_.change_tree().erase(*path);
    return vault_->fs().unlink(parent, name_of(*path));
  });
}

void Workload::mkdir() {
  const std::string path = new_path();
  const fs::InodeId parent = inode(parent_of(path));
  step(fmt::format("mkdir {:.40}", path), [&]() -> base::Status {
    const FileId directory = history_.make('d');
    made(path, {'d', directory});
    COFFER_ASSIGN_OR_RETURN(fs::Attr attr, vault_->fs().mkdir(parent, name_of(path), 0755, Mounted::caller()));
    history_.set_ino(directory, attr.ino);
    return base::ok();
  });
}

void Workload::rmdir() {
  for (const std::string& path : paths("d")) {
    const Tree& tree = history_.tree();
    if (tree.lower_bound(path + "/") != tree.end() && lies_in(tree.lower_bound(path + "/")->first, path)) continue;
    const fs::InodeId parent = inode(parent_of(path));
    step(fmt::format("rmdir {:.40}", path), [&] {
      touched(path, tree.at(path).id);
      history_.change_tree().erase(path);
      return vault_->fs().rmdir(parent, name_of(path));
    });
    return;
  }
}

}  // namespace coffer::crash
