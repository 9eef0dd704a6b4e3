#!/bin/bash
# The daemon is killed under load, again and again; after each mount every file must be, page for page, as it was at some moment
# since its last fsync, every name there and none besides (tests/support/crash_load). Every third round ends in order instead
# (SIGTERM under load, `umount`, `coffer lock`): then nothing at all may be missing. COFFER_FULL=1: 200 kills.
#
#   KILL_ROUNDS, KILL_SEED   so many kills, the same load again (what interleaves how is the scheduler's)
#   E2E_KEEP_GOING=1         count violations by class to the end, instead of stopping at the first round that has any
. "$(dirname "$0")/lib.sh"

[ "$e2e_fs" = coffer ] || skip "about Coffer's daemon"

kills=${KILL_ROUNDS:-12}
[ "$full" != 1 ] || kills=${KILL_ROUNDS:-200}
seed=${KILL_SEED:-$RANDOM$RANDOM}
RANDOM=$((seed % 32768))
keep_going=${E2E_KEEP_GOING:-0}
model=$work/model
violations=$work/violations
load=
round=0
: > "$violations"

# A violation that this script finds itself, in the form of crash_load's.
violation() { printf 'violation %s round %s seed %s %s\n' "$1" "$round" "$seed" "$2" | tee -a "$violations"; }

classes() { awk '{ count[$2]++ } END { for (name in count) printf "%6d  %s\n", count[name], name }' "$violations" | sort -rn; }

stop_if_violated() {
  [ -s "$violations" ] && [ "$keep_going" != 1 ] || return 0
  fail "in round $round; again: KILL_SEED=$seed $0 (all classes: E2E_KEEP_GOING=1)"
}

pause() { sleep "$(awk -v thousandths="$(($1 + RANDOM % ($2 - $1)))" 'BEGIN { print thousandths / 1000 }')"; }

start_load() {
  rm -f "$model.ready" "$model.marked"
  "$programs/crash_load" load "$mnt/load" "$model" --seed "$seed" --round "$round" > "$work/load.out" &
  load=$!
  wait_until 60 ready_or_ended || fail "the load does not start"
}
ready_or_ended() { [ -e "$model.ready" ] || not_running "$load"; }

load_ends() {
  local status=0
  wait_until 120 not_running "$load" || fail "the load hangs (process $load) after: $1"
  wait "$load" || status=$?
  load=
  grep '^violation' "$work/load.out" | tee -a "$violations" || true
  [ "$status" -le 1 ] || fail "the load ended with exit code $status after: $1"
}

check() {
  local status=0
  timeout 300 "$programs/crash_load" check "$mnt/load" "$model" --seed "$seed" --round "$round" > "$work/check.out" || status=$?
  grep '^violation' "$work/check.out" | tee -a "$violations" || true
  [ "$status" -le 1 ] || fail "reading everything after $1: exit code $status"
  step "round $round, $1: $(grep ' operations' "$work/load.out"); $(grep ' read, ' "$work/check.out")"
}

kill_daemon() {
  local pid=$daemon
  kill -9 "$pid"
  wait "$pid" 2> /dev/null || true
  daemon=
}

# The dead mount: taken away by hand every other time, else left to `coffer mount`.
clear_mount() {
  if [ $((RANDOM % 2)) = 0 ]; then
    umount -l "$mnt"
  elif is_mounted; then
    wanted_note='took away a dead mount'
  fi
}

# Nobody is spared while the last crash is being repaired.
kill_while_mounting() {
  "$coffer" mount "$vault" "$mnt" --password-file "$password" --foreground 2>> "$log" < /dev/null &
  daemon=$!
  pause 1 250
  kill_daemon
  if is_mounted; then umount -l "$mnt"; fi
  wanted_note=
}

mount_again() {
  local before
  before=$(wc -c < "$log")
  mount_vault
  tail -c "+$((before + 1))" "$log" > "$work/said"
  [ -z "$wanted_note" ] || grep -q "$wanted_note" "$work/said" || fail "no word of the dead mount: $(cat "$work/said")"
  wanted_note=
}

# Errors in the log, each once. Their class is what they say: "... error FILE: content sum is wrong: ..."
look_at_log() {
  local line class
  bad_log_lines > "$work/bad"
  while read -r line; do
    class=$(sed -E 's/.* (error|critical) //; s/^[a-z0-9]{20,}: //; s/[:(,].*//; s/ /-/g' <<< "$line")
    violation "log:$class" "$line"
  done < "$work/bad"
  [ ! -s "$work/bad" ] || : > "$log"
}

round_of_kill() {
  pause 100 1000
  kill_daemon
  load_ends "kill -9"
  clear_mount
  if [ $((RANDOM % 4)) = 0 ]; then kill_while_mounting; fi
}

mark() {
  kill -USR1 "$load"
  wait_until 60 test -e "$model.marked" || fail "the load does not answer"
}

# What was done before the signal must be there; what came after may be. The daemon waits ten seconds for the programs to come
# to rest: some do, some do not.
round_of_signal() {
  pause 100 1000
  mark
  kill -TERM "$daemon"
  if [ "$1" = stopping ]; then
    pause 1 500
    kill -TERM "$load"
  fi
  load_ends "SIGTERM"
  daemon_goes
}

stop_load() {
  pause 100 1000
  kill -TERM "$load"
  load_ends "its stop"
}

# Without a word in the log that must not be there: that is looked at later.
daemon_goes() {
  local status=0 pid=$daemon
  wait_until 120 not_running "$pid" || fail "the daemon (process $pid) does not end"
  wait "$pid" || status=$?
  daemon=
  [ "$status" = 0 ] || violation exit "the daemon ended with exit code $status"
}

# The daemon may have the folder open for a moment, to write the kernel's pages back.
plain_umount() { wait_until 30 umount "$mnt" || fail "umount: $(umount "$mnt" 2>&1)"; }

wanted_note=
new_vault
mount_vault
mkdir "$mnt/load"
done_kills=0
while [ "$done_kills" -lt "$kills" ]; do
  round=$((round + 1))
  start_load
  how='kill -9'
  if [ $((round % 3)) != 0 ]; then
    round_of_kill
    done_kills=$((done_kills + 1))
  else
    case $((round % 18)) in
      3)
        how=SIGTERM
        round_of_signal working
        ;;
      9 | 15)
        how=SIGTERM
        round_of_signal stopping
        ;;
      6 | 12)
        how=umount
        stop_load
        plain_umount
        daemon_goes
        ;;
      0)
        how=lock
        stop_load
        "$coffer" lock "$mnt" > "$work/lock.out" 2>&1 || fail "lock: exit code $?: $(cat "$work/lock.out")"
        daemon_goes
        ;;
    esac
  fi
  mount_again
  check "$how"
  look_at_log
  stop_if_violated
done
lock_vault
step "locked"
# Somebody else's word: a reader that shares no code with the program. 10: files that were renamed since they were written.
status=0
"$repository/scripts/coffer_reader.py" verify "$vault" --password-file "$password" > "$work/verify" 2>&1 || status=$?
[ "$status" = 0 ] || [ "$status" = 10 ] || violation reader "exit code $status: $(grep -v '^moved' "$work/verify" | tr '\n' ' ')"
step "verified by the reader"
if [ -s "$violations" ]; then
  classes
  fail "$(wc -l < "$violations") violations in $done_kills kills; again: KILL_SEED=$seed $0"
fi
step "$done_kills kills, $((round - done_kills)) orderly ends, seed $seed"
