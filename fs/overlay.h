// Changes to a ciphertext file that are not in it yet: the file reads as if they were.
//
// Not thread-safe: its owner's lock guards it.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>

#include "fs/backing.h"

namespace coffer::fs {

class Overlay {
 public:
  bool empty() const { return extents_.empty() && floor_ == kNoFloor; }
  std::uint64_t bytes() const { return bytes_; }  // of content held
  // The first byte behind all that is in here; 0 if nothing is.
  std::uint64_t end() const;
  // A cut is in here: what the file has from there on is not to be seen.
  bool is_cut() const { return floor_ != kNoFloor; }

  void write(std::uint64_t offset, base::Bytes data);
  // The same with content that lies in another file, which keeps it there for as long as this refers to it.
  void write(std::uint64_t offset, std::uint64_t length, FdRef elsewhere, std::uint64_t at);
  void punch(std::uint64_t offset, std::uint64_t length);
  // The file ends here now. What is written or reads beyond it later is as in a new part of the file.
  void cut(std::uint64_t size);
  void clear();
  // Forgets a cut, not what was written since.
  void uncut() { floor_ = kNoFloor; }

  // As Backing::pread, of a file that is `length` bytes long with all of this.
  Result<std::size_t> read(Backing& backing, FdRef fd, std::uint64_t length, ByteSpan out, std::uint64_t offset) const;
  // Where data may begin from `offset` on; never behind where it does begin. Errors: ENXIO, as lseek(2).
  Result<std::uint64_t> seek_data(Backing& backing, FdRef fd, std::uint64_t offset) const;
  // The same for holes; the end of the file is one.
  Result<std::uint64_t> seek_hole(Backing& backing, FdRef fd, std::uint64_t offset) const;
  // Puts everything into the file: cut, content, length, and what lies at offset 0 (the header) last. Again after a
  // failure, or a crash, it comes to the same. Errors: those of writing.
  Status apply(Backing& backing, FdRef fd, std::uint64_t length) const;

 private:
  static constexpr std::uint64_t kNoFloor = std::numeric_limits<std::uint64_t>::max();
  struct Extent {
    std::uint64_t length = 0;
    base::Bytes data;  // empty: elsewhere, or a hole
    std::optional<FdRef> elsewhere{};
    std::uint64_t at = 0;  // there
    bool is_hole() const { return data.empty() && !elsewhere; }
    // Of `length` bytes from `skip` on.
    Extent part(std::uint64_t skip, std::uint64_t length) const;
  };
  void remove(std::uint64_t from, std::uint64_t to);
  void insert(std::uint64_t offset, Extent extent);
  static Status store(Backing& backing, FdRef fd, std::uint64_t offset, const Extent& extent);

  std::map<std::uint64_t, Extent> extents_;  // by offset; none overlaps another
  std::uint64_t floor_ = kNoFloor;           // the file's own bytes count below this only
  std::uint64_t bytes_ = 0;
};

// Makes a range read as zeros: a hole, or zeros where the file system has no holes.
Status punch_hole(Backing& backing, FdRef fd, std::uint64_t offset, std::uint64_t length);

}  // namespace coffer::fs
