// Operations on names and attributes.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "tests/fuzz/operations.h"

namespace coffer::fuzz {
namespace {

constexpr mode_t kUmask = 022;

fs::Caller caller() { return {::geteuid(), ::getegid(), ::getpid(), kUmask}; }

const std::array<std::string, 6>& xattr_names() {
  static const std::array<std::string, 6> all = {"user.a",         "user.b", "trusted.overlay",
                                                 "security.label", "user.",  "unknown.c"};
  return all;
}

NodePtr make_node(Node::Kind kind, mode_t mode, std::string content = {}) {
  auto node = std::make_shared<Node>();
  node->kind = kind;
  node->mode = mode & ~kUmask;
  node->content = std::move(content);
  return node;
}

}  // namespace

void Operations::do_mkdir() {
  doing_ = "mkdir";
  constexpr std::size_t kDepthMax = 6;
  const auto [directory, name] = pick_spot();
  std::size_t depth = 0;
  for (const Node* node = directory.get(); !node->places.empty(); node = node->places.begin()->first) ++depth;
  if (depth >= kDepthMax) return;
  const NodePtr node = make_node(Node::Kind::kDirectory, 0777);
  node->mode |= directory->mode & S_ISGID;  // inherited
  trace("{} in {}", name, directory->id);
  auto made = vault_.fs().mkdir(id_of(directory), name, 0777, caller());
  if (same(made, add(*directory, name, node))) met(directory, name, node, *made);
}

void Operations::do_create() {
  doing_ = "create";
  const auto [directory, name] = pick_spot();
  const std::uint8_t how = byte();
  const mode_t mode = how % 4 == 0 ? 04755 : 0666;
  trace("{} in {}, mode {:o}", name, directory->id, mode);
  const NodePtr node = make_node(Node::Kind::kFile, mode);
  auto made = vault_.fs().create(id_of(directory), name, mode, O_RDWR | O_EXCL, caller());
  if (!same(made, add(*directory, name, node))) return;
  met(directory, name, node, made->attr);
  open_handle(node, made->opened.handle, true);
  if (how >= 128) close_handle(handles_.size() - 1);
}

void Operations::do_symlink() {
  doing_ = "symlink";
  const auto [directory, name] = pick_spot();
  const std::uint8_t how = byte();
  const std::size_t length = how < 250 ? how : how == 255 ? 4096 : how == 254 ? 4095 : 3000;
  const std::string target(length, 't');
  trace("{} in {} to {} letters", name, directory->id, length);
  auto made = vault_.fs().symlink(id_of(directory), name, target, caller());
  int expected = name.size() > 255 ? ENAMETOOLONG : length == 0 ? ENOENT : length >= 4096 ? ENAMETOOLONG : 0;
  const NodePtr node = make_node(Node::Kind::kSymlink, 0777, target);
  if (expected == 0) expected = add(*directory, name, node);
  if (same(made, expected)) met(directory, name, node, *made);
}

void Operations::do_mknod() {
  doing_ = "mknod";
  const auto [directory, name] = pick_spot();
  const bool fifo = byte() % 2 == 0;
  trace("{} in {}", name, directory->id);
  const NodePtr node = make_node(fifo ? Node::Kind::kFifo : Node::Kind::kFile, 0640);
  auto made = vault_.fs().mknod(id_of(directory), name, (fifo ? S_IFIFO : S_IFREG) | 0640, 0, caller());
  if (same(made, add(*directory, name, node))) met(directory, name, node, *made);
}

void Operations::do_link() {
  doing_ = "link";
  const NodePtr node = pick_node();
  const auto [directory, name] = pick_spot();
  if (!node->is_directory() && node->places.empty()) return;  // the kernel says no
  trace("{} to {} in {}", node->id, name, directory->id);
  const fs::InodeId id = id_of(node);
  auto made = vault_.fs().link(id, id_of(directory), name);
  const int expected = name.size() > 255 ? ENAMETOOLONG : node->is_directory() ? EPERM : add(*directory, name, node);
  if (same(made, expected)) met(directory, name, node, *made);
}

void Operations::do_unlink() {
  doing_ = "unlink";
  const auto [directory, name] = pick_spot();
  const NodePtr node = find(*directory, name);
  if (node) id_of(node);
  trace("{} in {}", name, directory->id);
  auto removed = vault_.fs().unlink(id_of(directory), name);
  if (same(removed, unlink(*directory, name))) lost_name(node);
}

void Operations::do_rmdir() {
  doing_ = "rmdir";
  const auto [directory, name] = pick_spot();
  const NodePtr node = find(*directory, name);
  if (node) id_of(node);
  trace("{} in {}", name, directory->id);
  auto removed = vault_.fs().rmdir(id_of(directory), name);
  if (same(removed, rmdir(*directory, name))) forget(node);
}

void Operations::do_rename() {
  doing_ = "rename";
  constexpr std::array<unsigned, 6> kFlags = {
      0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_NOREPLACE | RENAME_EXCHANGE};
  const auto [from, name] = pick_spot();
  const auto [to, new_name] = pick_spot();
  const unsigned flags = kFlags[byte() % kFlags.size()];
  const NodePtr node = find(*from, name);
  const NodePtr target = find(*to, new_name);
  // What the kernel refuses by itself: into oneself, and over what one is in.
  if ((node && node->is_directory() && is_above(*node, *to)) ||
      (target && target->is_directory() && is_above(*target, *from)))
    return;
  if (node) id_of(node);
  if (target) id_of(target);
  trace("{} in {} to {} in {}, flags {}", name, from->id, new_name, to->id, flags);
  const fs::InodeId from_id = id_of(from);
  auto renamed = vault_.fs().rename(from_id, name, id_of(to), new_name, flags);
  if (!same(renamed, rename(*from, name, *to, new_name, flags))) return;
  if (target == node) return;
  node->met.insert({to.get(), new_name});
  check_node(node);
  if (!target) return;
  if (flags == RENAME_EXCHANGE) target->met.insert({from.get(), name});
  lost_name(target);
}

void Operations::do_lookup() {
  doing_ = "lookup";
  const auto [directory, name] = pick_spot();
  trace("{} in {}", name, directory->id);
  const NodePtr node = find(*directory, name);
  auto attr = vault_.fs().lookup(id_of(directory), name);
  if (same(attr, name.size() > 255 ? ENAMETOOLONG : node ? 0 : ENOENT)) met(directory, name, node, *attr);
}

void Operations::do_list() {
  doing_ = "list";
  const NodePtr directory = pick_directory();
  const std::size_t room = byte() % 8 + 1;  // entries at a time
  trace("{}, {} at a time", directory->id, room);
  auto handle = vault_.fs().open_directory(id_of(directory));
  if (!same(handle, 0)) return;
  std::uint64_t offset = 0;
  std::size_t names = 0;
  for (bool more = true; more;) {
    std::size_t left = room;
    more = false;
    auto listed = vault_.fs().list(handle->handle, offset, false, [&](const fs::ListedEntry& entry) {
      if (left == 0) return false;
      --left;
      more = true;
      offset = entry.next;
      if (entry.name == "." || entry.name == "..") return true;
      require("a listed name exists", find(*directory, std::string(entry.name)) != nullptr);
      ++names;
      return true;
    });
    same(listed, 0);
  }
  equal("number of names", names, directory->children.size());
  same(vault_.fs().fsync_directory(handle->handle), 0);
  vault_.fs().release_directory(handle->handle);
}

void Operations::do_readlink() {
  doing_ = "readlink";
  const NodePtr node = pick_node();
  trace("{}", node->id);
  auto target = vault_.fs().readlink(id_of(node));
  if (same(target, node->kind == Node::Kind::kSymlink ? 0 : EINVAL)) require("target", *target == node->content);
}

// What a kernel short of memory does.
void Operations::do_forget() {
  doing_ = "forget";
  const NodePtr node = pick_node();
  const bool needed = is_open(node) || std::any_of(node->children.begin(), node->children.end(),
                                                   [](const auto& child) { return child.second->id != 0; });
  trace("{}", node->id);
  if (!needed) forget(node);
}

void Operations::do_chmod() {
  doing_ = "chmod";
  constexpr std::array<mode_t, 6> kModes = {0644, 0000, 01777, 04755, 02770, 0400};
  const NodePtr node = pick_node();
  fs::AttrChange change;
  change.mode = kModes[byte() % kModes.size()];
  if (node->kind == Node::Kind::kSymlink) return;
  trace("{} {:o}", node->id, *change.mode);
  auto changed = vault_.fs().setattr(id_of(node), change);
  if (!same(changed, 0)) return;
  node->mode = *change.mode;
  check_attr(*node, *changed);
}

void Operations::do_set_times() {
  doing_ = "utimens";
  const NodePtr node = pick_node();
  const std::uint8_t when = byte();
  fs::AttrChange change;
  change.mtime = timespec{1000000000 + when * 3600, when * 1001};
  if (when % 2 == 0) change.atime = change.mtime;
  trace("{} {}", node->id, when);
  auto changed = vault_.fs().setattr(id_of(node), change);
  if (!same(changed, 0)) return;
  node->mtime = change.mtime;
  check_attr(*node, *changed);
}

void Operations::do_set_xattr() {
  doing_ = "setxattr";
  constexpr std::array<int, 4> kFlags = {0, 0, XATTR_CREATE, XATTR_REPLACE};
  const NodePtr node = pick_node();
  const std::string& name = xattr_names()[byte() % xattr_names().size()];
  const std::string value = pick_data(byte());
  const int flags = kFlags[byte() % kFlags.size()];
  if (node->kind == Node::Kind::kSymlink) return;
  trace("{} {} {} bytes, flags {}", node->id, name, value.size(), flags);
  const fs::InodeId id = id_of(node);
  if (same(vault_.fs().setxattr(id, name, base::as_bytes(value), flags), set_xattr(*node, name, value, flags))) {
    check_node(node);
  }
}

void Operations::do_get_xattr() {
  doing_ = "getxattr";
  const NodePtr node = pick_node();
  const std::string& name = xattr_names()[byte() % xattr_names().size()];
  if (node->kind == Node::Kind::kSymlink) return;
  trace("{} {}", node->id, name);
  auto value = vault_.fs().getxattr(id_of(node), name);
  const auto known = node->xattrs.find(name);
  const bool unknown_namespace = name == "user." || name.starts_with("unknown.");
  const int expected = unknown_namespace ? EOPNOTSUPP : known == node->xattrs.end() ? ENODATA : 0;
  if (same(value, expected)) require("value", base::as_text(*value) == known->second);
}

void Operations::do_list_xattrs() {
  doing_ = "listxattr";
  const NodePtr node = pick_node();
  trace("{}", node->id);
  if (node->kind != Node::Kind::kSymlink) check_xattrs(node);
}

void Operations::do_remove_xattr() {
  doing_ = "removexattr";
  const NodePtr node = pick_node();
  const std::string& name = xattr_names()[byte() % xattr_names().size()];
  if (node->kind == Node::Kind::kSymlink) return;
  trace("{} {}", node->id, name);
  same(vault_.fs().removexattr(id_of(node), name), remove_xattr(*node, name));
}

}  // namespace coffer::fuzz
