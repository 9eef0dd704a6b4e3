// libfuse's operations as trampolines: decode, call the verb of fs::Filesystem, answer.
#pragma once

#include "mount/fuse_api.h"

namespace coffer::mount {

// The table for fuse_session_new(); its userdata must be a MountContext that outlives the session.
const fuse_lowlevel_ops& operations();

}  // namespace coffer::mount
