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
same_tree "$work/copy" "$mnt/hammer"
step "the same after a remount"
