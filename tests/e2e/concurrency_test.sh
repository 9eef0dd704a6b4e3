#!/bin/bash
# Many hands on one mount (tests/support/hammer), and the same contents after a remount.
# HAMMER_SECONDS, HAMMER_SEED: longer, or the same again.
. "$(dirname "$0")/lib.sh"

seconds=${HAMMER_SECONDS:-40}
[ "$full" != 1 ] || seconds=${HAMMER_SECONDS:-300}
seed=${HAMMER_SEED:-$RANDOM$RANDOM}

new_vault
mount_vault
mkdir "$mnt/hammer"
"$programs/hammer" "$mnt/hammer" --seconds "$seconds" --seed "$seed" || fail "see above; again: HAMMER_SEED=$seed $0"
step "hammered"
cp -a "$mnt/hammer" "$work/copy"
remount
# Contents, modes and names. Modification times of one file in fifty differ by some milliseconds after the remount: a known
# defect (docs/ARCHITECTURE.md, known gaps), which HAMMER_TIMES=1 shows.
if [ "${HAMMER_TIMES:-0}" = 1 ]; then
  same_tree "$work/copy" "$mnt/hammer"
else
  differences=$(rsync -rlpgoDHAXn --checksum --delete --itemize-changes "$work/copy/" "$mnt/hammer/" | grep -v '^\.[fd]\.\.[tT]\.* ' || true)
  [ -z "$differences" ] || fail "after the remount: $differences"
fi
step "the same after a remount"
