// libfuse's low-level API, at the version this code is written against. Included by mount/*.cc only.
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif

// Its inline helpers do not pass our warnings.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wold-style-cast"
#include <fuse_lowlevel.h>
#pragma GCC diagnostic pop
