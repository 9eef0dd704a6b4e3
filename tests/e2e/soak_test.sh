#!/bin/bash
# Many clients at once for a while: stress-ng's file system stressors, and fio, which reads back and verifies what it wrote. The
# mount answers all the time, nothing is logged as an error, and the daemon's memory and descriptors stay what they are.
# COFFER_FULL=1: half an hour, 64 clients.
#
#   SOAK_SECONDS, SOAK_CLIENTS
. "$(dirname "$0")/lib.sh"

[ "$e2e_fs" != plain ] || skip "no daemon"
for program in stress-ng fio; do command -v "$program" > /dev/null || skip "there is no $program: scripts/install-deps"; done

seconds=${SOAK_SECONDS:-32}
clients=${SOAK_CLIENTS:-32}
[ "$full" != 1 ] || { seconds=${SOAK_SECONDS:-1800} && clients=${SOAK_CLIENTS:-64}; }
samples=$work/samples
stressors=(access chdir chmod chown copy-file dentry dir dirdeep dirmany dnotify dup fallocate fcntl filename flock fpunch fstat
  getdent hdd inotify iomix link locka lockf lockofd mknod open rename seek symlink sync-file touch utime xattr)
# Each with a file of its own, since verification does not allow for others' writes.
fio_jobs=(
  "--name=small --rw=randwrite --bs=4k --ioengine=psync --fsync=64"
  "--name=odd --rw=randwrite --bs=11k --ioengine=psync"
  "--name=large --rw=write --bs=256k --ioengine=psync --fsync=8"
  "--name=mapped --rw=randwrite --bs=4k --ioengine=mmap"
)

facts() { timeout 120 "$coffer" status --json "$mnt" | python3 -c 'import json, sys; facts = json.load(sys.stdin)["mounts"][0]; print(*(facts[key] for key in sys.argv[1:]))' "$@"; }
written_out() { [ "$(facts written_out)" = True ]; }

# memory in KiB, descriptors
sample() {
  printf '%s %s\n' "$(awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status")" \
    "$(find "/proc/$daemon/fd" -mindepth 1 -maxdepth 1 2> /dev/null | wc -l)"
}

sample_all() {
  while sleep 0.5; do
    sample >> "$samples"
    # A mount that does not answer for two minutes hangs.
    timeout 120 stat -f "$mnt" > /dev/null || { echo "the mount does not answer" > "$work/hangs" && return; }
  done
}

# So many seconds of everything at once.
run_clients() {
  local duration=$1 each=$((clients / ${#stressors[@]})) arguments=() name job fio_pid status=0
  [ "$each" -gt 0 ] || each=1
  for name in "${stressors[@]}"; do arguments+=("--$name" "$each"); done
  mkdir -p "$mnt/stress" "$mnt/fio"
  local fio_arguments=(--directory="$mnt/fio" --size=6m --time_based --runtime="$duration" --verify=crc32c --verify_fatal=1
    --verify_backlog=128 --verify_state_save=0 --randrepeat=0)
  for job in "${fio_jobs[@]}"; do
    # shellcheck disable=SC2206 # several options
    fio_arguments+=($job)
  done
  timeout --kill-after=60 $((duration + 300)) fio "${fio_arguments[@]}" > "$work/fio.out" 2>&1 &
  fio_pid=$!
  timeout --kill-after=60 $((duration + 300)) stress-ng --temp-path "$mnt/stress" --timeout "${duration}s" --verify --metrics-brief \
    --hdd-bytes 4m --iomix-bytes 4m --fallocate-bytes 8m --seek-size 4m --sync-file-bytes 4m --oomable \
    "${arguments[@]}" > "$work/stress.out" 2>&1 || status=$?
  [ "$status" = 0 ] || { head -n 40 "$work/stress.out" >&2 && fail "stress-ng: exit code $status"; }
  wait "$fio_pid" || status=$?
  [ "$status" = 0 ] || { cat "$work/fio.out" >&2 && fail "fio: exit code $status"; }
  rm -rf "$mnt/stress"
}

# median QUARTER COLUMN: of the samples of that quarter of the run (1 to 4)
median() {
  awk -v quarter="$1" -v column="$2" '{ all[NR] = $column } END { for (i = int(NR * (quarter - 1) / 4) + 1; i <= NR * quarter / 4; i++) print all[i] }' "$samples" |
    sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] + 0 }'
}

# flat WHAT COLUMN SLACK: the last quarter of the run has no more than the second one, apart from a fifth and the slack
flat() {
  local early late
  early=$(median 2 "$2")
  late=$(median 4 "$2")
  step "$1: $early in the second quarter, $late in the last; most: $(cut -d' ' -f"$2" "$samples" | sort -n | tail -n 1)"
  [ "$late" -le $((early + early / 5 + $3)) ] || fail "$1 grows: $early, then $late"
}

new_vault
mount_vault
run_clients $((seconds / 8 + 2)) # warm-up
wait_until 60 written_out || fail "not written out after the warm-up"
sleep 11 # files that were just written stay open for ten seconds
read -r memory_before descriptors_before < <(sample)
step "warm: $memory_before KiB, $descriptors_before descriptors"
sample_all &
sampler=$!
run_clients "$seconds"
kill "$sampler"
wait "$sampler" 2> /dev/null || true
[ ! -e "$work/hangs" ] || fail "$(cat "$work/hangs")"
step "$(facts requests) requests; fio: $(grep -oE '(read|write): IOPS=[^,]*' "$work/fio.out" | tr '\n' ' ')"
flat "memory (KiB)" 1 16384
[ "$(wc -l < "$samples")" -ge 8 ] || fail "only $(wc -l < "$samples") samples: the mount hardly answered"
flat "descriptors" 2 64
# Nothing is left of all those files but what the kernel remembers, and that can be made to forget.
rm -rf "$mnt/fio"
wait_until 60 written_out || fail "not written out after the run"
sleep 11
drop_caches
sleep 1
read -r memory_after descriptors_after < <(sample)
step "afterwards: $memory_after KiB, $descriptors_after descriptors"
[ "$descriptors_after" -le $((descriptors_before + 16)) ] || fail "descriptors are left: $(find "/proc/$daemon/fd" -printf '%l\n' | sort | uniq -c | sort -rn | head -n 5)"
[ "$memory_after" -le $((memory_before + memory_before / 5 + 16384)) ] || fail "memory is left: $memory_before KiB, then $memory_after KiB"
[ -z "$(ls -A "$mnt")" ] || fail "left in the mount: $(find "$mnt" -mindepth 1 | head -n 5)"
[ "$(facts integrity_events names_unreadable)" = "0 0" ] || fail "findings: $(facts recent_events)"
! grep -a ' warning ' "$log" > "$work/warnings" || step "warnings: $(sed -E 's/^[^ ]+ //' "$work/warnings" | sort | uniq -c | head -n 5)"
lock_vault
[ "$(find "$vault" -mindepth 1 | wc -l)" -le 4 ] || fail "left in the vault: $(find "$vault" -mindepth 1 | head -n 10)"
