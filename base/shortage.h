// Too little memory, in threads that no request waits for.
#pragma once

#include <new>

#include "base/log.h"

namespace coffer::base {

// False, and a line in the log: there was too little memory for all of `body`. It must leave things so that it can be
// tried again.
template <class Body>
bool try_with_memory(const char* what, Body&& body) {
  try {
    body();
    return true;
  } catch (const std::bad_alloc&) {
    log_line(LogLevel::kWarning, what);
    return false;
  }
}

}  // namespace coffer::base
