#!/bin/bash
# A mount that nobody uses takes no processor time, also after it was used.
. "$(dirname "$0")/lib.sh"

[ "$e2e_fs" != plain ] || skip "no daemon"

ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$daemon/stat"; }

idle_for() {
  local before
  before=$(ticks)
  sleep "$1"
  echo $(($(ticks) - before))
}

new_vault
mount_vault
used=$(idle_for 10)
step "$used ticks in 10 s, never used"
[ "$used" -le 1 ] || fail "an idle mount used $used ticks"
cp -r /usr/include/linux "$mnt/"
cat "$mnt"/linux/*.h > /dev/null
sleep 7 # what is held back reaches the disk within 5 s
used=$(idle_for 10)
step "$used ticks in 10 s, after use"
[ "$used" -le 1 ] || fail "an idle mount used $used ticks after use"
