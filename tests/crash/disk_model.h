// What a disk may hold after a power cut: a model of journaling file systems, ext4 and xfs.
//
// Metadata (names, sizes set by truncate or fallocate, holes, attributes) reaches the disk in the order of the calls:
// what is there is what a prefix of them made. Never between two of them in another order: ext4 commits its journal in
// whole transactions [1], xfs its log likewise [2]. The prefix is at least as long as flushes demand:
//  - fsync(file or directory) commits what last changed that inode, and so all before it; ext4 commits everything up to
//    now [1], which is the other thing that is played;
//  - fdatasync(file) commits what is needed to read the data: creation, sizes, holes, but not renames or attributes
//  [3];
//  - syncfs commits everything on that disk.
// Data written is another matter until its file is flushed: each piece of 512 or 4096 bytes is there or not, whatever
// else is (torn writes; only sectors are whole [4]), in place as in new space. Where a write makes the file longer,
//  - either the new size comes only with the data before it (data=ordered, xfs since sizes move after the I/O [2]),
//  - or the size is there and what is lost of the data reads as zeros (data=writeback, delayed allocation with
//  unwritten
//    extents [5]). Stale blocks of others are played as zeros.
// Names come without the data: nothing here holds a rename back until the file's data is there (auto_da_alloc is an
// option that can be off, and xfs has none). Data of writes whose metadata is not there shows only where the file on
// disk had blocks then and nothing has cut them off since.
//
// Local state may lie on the same disk (one order of metadata, one syncfs) or on another (two orders).
//
// kill -9 loses nothing that a call has returned from; a large write may have been cut short at a page [6].
//
// [1] Documentation/filesystems/ext4/journal.rst; fs/ext4/fsync.c  [2] Documentation/filesystems/xfs/
// xfs-delayed-logging-design.rst; fs/xfs/xfs_aops.c, xfs_ioend  [3] fdatasync(2); fs/ext4/inode.c, i_datasync_tid
// [4] Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014  [5] Documentation/admin-guide/ext4.rst,
// data=, dioread_lock, auto_da_alloc  [6] mm/filemap.c, generic_perform_write: a fatal signal ends it between pages
#pragma once

#include <random>

#include "tests/crash/recording.h"

namespace coffer::crash {

// What of it reached the disk; where local state has a disk of its own there are two of these.
struct Reached {
  enum class Metadata { kAll, kRandom, kFlushed };
  Metadata metadata = Metadata::kAll;
  double lost = 0;           // the share of unflushed data that is not there
  std::size_t piece = 4096;  // in pieces of this size; 0: whole writes
  bool size_first = false;   // sizes without their data
  bool commits_all = false;  // any fsync commits all metadata (ext4), not only up to what it is for (xfs)
};

struct Variant {
  std::string name;
  bool power = true;  // false: only the process died
  bool short_write = false;
  bool two_disks = false;
  Reached vault, state;
};

// Every kind of end that is played at a crash point; those at the front are the same for each seed.
std::vector<Variant> variants();

// What lies on the disks when power goes after the first `count` operations. The same for the same seed.
Image cut(const Image& before, const std::vector<Operation>& operations, std::size_t count, const Variant& variant,
          std::uint64_t seed);

}  // namespace coffer::crash
