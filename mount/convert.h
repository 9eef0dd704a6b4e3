// Between fs/'s structures and FUSE's.
#pragma once

#include <sys/statvfs.h>

#include <chrono>

#include "fs/types.h"
#include "mount/fuse_api.h"

namespace coffer::mount {

struct stat to_stat(const fs::Attr& attr);

fuse_entry_param to_entry(const fs::Attr& attr);
// That a name is absent, to be believed for so long.
fuse_entry_param absent_entry(std::chrono::milliseconds trust);
double to_seconds(std::chrono::milliseconds time);

// to_set: FUSE_SET_ATTR_*. A new ctime is not a thing anybody can set; it is ignored.
fs::AttrChange to_change(const struct stat& attr, int to_set, bool kill_suidgid);

struct statvfs to_statvfs(const fs::StatFs& room);

fs::Caller to_caller(const fuse_ctx& context);

}  // namespace coffer::mount
