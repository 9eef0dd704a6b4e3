# shellcheck shell=bash
# Shared by the stages beside this file. Sourced, from anywhere; leaves the shell in the repository.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# Debian's own tools first: python3-cryptography and the like belong to /usr/bin/python3, whatever else is installed.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
jobs=${COFFER_JOBS:-$(nproc)}
# A compiler cache makes the second run cheap; without one everything still works.
if [ -z "${CMAKE_CXX_COMPILER_LAUNCHER:-}" ] && command -v ccache > /dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
  # Clones in different folders share what they compile; precompiled headers are compared by content.
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
fi

# Reports go to stderr and end the program: a test that goes on after one would pass.
export ASAN_OPTIONS=${ASAN_OPTIONS:-halt_on_error=1:abort_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:abort_on_error=1:print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:abort_on_error=1:second_deadlock_stack=1}

# build PRESET [TARGET...]; a folder's targets are called FOLDER/all. None: everything.
build() {
  local preset=$1 targets=()
  shift
  [ $# = 0 ] || targets=(--target "$@")
  # scripts/up may have configured this folder without tests.
  cmake --preset "$preset" -DBUILD_TESTING=ON
  nice cmake --build --preset "$preset" --parallel "$jobs" "${targets[@]}"
}

# none_skipped COMMAND...: runs ctest; in CI a test that skipped itself is a failure too, since nobody would notice. (At
# home something may be missing, such as root. The sanitizers' runs repeat what ran here, without what they cannot do.)
none_skipped() {
  local log skipped status=0
  log=$(mktemp)
  "$@" | tee "$log" || status=$?
  skipped=$(grep -F '***Skipped' "$log" || true)
  rm -f "$log"
  [ -z "$skipped" ] || printf 'not run:\n%s\n' "$skipped"
  [ "${CI:-}" != true ] || [ -z "$skipped" ] || {
    echo "error: in CI every test must run"
    return 1
  }
  return "$status"
}

# unit_tests PRESET: everything that needs no mount
unit_tests() {
  # NOT_BUILT: stands in for the tests of a program that `build` was not asked for.
  nice ctest --test-dir "build/$1" --label-exclude e2e --exclude-regex '_NOT_BUILT' --output-on-failure --no-tests=error \
    --parallel "$jobs" --timeout 600
}

# e2e_with PRESET TEST...: end-to-end tests on the program of another preset
e2e_with() {
  local preset=$1 regex
  shift
  regex=$(IFS='|' && echo "$*")
  nice ctest --test-dir "build/$preset" --label-regex e2e --tests-regex "^e2e\\.($regex)\$" --output-on-failure --no-tests=error
}
