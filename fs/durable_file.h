// Small files that are there whole or not at all: written aside, flushed, renamed, the folder flushed.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace coffer::fs {

enum class IfExists { kReplace, kFail };

// Durable when it returns ok. On failure nothing of it is left and what was there still is, except where only the last
// flush of the folder failed: then the new file stands.
// Errors: those of the calls below; EEXIST with kFail.
base::Status write_durably(base::FdRef dir, const std::string& name, base::ByteView content, mode_t mode,
                           IfExists if_exists);

// fsync of a directory; file systems that cannot (EINVAL, ENOTSUP) have nothing to flush.
base::Status sync_directory(base::FdRef dir);

// ".~coffer-<16 hexadecimal digits>.tmp", never the same twice. Sync clients skip such names.
std::string temporary_name();

}  // namespace coffer::fs
