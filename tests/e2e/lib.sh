# shellcheck shell=bash
# Sourced by every end-to-end test: a private folder, a vault and a mount in it, and the promise that nothing of them is left
# when the test ends, however it ends.
#
#   COFFER       the program (default: build/release/coffer)
#   COFFER_FULL  1: the sizes that issue 2 asks for, instead of those that CI can afford
#   E2E_FS       coffer, or plain or gocryptfs: holds the test itself against a file system known to work
#   E2E_KEEP     1: keep the folder
#   E2E_SUITE    passed to `coffer init --cipher`
set -euo pipefail

tests_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Variables for the tests that source this file.
# shellcheck disable=SC2034
{
  repository=$(cd "$tests_dir/../.." && pwd)
  support=$(cd "$tests_dir/../support" && pwd)
  full=${COFFER_FULL:-0}
  coffer=${COFFER:-$repository/build/release/coffer}
  programs=${COFFER_TEST_PROGRAMS:-$(dirname "$coffer")} # hammer, leak_scan
}
e2e_fs=${E2E_FS:-coffer}
test_name=$(basename "$0" .sh)

work=$(mktemp -d "${TMPDIR:-/tmp}/coffer-e2e.$test_name.XXXXXX")
vault=$work/vault
mnt=$work/mnt
password=$work/password
log=$work/daemon.log
daemon=
allowed_log='^$' # error lines that a test expects (extended regular expression)

# Nothing of the person who runs the tests is read or changed.
export HOME=$work/home XDG_STATE_HOME=$work/state XDG_RUNTIME_DIR=$work/run XDG_CONFIG_HOME=$work/config
export LC_ALL=C.UTF-8 TZ=UTC
# Debian's own tools first: python3-cryptography and the like belong to /usr/bin/python3.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
unset COFFER_PASSWORD_FILE COFFER_PASSWORD_COMMAND
mkdir -p "$HOME" "$XDG_STATE_HOME" "$XDG_RUNTIME_DIR" "$XDG_CONFIG_HOME" "$mnt"
chmod 700 "$XDG_RUNTIME_DIR"
printf 'correct horse battery staple\n' > "$password"
chmod 600 "$password"
: > "$log"

step() { printf '%6.1fs  %s\n' "$(elapsed)" "$*"; }

elapsed() { awk -v now="$(date +%s.%N)" -v then="$began" 'BEGIN { print now - then }'; }
began=$(date +%s.%N)

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

skip() { # CTest knows 77 as "skipped"
  printf 'SKIPPED: %s\n' "$*"
  exit 77
}

# expect_exit CODE COMMAND...: its output lands in $work/out and $work/err
expect_exit() {
  local wanted=$1 status=0
  shift
  "$@" > "$work/out" 2> "$work/err" || status=$?
  [ "$status" = "$wanted" ] && return
  tail -n 20 "$work/out" "$work/err" >&2
  fail "exit code $status, not $wanted, of: $*"
}

# wait_until SECONDS COMMAND...
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.05
  done
}

# A dead mount may be there first. statfs asks the daemon; what stat tells, the kernel may remember of one that is dead.
# shellcheck disable=SC2317 # called by wait_until
mount_answers_or_failed() { not_running "$daemon" || { is_mounted && stat -f "$mnt" && is_mounted; }; }

is_mounted() { grep -qF " $mnt fuse" /proc/self/mounts; }

# --- The life of a vault. Arguments go to `coffer init` and `coffer mount`.

new_vault() {
  case $e2e_fs in
    coffer)
      local cipher=()
      [ -z "${E2E_SUITE:-}" ] || cipher=(--cipher "$E2E_SUITE")
      # The least that Argon2id may cost: the tests are about files.
      "$coffer" init "$vault" --password-file "$password" --kdf-memory 8 --kdf-passes 1 "${cipher[@]}" "$@" > "$work/init.out"
      ;;
    gocryptfs) mkdir -p "$vault" && gocryptfs -q -init -scryptn 10 -passfile "$password" "$vault" ;;
    plain) mkdir -p "$vault" ;;
  esac
}

# In the foreground, as a child of this shell: its exit code and its log are ours.
mount_vault() {
  case $e2e_fs in
    coffer) "$coffer" mount "$vault" "$mnt" --password-file "$password" --foreground "$@" 2>> "$log" < /dev/null & ;;
    gocryptfs) gocryptfs -fg -q -acl -passfile "$password" "$vault" "$mnt" 2>> "$log" < /dev/null & ;;
    plain)
      mount --bind "$vault" "$mnt"
      return
      ;;
  esac
  daemon=$!
  wait_until 60 mount_answers_or_failed || fail "the mount does not answer after 60 s"
  if ! is_mounted; then
    local status=0
    wait "$daemon" || status=$?
    daemon=
    cat "$log" >&2
    fail "mount ended with exit code $status"
  fi
}

lock_vault() {
  case $e2e_fs in
    coffer) "$coffer" lock "$mnt" > "$work/lock.out" 2>&1 || { cat "$work/lock.out" >&2 && fail "lock: exit code $?"; } ;;
    gocryptfs) fusermount3 -u "$mnt" ;;
    plain) umount "$mnt" ;;
  esac
  daemon_ends 0
  ! is_mounted || fail "still mounted after lock"
}

# daemon_ends CODE: waits for it, and holds its log against what the test expects
daemon_ends() {
  [ -n "$daemon" ] || return 0
  local status=0 pid=$daemon
  wait_until 120 not_running "$pid" || fail "the daemon (process $pid) does not end"
  wait "$pid" || status=$?
  daemon=
  [ "$status" = "$1" ] || { tail -n 20 "$log" >&2 && fail "the daemon ended with exit code $status, not $1"; }
  check_log
}

not_running() {
  local state
  state=$(awk '{ sub(/.*\) /, ""); print $1 }' "/proc/$1/stat" 2> /dev/null) || return 0
  [ "$state" = Z ]
}

remount() {
  lock_vault
  mount_vault "$@"
}

# A noisy log is a failure: lines of level error, failed checks, sanitizer reports.
bad_log_lines() {
  grep -aE ' (error|critical) |ERROR: [A-Z][a-z]+Sanitizer|WARNING: ThreadSanitizer|runtime error:|[Cc]heck failed|terminate called' \
    "$log" | grep -avE "$allowed_log" || true
}

check_log() {
  local bad
  bad=$(bad_log_lines)
  [ -z "$bad" ] || fail "the daemon's log has: $(head -n 20 <<< "$bad")"
}

# same_tree A B: no difference in content, kind, mode, owner, times to the nanosecond, links, ACLs, xattrs, holes aside
same_tree() {
  # --modify-window=-1: nanoseconds count.
  rsync -aHAXn --checksum --delete --itemize-changes --modify-window=-1 "$1/" "$2/" > "$work/rsync.diff" 2>&1 ||
    { head -n 20 "$work/rsync.diff" >&2 && fail "rsync could not compare $1 and $2"; }
  if [ -s "$work/rsync.diff" ]; then
    head -n 20 "$work/rsync.diff" >&2
    fail "$(wc -l < "$work/rsync.diff") differences between $1 and $2"
  fi
}

drop_caches() {
  if [ -w /proc/sys/vm/drop_caches ]; then sync && echo 3 > /proc/sys/vm/drop_caches; fi
}

# --- The end, however it comes.

# Processes that have our private folder on their command line: daemons in the background. Its name is random, so no others do.
our_processes() {
  local directory
  for directory in /proc/[0-9]*; do
    if tr '\0' '\n' 2> /dev/null < "$directory/cmdline" | grep -qF "$work/"; then
      [ "${directory#/proc/}" = $$ ] || echo "${directory#/proc/}"
    fi
  done
}

clean_up() {
  local status=$? pid mount
  trap - EXIT
  set +e
  # From here on a failure is remembered and the rest is undone all the same.
  fail() { printf 'FAILED: %s\n' "$*" >&2 && status=1; }
  if [ $status = 0 ]; then
    if is_mounted || [ -n "$daemon" ]; then
      lock_vault
    fi
  fi
  if [ $status != 0 ] && [ $status != 77 ] && [ -s "$log" ]; then
    printf -- '---- the end of the log\n%s\n----\n' "$(tail -n 40 "$log")" >&2
  fi
  for pid in $(jobs -p); do kill "$pid" 2> /dev/null; done
  # Innermost first. Detached, since something may still hold them open.
  awk -v work="$work/" 'index($2, work) == 1 { print $2 }' /proc/self/mounts | sort -r | while read -r mount; do
    umount -l "$(printf '%b' "$mount")" 2> /dev/null || fusermount3 -uz "$(printf '%b' "$mount")" 2> /dev/null
  done
  for pid in $(jobs -p) $(our_processes); do kill -9 "$pid" 2> /dev/null; done
  if [ "${E2E_KEEP:-0}" = 1 ]; then
    echo "kept: $work"
  else
    rm -rf --one-file-system "$work"
  fi
  if [ $status = 0 ]; then step "passed"; fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

[ "$e2e_fs" != coffer ] || [ -x "$coffer" ] || fail "there is no program at $coffer: cmake --build --preset release"
[ -e /dev/fuse ] || [ "$e2e_fs" = plain ] || skip "there is no /dev/fuse"
