#include "tests/fuzz/operations.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace coffer::fuzz {
namespace {

constexpr std::size_t kOffsetMax = 10;  // chunks

// Few, so that they meet. The long ones need side files.
const std::array<std::string, 9>& names() {
  static const std::array<std::string, 9> all = {"a",
                                                 "b",
                                                 "c",
                                                 "file.txt",
                                                 "\xc3\xa9t\xc3\xa9",
                                                 std::string(150, 'l'),
                                                 std::string(151, 'l'),
                                                 std::string(255, 'm'),
                                                 std::string(256, 'm')};
  return all;
}

mode_t type_of(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kDirectory:
      return S_IFDIR;
    case Node::Kind::kSymlink:
      return S_IFLNK;
    case Node::Kind::kFifo:
      return S_IFIFO;
    case Node::Kind::kFile:
      break;
  }
  return S_IFREG;
}

}  // namespace

Operations::Operations(FuzzVault& vault, Input& input)
    : vault_(vault),
      input_(input),
      chunk_(vault.variant().chunk_size),
      traced_(std::getenv("COFFER_FUZZ_TRACE") != nullptr),
      root_(std::make_shared<Node>()) {
  root_->kind = Node::Kind::kDirectory;
  root_->mode = 0755;
  root_->id = fs::kRootInode.value;
}

bool Operations::step() {
  using Operation = void (Operations::*)();
  static constexpr Operation kOperations[] = {
      &Operations::do_mkdir,        &Operations::do_create,    &Operations::do_create,    &Operations::do_symlink,
      &Operations::do_mknod,        &Operations::do_link,      &Operations::do_unlink,    &Operations::do_rmdir,
      &Operations::do_rename,       &Operations::do_rename,    &Operations::do_rename,    &Operations::do_lookup,
      &Operations::do_list,         &Operations::do_readlink,  &Operations::do_forget,    &Operations::do_chmod,
      &Operations::do_set_times,    &Operations::do_set_xattr, &Operations::do_get_xattr, &Operations::do_list_xattrs,
      &Operations::do_remove_xattr, &Operations::do_open,      &Operations::do_open,      &Operations::do_release,
      &Operations::do_write,        &Operations::do_write,     &Operations::do_write,     &Operations::do_write,
      &Operations::do_read,         &Operations::do_read,      &Operations::do_truncate,  &Operations::do_truncate,
      &Operations::do_fallocate,    &Operations::do_fallocate, &Operations::do_copy,      &Operations::do_seek,
      &Operations::do_flush,        &Operations::do_fsync,     &Operations::do_sync,      &Operations::do_settle,
      &Operations::do_remount};
  if (input_.rest().empty()) return false;
  (this->*kOperations[byte() % std::size(kOperations)])();
  return true;
}

void Operations::finish() {
  doing_ = "finish";
  remount(false);
}

void Operations::collect(const NodePtr& from, std::vector<NodePtr>& all) const {
  all.push_back(from);
  for (const auto& [name, child] : from->children) collect(child, all);
}

NodePtr Operations::pick_directory() {
  std::vector<NodePtr> all;
  collect(root_, all);
  std::erase_if(all, [](const NodePtr& node) { return !node->is_directory(); });
  return all[byte() % all.size()];
}

Operations::Spot Operations::pick_spot() {
  NodePtr directory = pick_directory();
  return {std::move(directory), names()[byte() % names().size()]};
}

NodePtr Operations::pick_node() {
  std::vector<NodePtr> all;
  collect(root_, all);
  for (const Handle& handle : handles_) {
    if (handle.node->places.empty()) all.push_back(handle.node);  // removed, but open
  }
  return all[byte() % all.size()];
}

NodePtr Operations::pick_file() {
  std::vector<NodePtr> all;
  collect(root_, all);
  for (const Handle& handle : handles_) {
    if (handle.node->places.empty()) all.push_back(handle.node);
  }
  std::erase_if(all, [](const NodePtr& node) { return !node->is_file(); });
  const std::uint8_t which = byte();
  return all.empty() ? nullptr : all[which % all.size()];
}

Operations::Handle* Operations::pick_handle() {
  const std::uint8_t which = byte();
  return handles_.empty() ? nullptr : &handles_[which % handles_.size()];
}

std::size_t Operations::pick_offset() {
  const std::size_t a = byte();
  const std::size_t b = byte();
  const std::size_t at = a % kOffsetMax * chunk_;
  switch (a / kOffsetMax % 4) {
    case 0:
      return at;
    case 1:
      return at + b;
    case 2:
      return at - std::min(at, b);
    default:
      return at + b * chunk_ / 256;
  }
}

std::size_t Operations::pick_length() {
  constexpr std::size_t kLarge = 150000;  // sealed at once (fs/file_write.cc)
  const std::size_t a = byte();
  const std::size_t b = byte();
  if (a == 255) return kLarge;
  switch (a % 4) {
    case 0:
      return b;
    case 1:
      return (1 + b % 3) * chunk_;
    case 2:
      return (1 + b % 3) * chunk_ + a / 4 - 32;
    default:
      return 1 + b * 4 * chunk_ / 256;
  }
}

std::string Operations::pick_data(std::size_t length) {
  std::string data(length, '\0');
  std::uint64_t state = ++salt_ * 0x9e3779b97f4a7c15U;
  for (std::size_t at = 0; at < length; at += sizeof state) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    std::memcpy(data.data() + at, &state, std::min(sizeof state, length - at));
  }
  return data;
}

fs::InodeId Operations::id_of(const NodePtr& node) {
  if (node->id != 0) return {node->id};
  require("a node to look up has a name", !node->places.empty());
  const auto& [parent, name] = *node->places.rbegin();
  // A directory knows its children, so that each has its own pointer; the root is known from the start.
  NodePtr directory = root_;
  if (parent != root_.get()) directory = find(*parent->places.begin()->first, parent->places.begin()->second);
  const fs::InodeId above = id_of(directory);
  auto attr = vault_.fs().lookup(above, name);
  if (same(attr, 0)) met(directory, name, node, *attr);
  return {node->id};
}

void Operations::met(const NodePtr& directory, const std::string& name, const NodePtr& node, const fs::Attr& attr) {
  if (node->id != 0 && node->id != attr.id.value)
    differ("inode id", static_cast<long long>(attr.id.value), static_cast<long long>(node->id));
  node->id = attr.id.value;
  ++node->lookups;
  node->met.insert({directory.get(), name});
  check_attr(*node, attr);
  if (node->ino == 0) node->ino = attr.ino;
}

void Operations::check_attr(const Node& node, const fs::Attr& attr) {
  equal("type", attr.mode & S_IFMT, type_of(node));
  if (node.kind != Node::Kind::kSymlink) equal("mode", attr.mode & 07777, node.mode);
  if (!node.is_directory()) {
    equal("nlink", attr.nlink, node.places.size());
    equal("size", attr.size, node.content.size());
  }
  if (node.ino != 0) equal("ino", attr.ino, node.ino);
  if (!node.mtime) return;
  equal("mtime", attr.mtime.tv_sec, node.mtime->tv_sec);
  equal("mtime, nanoseconds", attr.mtime.tv_nsec, node.mtime->tv_nsec);
}

void Operations::check_node(const NodePtr& node) {
  auto attr = vault_.fs().getattr(id_of(node));
  if (same(attr, 0)) check_attr(*node, *attr);
}

void Operations::check_content(const NodePtr& node, fs::HandleId handle) {
  base::Bytes seen(node->content.size() + 1);
  auto size = vault_.fs().read(handle, 0, seen);
  if (!same(size, 0)) return;
  equal("size read", *size, node->content.size());
  require("content", base::as_text(base::ByteView(seen).first(*size)) == node->content);
}

void Operations::check_xattrs(const NodePtr& node) {
  const fs::InodeId id = id_of(node);
  auto names = vault_.fs().listxattr(id);
  if (!same(names, 0)) return;
  equal("number of attributes", names->size(), node->xattrs.size());
  for (const std::string& name : *names) require("an attribute that was set", node->xattrs.contains(name));
  for (const auto& [name, value] : node->xattrs) {
    auto seen = vault_.fs().getxattr(id, name);
    if (same(seen, 0)) require("value of an attribute", base::as_text(*seen) == value);
  }
}

void Operations::check_tree(const NodePtr& directory) {
  auto handle = vault_.fs().open_directory(id_of(directory));
  if (!same(handle, 0)) return;
  std::size_t seen = 0;
  auto listed = vault_.fs().list(handle->handle, 0, true, [&](const fs::ListedEntry& entry) {
    if (entry.name == "." || entry.name == "..") return true;
    ++seen;
    const std::string name(entry.name);
    const NodePtr node = find(*directory, name);
    require("a listed name exists", node != nullptr);
    require("attributes in a listing", entry.attr != nullptr);
    met(directory, name, node, *entry.attr);
    return true;
  });
  same(listed, 0);
  equal("number of names", seen, directory->children.size());
  vault_.fs().release_directory(handle->handle);
  for (const auto& [name, node] : directory->children) {
    if (node->kind != Node::Kind::kSymlink) check_xattrs(node);
    if (node->is_directory()) check_tree(node);
    if (node->kind == Node::Kind::kSymlink) {
      auto target = vault_.fs().readlink(id_of(node));
      if (same(target, 0)) require("target of a link", *target == node->content);
    }
    if (!node->is_file()) continue;
    auto opened = vault_.fs().open_file(id_of(node), O_RDONLY, false);
    if (!same(opened, 0)) continue;
    check_content(node, opened->handle);
    vault_.fs().release(opened->handle);
  }
}

void Operations::open_handle(const NodePtr& node, fs::HandleId id, bool may_write) {
  constexpr std::size_t kHandlesMax = 12;
  handles_.push_back({id, node, may_write});
  if (handles_.size() > kHandlesMax) close_handle(0);
}

void Operations::close_handle(std::size_t index) {
  const Handle handle = handles_[index];
  handles_.erase(handles_.begin() + static_cast<std::ptrdiff_t>(index));
  vault_.fs().release(handle.id);
  // Nothing that this mount knows leads to it any more.
  if (handle.node->met.empty() && !is_open(handle.node)) forget(handle.node);
}

bool Operations::is_open(const NodePtr& node) const {
  return std::any_of(handles_.begin(), handles_.end(), [&](const Handle& handle) { return handle.node == node; });
}

std::size_t Operations::writers(const NodePtr& node) const {
  return static_cast<std::size_t>(std::count_if(
      handles_.begin(), handles_.end(), [&](const Handle& handle) { return handle.node == node && handle.may_write; }));
}

void Operations::forget(const NodePtr& node) {
  if (node->id == 0 || node == root_) return;
  vault_.fs().forget({node->id}, node->lookups);
  node->id = node->lookups = 0;
  node->met.clear();
}

void Operations::lost_name(const NodePtr& node) {
  if (is_open(node) || !node->met.empty()) {
    check_node(node);
  } else {
    forget(node);
  }
}

void Operations::remount(bool forget_state) {
  while (!handles_.empty()) close_handle(handles_.size() - 1);
  const auto check_events = [&] {
    const fs::FilesystemStatus status = vault_.fs().status();
    equal("integrity events", status.integrity_events, 0U);
    equal("unreadable names", status.names_unreadable, 0U);
    if (!state_lost_) equal("files found elsewhere", status.files_moved, 0U);
  };
  check_events();
  vault_.unmount();
  if (forget_state && !vault_.variant().strict) {
    vault_.forget_state();
    state_lost_ = true;
  }
  vault_.mount();
  std::vector<NodePtr> all;
  collect(root_, all);
  for (const NodePtr& node : all) {
    node->met.clear();
    if (node != root_) node->id = node->lookups = 0;
  }
  check_tree(root_);
  check_xattrs(root_);
  check_events();
}

void Operations::log_operation(const std::string& text) const { std::fprintf(stderr, "%s %s\n", doing_, text.c_str()); }

void Operations::differ(const char* what, long long real, long long expected) const {
  std::fprintf(stderr, "%s: %s is %lld, not %lld\n", doing_, what, real, expected);
  std::abort();
}

}  // namespace coffer::fuzz
