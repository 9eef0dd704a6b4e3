// Words for people: what an errno means, as a sentence with an exit code and advice, and paths as a shell takes them.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "fs/user_error.h"

namespace coffer::fs {

// What an errno is called: "No such file or directory".
std::string errno_text(base::Errno error);

// "WHAT: No space left on device" with the exit code of its cause: kNoSpace (ENOSPC, EDQUOT), kReadOnly (EROFS),
// kOther.
UserError system_error(base::Errno error, std::string_view what);

// The same for a write into a folder of the user's, where a lack of permission also means "cannot be written".
UserError write_error(base::Errno error, std::string_view what);

// `word` as one word of a shell's command line, for hints that people paste. Control characters become visible.
std::string shell_word(std::string_view word);

// `text` with control characters (a terminal would obey them) replaced by '?'.
std::string printable(std::string_view text);

}  // namespace coffer::fs
