// What every process of Coffer does first, so that its secrets stay in it.
#pragma once

namespace coffer::mount {

// No core dumps, no debugger of the same user (PR_SET_DUMPABLE; not under sanitizers, whose leak check attaches one),
// and files that we make are ours alone (umask 077).
void harden_process() noexcept;

}  // namespace coffer::mount
