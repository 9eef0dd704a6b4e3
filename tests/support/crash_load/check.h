// After the crash: what is on the mount, held against the model.
#pragma once

#include "model.h"
#include "worker.h"

namespace crash {

struct Counts {
  std::size_t files = 0;
  std::size_t bytes = 0;
  std::size_t older_than_close = 0;  // pages and sizes; no violation
};

// Reports violations, removes what they were found at, and makes `model` what is there now.
Counts check(Load& load, Model& model);

}  // namespace crash
