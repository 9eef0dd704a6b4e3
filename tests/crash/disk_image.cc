#include "tests/crash/disk_image.h"

#include <algorithm>

#include "base/bytes.h"
#include "crypto/chunk_cipher.h"

namespace coffer::crash {
namespace {

void must(const base::Status& status) {
  if (!status) std::abort();
}

// Zeros are left out: holes stay holes.
void write_content(base::FdRef fd, const std::string& content) {
  constexpr std::size_t kBlock = 4096;
  static const std::string zeros(kBlock, '\0');
  if (content.empty()) return;
  must(sys::ftruncate(fd, content.size()));
  std::size_t begin = 0;
  while (begin < content.size()) {
    std::size_t end = begin;
    while (end < content.size() && content.compare(end, kBlock, zeros, 0, std::min(kBlock, content.size() - end)) != 0)
      end += kBlock;
    end = std::min(end, content.size());
    if (end > begin)
      must(sys::pwrite_full(fd, base::as_bytes(std::string_view(content).substr(begin, end - begin)), begin));
    begin = end + kBlock;
  }
}

}  // namespace

Image empty_image() {
  Image image;
  image[kVaultRoot] = {Disk::kVault, true, 0755, {}, {}, {}};
  image[kStateRoot] = {Disk::kState, true, 0700, {}, {}, {}};
  return image;
}

std::uint64_t hash_of(const Image& image) {
  std::uint64_t sum = 0;
  const auto mix = [&](std::string_view bytes) {
    sum = crypto::record_sum(crypto::ChunkIndex{sum + bytes.size()}, base::as_bytes(bytes));
  };
  for (const auto& [id, node] : image) {
    mix(std::to_string(id) + ' ' + std::to_string(node.mode));
    mix(node.content);
    for (const auto& [name, entry] : node.entries) mix(name + ' ' + std::to_string(entry));
    for (const auto& [name, value] : node.xattrs) mix(name + ' ' + value);
  }
  return sum;
}

NodeId Identities::add(const sys::Stat& stat) {
  base::MutexLock lock(mutex_);
  known_.push_back({stat.dev, stat.ino, stat.btime});
  return static_cast<NodeId>(known_.size() - 1);
}

Identity Identities::of(NodeId node, const sys::Stat& stat) {
  base::MutexLock lock(mutex_);
  Identity& known = known_.at(node);
  if (known.ino == 0) known = {stat.dev, stat.ino, stat.btime};
  return known;
}

Folders::Folders(const Image& image) {
  for (const auto& [root, folder] : {std::pair{kVaultRoot, &vault_}, std::pair{kStateRoot, &state_}}) {
    const base::UniqueFd fd = folder->open();
    inodes_[sys::statx(fd)->ino] = {root, image.at(root).disk};
    fill(image, image.at(root), fd, folder->path());
  }
}

void Folders::fill(const Image& image, const Node& directory, base::FdRef fd, const std::string& path) {
  for (const auto& [name, id] : directory.entries) write(image, id, fd, path + "/" + name);
}

void Folders::write(const Image& image, NodeId id, base::FdRef parent, const std::string& path) {
  const Node& node = image.at(id);
  const std::string name = path.substr(path.rfind('/') + 1);
  if (auto first = first_paths_.find(id); first != first_paths_.end()) {
    std::filesystem::create_hard_link(first->second, path);
    return;
  }
  if (node.directory) must(sys::mkdirat(parent, name.c_str(), 0700));
  auto fd =
      sys::openat(parent, name.c_str(), node.directory ? O_RDONLY | O_DIRECTORY : O_RDWR | O_CREAT | O_EXCL, 0600);
  if (!fd) std::abort();
  inodes_[sys::statx(*fd)->ino] = {id, node.disk};
  if (node.directory) {
    fill(image, node, *fd, path);
  } else {
    first_paths_[id] = path;
    write_content(*fd, node.content);
  }
  for (const auto& [attribute, value] : node.xattrs) {
    must(sys::setxattr(parent, name.c_str(), attribute.c_str(), base::as_bytes(value), 0));
  }
  must(sys::fchmod(*fd, node.mode));
}

}  // namespace coffer::crash
