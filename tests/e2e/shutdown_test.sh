#!/bin/bash
# Whatever ends the daemon in an orderly way loses nothing, also of files that are open with pages nobody has written back.
. "$(dirname "$0")/lib.sh"

[ "$e2e_fs" != plain ] || skip "no daemon"

# A process that writes, and then holds its files open until told to go on.
hold() {
  python3 - "$mnt/$1" "$work/$1.go" "$work/$1.ready" <<'END' &
import mmap, os, sys, time
path, go, ready = sys.argv[1:]
os.makedirs(path)
written = open(path + "/written", "wb")
written.write(bytes(range(256)) * 12345 + b"the end")
written.flush()
appended = open(path + "/appended", "ab", buffering=0)
for number in range(1000):
    appended.write(b"line %d\n" % number)
mapped = os.open(path + "/mapped", os.O_RDWR | os.O_CREAT)
os.ftruncate(mapped, 100_000)
memory = mmap.mmap(mapped, 100_000)
memory[:] = bytes(range(100)) * 1000
open(ready, "w").close()
while not os.path.exists(go):
    time.sleep(0.05)
END
  holder=$!
  wait_until 30 test -e "$work/$1.ready" || fail "the writing process is not ready"
}

let_go() {
  touch "$work/$1.go"
  wait "$holder" || true # its mount may be gone
}

check_held() {
  python3 - "$mnt/$1" <<'END' || fail "after $1 and a remount: content is missing"
import sys
path = sys.argv[1]
def same(name: str, wanted: bytes) -> None:
    seen = open(f"{path}/{name}", "rb").read()
    assert seen == wanted, f"{name}: {len(seen)} bytes of {len(wanted)}; first difference at " + str(
        next((i for i, (a, b) in enumerate(zip(seen, wanted)) if a != b), min(len(seen), len(wanted))))
same("written", bytes(range(256)) * 12345 + b"the end")
same("appended", b"".join(b"line %d\n" % number for number in range(1000)))
same("mapped", bytes(range(100)) * 1000)
END
}

ended_by_signal() {
  local signal=$1
  mount_vault
  hold "$signal"
  kill "-$signal" "$daemon"
  daemon_ends 0
  wait_until 10 not_mounted || fail "still mounted after SIG$signal"
  let_go "$signal"
  mount_vault
  check_held "$signal"
  lock_vault
  step "SIG$signal loses nothing"
}

# shellcheck disable=SC2317 # called by wait_until
not_mounted() { ! is_mounted; }
# shellcheck disable=SC2317
no_daemons() { [ -z "$(our_processes)" ]; }

new_vault
for signal in TERM INT HUP; do ended_by_signal $signal; done

# Busy: said so, with the process that holds it; nothing is disturbed.
mount_vault
hold busy
if [ "$e2e_fs" = coffer ]; then
  expect_exit 14 "$coffer" lock "$mnt"
  cat "$work/out" "$work/err" > "$work/said"
  grep -qE "\b$holder\b" "$work/said" || fail "lock does not say who holds the mount: $(cat "$work/said")"
  is_mounted || fail "lock of a busy mount unmounted it"
  expect_exit 14 "$coffer" mount "$vault" "$work/home" --password-file "$password"
  step "busy is busy"
fi
let_go busy
remount
check_held busy
lock_vault
step "a lock after that loses nothing"

# A mount right after a lock waits for the old daemon; in the background too.
if [ "$e2e_fs" = coffer ]; then
  for round in 1 2 3; do
    "$coffer" mount "$vault" "$mnt" --password-file "$password" || fail "mount in the background, round $round: exit code $?"
    is_mounted || fail "the parent returned before the mount was there"
    head -c 3000000 /dev/urandom > "$work/random"
    cp "$work/random" "$mnt/random"
    "$coffer" lock "$mnt" || fail "lock, round $round: exit code $?"
    ! is_mounted || fail "mounted after lock returned"
  done
  "$coffer" mount "$vault" "$mnt" --password-file "$password"
  cmp "$work/random" "$mnt/random" || fail "content differs after quick remounts"
  "$coffer" lock "$mnt"
  wait_until 20 no_daemons || fail "left running: $(our_processes)"
  step "quick remounts in the background"
fi
