// Operations on the content of files, and on the mount as a whole.
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include "crypto/geometry.h"
#include "tests/fuzz/operations.h"

namespace coffer::fuzz {
namespace {

// Suid, and sgid where the group may execute: what a write by somebody else than root takes away.
void kill_suidgid(Node& node) {
  node.mode &= ~static_cast<mode_t>(S_ISUID);
  if ((node.mode & S_IXGRP) != 0) node.mode &= ~static_cast<mode_t>(S_ISGID);
}

}  // namespace

void Operations::do_open() {
  doing_ = "open";
  constexpr std::array<int, 5> kFlags = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_TRUNC, O_WRONLY | O_TRUNC};
  const NodePtr node = pick_file();
  const std::uint8_t how = byte();
  if (!node) return;
  const int flags = kFlags[how % kFlags.size()];
  const bool truncates = (flags & O_TRUNC) != 0;
  const bool kill = truncates && how >= 128;
  trace("{} flags {:o}", node->id, flags);
  auto opened = vault_.fs().open_file(id_of(node), flags, kill);
  if (!same(opened, 0)) return;
  if (truncates) truncate(*node, 0);
  if (kill) kill_suidgid(*node);
  open_handle(node, opened->handle, flags != O_RDONLY);
  check_node(node);
}

void Operations::do_release() {
  doing_ = "release";
  const Handle* handle = pick_handle();
  if (handle == nullptr) return;
  trace("{}", handle->node->id);
  const NodePtr node = handle->node;
  close_handle(static_cast<std::size_t>(handle - handles_.data()));
  if (!node->places.empty()) check_node(node);
}

void Operations::do_write() {
  doing_ = "write";
  const Handle* handle = pick_handle();
  const std::size_t offset = pick_offset();
  const std::string data = pick_data(pick_length());
  const std::uint8_t how = byte();
  if (handle == nullptr) return;
  Node& node = *handle->node;
  trace("{} {} bytes at {} ({} there)", node.id, data.size(), offset, node.content.size());
  const fs::WriteFlags flags{.from_page_cache = how % 2 == 0, .kill_suidgid = how >= 240};
  auto written = vault_.fs().write(handle->id, offset, base::as_bytes(data), flags);
  if (!same(written, handle->may_write ? 0 : EBADF)) return;
  equal("bytes written", *written, data.size());
  if (!data.empty()) put(node, offset, data);
  if (flags.kill_suidgid) kill_suidgid(node);
  if (flags.kill_suidgid || how % 4 == 0) check_node(handle->node);
}

void Operations::do_read() {
  doing_ = "read";
  const Handle* handle = pick_handle();
  const std::size_t offset = pick_offset();
  base::Bytes out(pick_length());
  if (handle == nullptr) return;
  trace("{} {} bytes at {} ({} there)", handle->node->id, out.size(), offset, handle->node->content.size());
  auto size = vault_.fs().read(handle->id, offset, out);
  if (!same(size, 0)) return;
  const std::string expected = piece(*handle->node, offset, out.size());
  equal("bytes read", *size, expected.size());
  require("content", base::as_text(base::ByteView(out).first(*size)) == expected);
}

void Operations::do_truncate() {
  doing_ = "truncate";
  const NodePtr node = pick_node();
  fs::AttrChange change;
  change.size = pick_offset();
  const std::uint8_t how = byte();
  if (how == 255) change.size = crypto::kMaxPlainSize + 1;
  change.kill_suidgid = how >= 240;
  trace("{} ({} bytes) to {}", node->id, node->content.size(), *change.size);
  auto cut = vault_.fs().setattr(id_of(node), change);
  if (!same(cut, !node->is_file() ? EINVAL : how == 255 ? EFBIG : 0)) return;
  truncate(*node, static_cast<std::size_t>(*change.size));
  if (change.kill_suidgid) kill_suidgid(*node);
  check_attr(*node, *cut);
}

void Operations::do_fallocate() {
  doing_ = "fallocate";
  constexpr std::array<int, 7> kModes = {0,
                                         FALLOC_FL_KEEP_SIZE,
                                         FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                         FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                         FALLOC_FL_ZERO_RANGE,
                                         FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                                         FALLOC_FL_COLLAPSE_RANGE};
  const Handle* handle = pick_handle();
  const std::size_t offset = pick_offset();
  const std::size_t length = pick_length();
  const std::uint8_t how = byte();
  if (handle == nullptr) return;
  const int mode = kModes[how % kModes.size()];
  Node& node = *handle->node;
  trace("{} mode {} {} bytes at {} ({} there)", node.id, mode, length, offset, node.content.size());
  const std::uint64_t real_length = how == 255 && length != 0 ? crypto::kMaxPlainSize + 1 : length;
  const int expected = !handle->may_write                 ? EBADF
                       : length == 0                      ? EINVAL
                       : real_length != length            ? EFBIG
                       : mode == FALLOC_FL_COLLAPSE_RANGE ? EOPNOTSUPP
                                                          : 0;
  if (!same(vault_.fs().fallocate(handle->id, mode, offset, real_length), expected)) return;
  if (mode == 0 || mode == FALLOC_FL_ZERO_RANGE) grow(node, offset + length);
  if (mode != 0 && mode != FALLOC_FL_KEEP_SIZE) zero(node, offset, length);
  node.mtime.reset();
  check_node(handle->node);
}

void Operations::do_copy() {
  doing_ = "copy_file_range";
  const Handle* from = pick_handle();
  const Handle* to = pick_handle();
  const std::size_t from_offset = pick_offset();
  const std::size_t to_offset = pick_offset();
  const std::size_t length = pick_length();
  if (from == nullptr) return;
  trace("{} at {} to {} at {}, {} bytes", from->node->id, from_offset, to->node->id, to_offset, length);
  const std::string data = piece(*from->node, from_offset, length);
  auto copied = vault_.fs().copy_file_range(from->id, from_offset, to->id, to_offset, length);
  if (!same(copied, to->may_write ? 0 : EBADF)) return;
  equal("bytes copied", *copied, data.size());
  if (!data.empty()) put(*to->node, to_offset, data);
}

// What is called a hole must be zero; data may be anything.
void Operations::do_seek() {
  doing_ = "lseek";
  const Handle* handle = pick_handle();
  const std::size_t offset = pick_offset();
  const std::uint8_t how = byte();
  if (handle == nullptr) return;
  const std::string& content = handle->node->content;
  const int whence = how == 255 ? SEEK_SET : how % 2 == 0 ? SEEK_DATA : SEEK_HOLE;
  trace("{} from {}, whence {} ({} there)", handle->node->id, offset, whence, content.size());
  auto found = vault_.fs().lseek(handle->id, offset, whence, true);
  if (how == 255) {
    same(found, EINVAL);
    return;
  }
  const bool no_more_data = !found && found.error() == base::Errno(ENXIO) && whence == SEEK_DATA;
  if (offset >= content.size() || !no_more_data) {
    if (!same(found, offset >= content.size() ? ENXIO : 0)) return;
    require("found in the file", *found >= offset && *found <= content.size());
  }
  const std::size_t at = found ? static_cast<std::size_t>(*found) : content.size();
  if (whence == SEEK_DATA) {
    require("before data all is zero", content.find_first_not_of('\0', offset) >= at);
  } else if (at < content.size()) {
    require("a hole is zero", content[at] == '\0');
    require("a hole is found while nobody writes", writers(handle->node) == 0);
  }
}

void Operations::do_flush() {
  doing_ = "flush";
  const Handle* handle = pick_handle();
  if (handle == nullptr) return;
  trace("{}", handle->node->id);
  same(vault_.fs().flush(handle->id), 0);
}

void Operations::do_fsync() {
  doing_ = "fsync";
  const Handle* handle = pick_handle();
  const bool data_only = byte() % 2 == 0;
  if (handle == nullptr) return;
  trace("{}", handle->node->id);
  same(vault_.fs().fsync(handle->id, data_only), 0);
}

void Operations::do_sync() {
  doing_ = "sync";
  trace("all");
  same(vault_.fs().sync(), 0);
}

// The background's work: nothing of it may show.
void Operations::do_settle() {
  doing_ = "settle";
  constexpr std::array<int, 4> kLater = {0, 3, 15, 3600};
  const int later = kLater[byte() % kLater.size()];
  trace("as if {} s later", later);
  vault_.fs().settle_by_hand(std::chrono::seconds(later));
  for (const Handle& handle : std::vector<Handle>(handles_)) check_node(handle.node);
}

void Operations::do_remount() {
  doing_ = "remount";
  const std::uint8_t how = byte();
  if (how >= 64) {  // it costs as much as all the rest together
    if (Handle* handle = handles_.empty() ? nullptr : &handles_[how % handles_.size()]) {
      check_content(handle->node, handle->id);
    }
    return;
  }
  trace("{}", how % 4 == 0 ? "without local state" : "");
  remount(how % 4 == 0);
}

}  // namespace coffer::fuzz
