#include "tests/fuzz/tree_model.h"

#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace coffer::fuzz {
namespace {

constexpr std::size_t kNameMax = 255;

void put_in(Node& parent, const std::string& name, const NodePtr& node) {
  parent.children[name] = node;
  node->places.insert({&parent, name});
  parent.mtime.reset();
}

NodePtr take_out(Node& parent, const std::string& name) {
  NodePtr node = parent.children.at(name);
  parent.children.erase(name);
  node->places.erase({&parent, name});
  node->met.erase({&parent, name});
  parent.mtime.reset();
  return node;
}

bool is_known_namespace(const std::string& name) {
  for (const char* prefix : {"user.", "trusted.", "security."}) {
    if (name.starts_with(prefix) && name != prefix) return true;
  }
  return false;
}

}  // namespace

void grow(Node& file, std::size_t size) {
  if (file.content.size() < size) file.content.resize(size, '\0');
  file.mtime.reset();
}

void put(Node& file, std::size_t offset, const std::string& data) {
  grow(file, offset + data.size());
  file.content.replace(offset, data.size(), data);
}

void zero(Node& file, std::size_t offset, std::size_t length) {
  file.mtime.reset();
  if (offset >= file.content.size()) return;
  const std::size_t n = std::min(length, file.content.size() - offset);
  file.content.replace(offset, n, n, '\0');
}

void truncate(Node& file, std::size_t size) {
  file.content.resize(size, '\0');
  file.mtime.reset();
}

std::string piece(const Node& file, std::size_t offset, std::size_t length) {
  return offset < file.content.size() ? file.content.substr(offset, length) : std::string();
}

NodePtr find(const Node& parent, const std::string& name) {
  const auto found = parent.children.find(name);
  return found == parent.children.end() ? nullptr : found->second;
}

bool is_above(const Node& above, const Node& node) {
  if (&above == &node) return true;
  return std::any_of(node.places.begin(), node.places.end(),
                     [&](const auto& place) { return is_above(above, *place.first); });
}

int add(Node& parent, const std::string& name, const NodePtr& node) {
  if (name.size() > kNameMax) return ENAMETOOLONG;
  if (find(parent, name)) return EEXIST;
  put_in(parent, name, node);
  return 0;
}

int unlink(Node& parent, const std::string& name) {
  if (name.size() > kNameMax) return ENAMETOOLONG;
  const NodePtr node = find(parent, name);
  if (!node) return ENOENT;
  if (node->is_directory()) return EISDIR;
  take_out(parent, name);
  return 0;
}

int rmdir(Node& parent, const std::string& name) {
  if (name.size() > kNameMax) return ENAMETOOLONG;
  const NodePtr node = find(parent, name);
  if (!node) return ENOENT;
  if (!node->is_directory()) return ENOTDIR;
  if (!node->children.empty()) return ENOTEMPTY;
  take_out(parent, name);
  return 0;
}

int rename(Node& from, const std::string& name, Node& to, const std::string& new_name, unsigned flags) {
  if (name.size() > kNameMax || new_name.size() > kNameMax) return ENAMETOOLONG;
  if (flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE) return EINVAL;
  const NodePtr node = find(from, name);
  const NodePtr target = find(to, new_name);
  if (!node) return ENOENT;
  if (target && flags == RENAME_NOREPLACE) return EEXIST;
  if (!target && flags == RENAME_EXCHANGE) return ENOENT;
  if (node == target) return 0;
  if (target && flags == 0) {
    if (target->is_directory() != node->is_directory()) return target->is_directory() ? EISDIR : ENOTDIR;
    if (!target->children.empty()) return ENOTEMPTY;
  }
  take_out(from, name);
  if (target) take_out(to, new_name);
  put_in(to, new_name, node);
  if (flags == RENAME_EXCHANGE) put_in(from, name, target);
  return 0;
}

int set_xattr(Node& node, const std::string& name, const std::string& value, int flags) {
  if (!is_known_namespace(name)) return EOPNOTSUPP;
  const bool present = node.xattrs.contains(name);
  if (present && flags == XATTR_CREATE) return EEXIST;
  if (!present && flags == XATTR_REPLACE) return ENODATA;
  node.xattrs[name] = value;
  return 0;
}

int remove_xattr(Node& node, const std::string& name) {
  if (!is_known_namespace(name)) return EOPNOTSUPP;
  return node.xattrs.erase(name) == 1 ? 0 : ENODATA;
}

}  // namespace coffer::fuzz
