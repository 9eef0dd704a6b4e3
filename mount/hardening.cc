#include "mount/hardening.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

namespace coffer::mount {

void harden_process() noexcept {
  // None of these can fail in a way that is worth refusing to work for: secret memory is kept out of dumps by itself.
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  if (!kSanitized) ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  ::umask(077);
}

}  // namespace coffer::mount
