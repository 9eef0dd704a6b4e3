// How libfuse reads requests and writes answers here: through hooks that know each thread's own device and see every
// request and the INIT reply on their way (wire.h says why).
#pragma once

#include "mount/fuse_api.h"

namespace coffer::mount {

// For fuse_session_custom_io(). The session's userdata must be a MountContext.
fuse_custom_io device_io();

}  // namespace coffer::mount
