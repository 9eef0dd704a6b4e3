// After a crash: what the journal holds is brought into the ciphertext files. docs/ARCHITECTURE.md "Crash journal".
#pragma once

#include "fs/file_state.h"

namespace coffer::fs {

// Completes every file that the journal in `state` speaks of, as far as its entries prove to be whole and to belong to
// what the vault has now, and makes that durable. What does not fit (another version came meanwhile, the file is not
// there) is left as it is, reported, and its segments are kept under other names. Does nothing after a clean end. Safe
// to repeat. To be called before anything else is done with the vault.
// Errors: those of reading the journal and of writing to the vault; the journal is as it was then.
Status replay_journal(FileContext& context, FdRef vault, FdRef state);

}  // namespace coffer::fs
