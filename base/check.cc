#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace coffer::base {

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "coffer: internal error: %s at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace coffer::base
