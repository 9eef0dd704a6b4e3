#include "fs/overlay.h"

#include <linux/falloc.h>

#include <algorithm>

#include "base/scratch.h"

namespace coffer::fs {
Status punch_hole(Backing& backing, FdRef fd, std::uint64_t offset, std::uint64_t length) {
  Status punched = backing.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
  if (punched || punched.error() != Errno(EOPNOTSUPP)) return punched;
  return write_zeros(backing, fd, offset, offset + length);
}

std::uint64_t Overlay::end() const {
  return extents_.empty() ? 0 : extents_.rbegin()->first + extents_.rbegin()->second.length;
}

Overlay::Extent Overlay::Extent::part(std::uint64_t skip, std::uint64_t size) const {
  Extent result{size, {}, elsewhere, at + skip};
  if (!data.empty()) {
    const auto begin = data.begin() + static_cast<std::ptrdiff_t>(skip);
    result.data.assign(begin, begin + static_cast<std::ptrdiff_t>(size));
  }
  return result;
}

// What of others lies in this range goes; the parts of them outside of it stay.
void Overlay::remove(std::uint64_t from, std::uint64_t to) {
  auto at = extents_.lower_bound(from);
  if (at != extents_.begin()) {
    auto before = std::prev(at);
    if (before->first + before->second.length > from) at = before;
  }
  while (at != extents_.end() && at->first < to) {
    const std::uint64_t begin = at->first;
    Extent old = std::move(at->second);
    at = extents_.erase(at);
    bytes_ -= old.data.size();
    const std::uint64_t end = begin + old.length;
    if (end > to) insert(to, old.part(to - begin, end - to));
    if (begin < from) insert(begin, old.part(0, from - begin));
    at = extents_.upper_bound(begin);
  }
}

void Overlay::insert(std::uint64_t offset, Extent extent) {
  bytes_ += extent.data.size();
  extents_.emplace(offset, std::move(extent));
}

void Overlay::write(std::uint64_t offset, base::Bytes data) {
  if (data.empty()) return;
  remove(offset, offset + data.size());
  const std::uint64_t length = data.size();
  insert(offset, {length, std::move(data), {}, 0});
}

void Overlay::write(std::uint64_t offset, std::uint64_t length, FdRef elsewhere, std::uint64_t at) {
  if (length == 0) return;
  remove(offset, offset + length);
  insert(offset, {length, {}, elsewhere, at});
}

void Overlay::punch(std::uint64_t offset, std::uint64_t length) {
  if (length == 0) return;
  remove(offset, offset + length);
  insert(offset, {length, {}, {}, 0});
}

void Overlay::cut(std::uint64_t size) {
  remove(size, kNoFloor);
  floor_ = std::min(floor_, size);
}

void Overlay::clear() {
  extents_.clear();
  floor_ = kNoFloor;
  bytes_ = 0;
}

Result<std::size_t> Overlay::read(Backing& backing, FdRef fd, std::uint64_t length, ByteSpan out,
                                  std::uint64_t offset) const {
  if (offset >= length) return std::size_t{0};
  out = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), length - offset)));
  const std::uint64_t end = offset + out.size();
  std::size_t have = 0;
  if (offset < floor_) {
    const std::size_t below = static_cast<std::size_t>(std::min(end, floor_) - offset);
    COFFER_ASSIGN_OR_RETURN(have, backing.pread(fd, out.first(below), offset));
  }
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(have), out.end(), base::Byte{0});
  auto at = extents_.upper_bound(offset);
  if (at != extents_.begin()) --at;
  for (; at != extents_.end() && at->first < end; ++at) {
    const auto& [begin, extent] = *at;
    const std::uint64_t from = std::max(begin, offset);
    const std::uint64_t to = std::min(begin + extent.length, end);
    if (from >= to) continue;
    ByteSpan target = out.subspan(static_cast<std::size_t>(from - offset), static_cast<std::size_t>(to - from));
    if (extent.elsewhere) {
      COFFER_ASSIGN_OR_RETURN(const std::size_t got,
                              backing.pread(*extent.elsewhere, target, extent.at + (from - begin)));
      if (got != target.size()) return Errno(EIO);
    } else if (extent.is_hole()) {
      std::fill(target.begin(), target.end(), base::Byte{0});
    } else {
      std::copy_n(extent.data.data() + (from - begin), target.size(), target.data());
    }
  }
  return out.size();
}

Result<std::uint64_t> Overlay::seek_data(Backing& backing, FdRef fd, std::uint64_t offset) const {
  std::uint64_t found = kNoFloor;
  auto at = extents_.upper_bound(offset);
  if (at != extents_.begin()) --at;
  for (; at != extents_.end(); ++at) {
    if (at->second.is_hole() || at->first + at->second.length <= offset) continue;
    found = std::max(at->first, offset);
    break;
  }
  auto below = backing.seek(fd, offset, SEEK_DATA);
  if (!below && below.error() != Errno(ENXIO)) return below.error();
  if (below && *below < floor_) found = std::min(found, *below);
  if (found == kNoFloor) return Errno(ENXIO);
  return found;
}

Result<std::uint64_t> Overlay::seek_hole(Backing& backing, FdRef fd, std::uint64_t offset) const {
  std::uint64_t found = is_cut() ? std::max(floor_, offset) : kNoFloor;
  auto at = extents_.upper_bound(offset);
  if (at != extents_.begin()) --at;
  for (; at != extents_.end(); ++at) {
    if (!at->second.is_hole() || at->first + at->second.length <= offset) continue;
    found = std::min(found, std::max(at->first, offset));
    break;
  }
  auto below = backing.seek(fd, offset, SEEK_HOLE);
  if (!below && below.error() != Errno(ENXIO)) return below.error();
  return std::min(found, below ? *below : offset);
}

Status Overlay::store(Backing& backing, FdRef fd, std::uint64_t offset, const Extent& extent) {
  if (extent.is_hole()) return punch_hole(backing, fd, offset, extent.length);
  if (extent.elsewhere) {
    base::Scratch bytes(static_cast<std::size_t>(extent.length));
    COFFER_ASSIGN_OR_RETURN(const std::size_t got, backing.pread(*extent.elsewhere, bytes.span(), extent.at));
    if (got != bytes.size()) return Errno(EIO);
    return backing.pwritev(fd, {as_iovec(bytes.view())}, offset);
  }
  return backing.pwritev(fd, {as_iovec(extent.data)}, offset);
}

Status Overlay::apply(Backing& backing, FdRef fd, std::uint64_t length) const {
  if (is_cut()) {
    COFFER_ASSIGN_OR_RETURN(sys::Stat now, backing.stat(fd));
    if (now.size > floor_) COFFER_RETURN_IF_ERROR(backing.truncate(fd, floor_));
  }
  for (const auto& [offset, extent] : extents_) {
    if (offset != 0) COFFER_RETURN_IF_ERROR(store(backing, fd, offset, extent));
  }
  COFFER_ASSIGN_OR_RETURN(sys::Stat now, backing.stat(fd));
  if (now.size != length) COFFER_RETURN_IF_ERROR(backing.truncate(fd, length));
  const auto header = extents_.find(0);
  if (header == extents_.end()) return base::ok();
  return store(backing, fd, 0, header->second);
}

}  // namespace coffer::fs
