// libfuse says why something failed to its log only.
#pragma once

#include <string>

namespace coffer::mount {

// libfuse's lines go to ours from now on. Process-wide.
void take_fuse_log();
// The last of them.
std::string last_fuse_log();

}  // namespace coffer::mount
