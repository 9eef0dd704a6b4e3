#!/bin/bash
# The command line as a contract (docs/CLI.md): every error with its exit code, its sentence and its hint, and nothing changed on
# disk; secrets from every source; slots; busy, stale and read-only mounts; fstab.
#
#   cli_test.sh [PART...]     parts: the functions below that end in _test, which build on each other

# In a mount namespace of its own: `lock --all` means all, and somebody may be using Coffer on this machine.
if [ "${COFFER_CLI_TEST:-}" != alone ] && [ "$(id -u)" = 0 ]; then
  COFFER_CLI_TEST=alone exec unshare --mount --propagation private bash "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"

[ "$e2e_fs" = coffer ] || skip "only coffer has this command line"
[ "$(id -u)" = 0 ] || skip "makes namespaces and file systems, which only root can (user_test.sh is for others)"
awk '$3 == "fuse.coffer" { print $2 }' /proc/self/mounts | while read -r foreign; do umount -l "$(printf '%b' "$foreign")"; done

typist() { python3 "$support/typist.py" "$@"; }
cheap=(--kdf-memory 8 --kdf-passes 1)

chmod 600 "$password"
secret() { # NAME TEXT: a file that holds it
  printf '%s\n' "$2" > "$work/$1"
  chmod 600 "$work/$1"
  echo "$work/$1"
}

secret wrong "not it" > /dev/null
secret second "another one" > /dev/null
secret third "a third" > /dev/null

# All that could change: names, kinds, modes, sizes, times, inodes, content.
fingerprint() {
  (cd "$1" && find . -printf '%P %y %m %s %i %T@ %C@ %l\n' | sort && find . -type f -print0 | sort -z | xargs -0r sha256sum)
}

# refused CODE 'words of the message' COMMAND...: that exit code and sentence, with a hint, and the vault as before
refused() {
  local code=$1 words=$2 before=
  shift 2
  [ ! -d "$vault" ] || before=$(fingerprint "$vault")
  expect_exit "$code" "$@" < /dev/null
  says "$words"
  grep -q '^coffer: ' "$work/err" || fail "no sentence from: $*"
  grep -q '^hint: ' "$work/err" || fail "no hint from: $*: $(cat "$work/err")"
  [ ! -d "$vault" ] || [ "$before" = "$(fingerprint "$vault")" ] || fail "something in the vault has changed: $*"
}

no_leftovers() { [ -z "$(find "$1" -name '.~coffer*')" ] || fail "temporary files are left in $1"; }

says() { grep -qF -- "$1" "$work/err" || fail "stderr does not say '$1' but: $(cat "$work/err")"; }
prints() { grep -qF -- "$1" "$work/out" || fail "stdout does not say '$1' but: $(cat "$work/out")"; }
run() { expect_exit 0 "$@"; }

json() { # EXPRESSION, of d, the JSON in $work/out
  python3 -c "import json, sys; d = json.load(open(sys.argv[1])); print($1)" "$work/out"
}

# Called by wait_until.
# shellcheck disable=SC2317
{
  written_out() { "$coffer" status --json "$mnt" | grep -q '"written_out":true'; }
  mount_is_dead() { ! stat "$mnt"; }
  nothing_mounted() { ! is_mounted; }
}

mount_in_background() { run "$coffer" mount "$vault" "$mnt" --password-file "$password" "$@" < /dev/null; }
daemon_pid() { "$coffer" status --json "$mnt" | python3 -c 'import json, sys; print(json.load(sys.stdin)["mounts"][0]["pid"])'; }

# no_terminal COMMAND...: in a session without one, as cron has it
no_terminal() { setsid -w "$@"; }

usage_test() {
  refused 2 "needs a command" "$coffer"
  refused 2 "has no command frobnicate" "$coffer" frobnicate
  refused 2 "needs a command" "$coffer" key
  refused 2 "VAULT is required" "$coffer" init
  refused 2 "MOUNTPOINT is required" "$coffer" mount "$vault"
  refused 2 "MOUNTPOINT or --all" "$coffer" lock
  refused 2 "excludes" "$coffer" mount "$vault" "$mnt" --password-stdin --key
  refused 2 "excludes" "$coffer" init "$vault" --key-only --password-stdin
  refused 2 "--password" "$coffer" mount "$vault" "$mnt" --password geheim
  refused 2 "is no length of time" "$coffer" mount "$vault" "$mnt" --idle soon
  refused 2 "no power of two" "$coffer" init "$vault" --chunk-size 5000 --password-file "$password"
  refused 2 "no power of two" "$coffer" init "$vault" --chunk-size 2K --password-file "$password"
  refused 2 "--kdf-memory takes" "$coffer" init "$vault" --kdf-memory 7 --password-file "$password"
  refused 2 "--name-max" "$coffer" init "$vault" --name-max 100 --password-file "$password"
  refused 2 "--cipher" "$coffer" init "$vault" --cipher rot13 --password-file "$password"
  [ ! -e "$vault" ] || fail "a refused init made a folder"
  run "$coffer" --version && prints "coffer "
  run "$coffer" version && prints "vault format"
  run "$coffer" help key add && prints "coffer key add"
  run "$coffer" --help && prints "Example:"
}

# Every option of the help in $work/out stands in the manual page and in docs/CLI.md.
documented() {
  local option
  while read -r option; do
    [ "$option" != --help ] || continue
    grep -qE "^\.(.* )?Fl (.* )?${option#-}( |\$)" "$repository/docs/coffer.1" || fail "coffer.1 lacks $option"
    grep -qE -- "$option\b" "$repository/docs/CLI.md" || fail "docs/CLI.md lacks $option"
  done < <(sed '/^Example:/,$d' "$work/out" | grep -oE -- '--[a-z][a-z-]+' | sort -u)
}

# Every exit code of the source stands in both.
codes_documented() {
  local code
  while read -r code; do
    grep -q "^| $code |" "$repository/docs/CLI.md" || fail "docs/CLI.md lacks exit code $code"
    grep -q "^\.It $code\$" "$repository/docs/coffer.1" || fail "coffer.1 lacks exit code $code"
  done < <(sed -n 's/^  k[A-Za-z]* = \([0-9][0-9]*\),\{0,1\}.*/\1/p' "$repository/fs/user_error.h")
}

# Every command explains itself with an example.
help_test() {
  local command words
  while read -r command; do
    read -ra words <<< "$command"
    run "$coffer" "${words[@]}" --help
    prints "Usage: coffer $command"
    prints "Example:"
    documented
  done <<'END'
init
mount
lock
status
passwd
key
key show
key add
key remove
key list
ls
cat
speed
help
version
END
  codes_documented
}

init_test() {
  mkdir "$work/full" && echo mine > "$work/full/letter"
  refused 20 "is not empty: it holds letter" "$coffer" init "$work/full" --password-file "$password"
  [ "$(ls -A "$work/full")" = letter ] || fail "init changed a folder that it refused"
  refused 11 "is a file" "$coffer" init "$password" --password-file "$password"
  refused 1 "the folder above it does not exist" "$coffer" init "$work/no/vault" --password-file "$password"
  refused 22 "is empty" "$coffer" init "$vault" --password-file "$(secret empty '')"
  refused 22 "cannot be opened" "$coffer" init "$vault" --password-file "$work/missing"
  refused 22 "no terminal" no_terminal "$coffer" init "$vault"
  refused 20 "exists already" "$coffer" init "$vault" --password-file "$password" --key-output "$work/full/letter"
  [ ! -e "$vault" ] || fail "a refused init made a folder"

  run "$coffer" init "$vault" --password-file "$password" "${cheap[@]}" --key-output "$work/key"
  [ "$(stat -c %a "$work/key")" = 600 ] || fail "the key file is open to others"
  [ "$(tr -d ' \n' < "$work/key" | wc -c)" = 64 ] || fail "the key file does not hold 64 digits"
  ! grep -qE '([0-9a-f]{4} ){3}' "$work/out" || fail "the key is printed although it went to a file"
  refused 20 "is a vault already" "$coffer" init "$vault" --password-file "$password"

  run "$coffer" init "$work/keyed" --key-only --cipher xchacha20-poly1305 --chunk-size 64K --name-max 255
  [ "$(grep -cE '^    [0-9a-f]{4} [0-9a-f]{4} [0-9a-f]{4} [0-9a-f]{4}$' "$work/out")" = 4 ] || fail "no key in 4 rows of 4"
  grep -E '^    [0-9a-f]{4} ' "$work/out" > "$work/keyed.key" && chmod 600 "$work/keyed.key"
  grep -q '"chunk_size": 65536' "$work/keyed/coffer.json" || fail "--chunk-size had no effect"
  grep -q '"suite": "xchacha20-poly1305"' "$work/keyed/coffer.json" || fail "--cipher had no effect"
  run "$coffer" key show "$work/keyed" --key-file "$work/keyed.key"
  refused 22 "has no password" "$coffer" key show "$work/keyed" --password-file "$password"
}

secrets_test() {
  refused 10 "wrong password" "$coffer" key show "$vault" --password-file "$work/wrong"
  refused 10 "wrong password" "$coffer" key show "$vault" --password-file "$(secret newlines $'correct horse battery staple\n')"
  refused 22 "exit code 7" "$coffer" key show "$vault" --password-command 'exit 7'
  refused 22 "is empty" "$coffer" key show "$vault" --password-stdin
  refused 22 "no terminal" no_terminal "$coffer" key show "$vault"
  refused 22 "neither the 64 digits" "$coffer" key show "$vault" --key-file "$(secret short 1234)"
  refused 10 "not the key of the vault" "$coffer" key show "$vault" --key-file "$work/keyed.key"

  local digits
  digits=$(tr -d ' \n' < "$work/key")
  digits=${digits^^}
  run "$coffer" key show "$vault" --password-file "$password" && prints "$(cut -c1-19 "$work/key")"
  run "$coffer" key show "$vault" --password-command "cat '$password'"
  run "$coffer" key show "$vault" --password-stdin < "$password"
  run "$coffer" key show "$vault" --key-file "$work/key"
  run "$coffer" key show "$vault" --key-file "$(secret upper "${digits:0:30}-${digits:30}")"
  COFFER_PASSWORD_FILE=$password run "$coffer" key show "$vault"
  COFFER_PASSWORD_COMMAND="cat '$password'" run "$coffer" key show "$vault"
  # An option counts more than the environment.
  COFFER_PASSWORD_FILE=$work/wrong run "$coffer" key show "$vault" --password-file "$password"
  # Process substitution and other pipes are files too.
  run "$coffer" key show "$vault" --password-file <(cat "$password")
  chmod 644 "$work/wrong"
  refused 10 "other users may read" "$coffer" key show "$vault" --password-file "$work/wrong"
  # Nothing of it is on a command line.
  ! "$coffer" mount --help | grep -qE -- '--password[ =]' || fail "there is an option that takes a password itself"
}

terminal_test() {
  local shown="$work/shown"
  typist "secret one" "secret two" "secret one" "secret one" -- "$coffer" init "$work/typed" "${cheap[@]}" > "$shown"
  grep -q "these were not the same" "$shown" || fail "a mistyped password passed"
  ! grep -q "secret" "$shown" || fail "the password shows on the terminal"
  [ "$(grep -cE '^    ([0-9a-f]{4} ){3}[0-9a-f]{4}$' "$shown")" = 4 ] || fail "the key was not shown"
  grep -E '^    ([0-9a-f]{4} ){3}[0-9a-f]{4}$' "$shown" | tr -d ' \n' > "$work/typed.key"

  typist "secret no" "" "secret one" -- "$coffer" key show "$work/typed" > "$shown"
  grep -q "wrong password" "$shown" || fail "no word on a wrong password"
  grep -q "empty password" "$shown" || fail "no word on an empty password"
  local status=0
  typist "secret a" "secret b" "secret c" -- "$coffer" key show "$work/typed" > "$shown" || status=$?
  [ $status = 10 ] || fail "three wrong passwords: exit code $status"
  status=0
  typist "^C" -- "$coffer" key show "$work/typed" > "$shown" || status=$?
  [ $status = 25 ] || fail "Ctrl-C at the prompt: exit code $status"
  status=0
  typist "^D" -- "$coffer" key show "$work/typed" > "$shown" || status=$?
  [ $status = 25 ] || fail "Ctrl-D at the prompt: exit code $status"

  # The 64 digits, typed: any grouping, any case; and without asking for a password where there is none.
  typist "1234" "$(sed 's/../& -/g' "$work/typed.key" | tr a-f A-F)" -- "$coffer" key show "$work/typed" --key > "$shown"
  grep -q "4 digits" "$shown" || fail "no word on how many digits were typed"
  typist "$(tr -d '\n' < "$work/keyed.key")" -- "$coffer" key show "$work/keyed" > "$shown"
  grep -q "has no password" "$shown" || fail "a vault without password asked for one"

  typist "secret one" "secret new" "secret new" -- "$coffer" passwd "$work/typed" "${cheap[@]}" > "$shown"
  status=0
  typist "secret new" "no" -- "$coffer" key remove "$work/typed" 2 > "$shown" || status=$?
  [ $status = 25 ] || fail "a no to removing: exit code $status"
  grep -q "last slot" "$shown" || fail "no warning before the last slot goes"
  typist "secret new" "yes" -- "$coffer" key remove "$work/typed" 2 > "$shown"
  "$coffer" key list "$work/typed" | grep -q "no slots" || fail "the slot is still there"
}

slots_test() {
  local second=$work/second old_config
  old_config=$(cat "$vault/coffer.json")
  run "$coffer" key add "$vault" --password-file "$password" --new-password-file "$second" --label spouse "${cheap[@]}"
  prints 'Added slot 2: password "spouse"'
  run "$coffer" key add "$vault" --password-file "$second" --new-keyfile "$work/keyfile"
  [ "$(stat -c '%a %s' "$work/keyfile")" = "600 64" ] || fail "the keyfile is not 64 bytes for its owner alone"
  head -c 100 /dev/urandom > "$work/photo" && chmod 600 "$work/photo"
  run "$coffer" key add "$vault" --key-file "$work/key" --keyfile "$work/photo" --label photo
  run "$coffer" key show "$vault" --key-file "$work/keyfile"
  run "$coffer" key show "$vault" --key-file "$work/photo"
  cmp -s "$vault/coffer.json" "$vault/coffer-copy.json" || fail "the second copy is not the same"
  no_leftovers "$vault"
  run "$coffer" key list "$vault" && prints "spouse" && prints "photo"
  run "$coffer" key list "$vault" --json
  [ "$(json '[s["id"] for s in d["slots"]]')" = "[1, 2, 3, 4]" ] || fail "key list --json: $(cat "$work/out")"

  refused 22 "holds 64 digits" "$coffer" key add "$vault" --password-file "$password" --keyfile "$work/key"
  refused 22 "cannot be a keyfile" "$coffer" key add "$vault" --password-file "$password" --keyfile "$work/second"
  refused 20 "exists already" "$coffer" key add "$vault" --password-file "$password" --new-keyfile "$work/photo"
  refused 10 "wrong keyfile" "$coffer" key show "$vault" --key-file <(head -c 64 /dev/urandom)
  refused 23 "no slot 9" "$coffer" key remove "$vault" 9 --yes --password-file "$password"
  refused 22 "no terminal" no_terminal "$coffer" key remove "$vault" 2 --password-file "$password"
  refused 2 "several passwords" "$coffer" passwd "$vault" --key-file "$work/key" --new-password-file "$second"
  refused 2 "no password of this vault" "$coffer" passwd "$vault" --slot 3 --password-file "$password" --new-password-file "$second"

  run "$coffer" key remove "$vault" 3 --yes --password-file "$password"
  refused 10 "wrong keyfile" "$coffer" key show "$vault" --key-file "$work/keyfile"
  run "$coffer" key add "$vault" --password-file "$password" --new-keyfile "$work/keyfile2"
  prints "Added slot 6" # numbers are never used again

  # The password that opened it is the one that changes.
  run "$coffer" passwd "$vault" --password-file "$second" --new-password-file "$work/third" "${cheap[@]}"
  prints "older coffer.json"
  refused 10 "wrong password" "$coffer" key show "$vault" --password-file "$second"
  run "$coffer" key show "$vault" --password-file "$work/third"
  run "$coffer" key show "$vault" --password-file "$password"
  run "$coffer" key show "$vault" --key-file "$work/key"

  # An older coffer.json is noticed.
  cp -p "$vault/coffer.json" "$work/newest.json"
  printf '%s\n' "$old_config" > "$vault/coffer.json"
  refused 15 "is older" "$coffer" key show "$vault" --password-file "$password"
  refused 15 "is older" "$coffer" mount "$vault" "$mnt" --password-file "$password"
  cp -p "$work/newest.json" "$vault/coffer.json"
}

damage_test() {
  local good
  cp -p "$vault/coffer.json" "$work/good.json"
  refused 11 "is not a Coffer vault" "$coffer" mount "$work/full" "$mnt" --password-file "$password"
  refused 11 "does not exist" "$coffer" mount "$work/nowhere" "$mnt" --password-file "$password"
  refused 11 "is not a folder" "$coffer" mount "$password" "$mnt" --password-file "$password"
  head -c 300 "$work/good.json" > "$vault/coffer.json"
  refused 12 "is incomplete" "$coffer" mount "$vault" "$mnt" --password-file "$password"
  says "cp -- $vault/coffer-copy.json $vault/coffer.json"
  sed 's/"name_max": 200/"name_max": 201/' "$work/good.json" > "$vault/coffer.json"
  refused 12 "changed by somebody" "$coffer" mount "$vault" "$mnt" --password-file "$password"
  sed 's/"format": 0/"format": 9/' "$work/good.json" > "$vault/coffer.json"
  refused 13 "does not know" "$coffer" mount "$vault" "$mnt" --password-file "$password"
  rm "$vault/coffer.json"
  refused 12 "is missing" "$coffer" mount "$vault" "$mnt" --password-file "$password"
  # What the hint says works.
  good=$(sed -n 's/^hint: .* with: //p' "$work/err")
  eval "$good"
  run "$coffer" key show "$vault" --password-file "$password"
  cp -p "$work/good.json" "$vault/coffer.json"
}

mount_errors_test() {
  local m=(--password-file "$password")
  refused 16 "does not exist" "$coffer" mount "$vault" "$work/nowhere" "${m[@]}"
  refused 16 "is not a folder" "$coffer" mount "$vault" "$password" "${m[@]}"
  refused 16 "is not empty" "$coffer" mount "$vault" "$work/full" "${m[@]}"
  refused 16 "is the vault itself" "$coffer" mount "$vault" "$vault" "${m[@]}"
  ln -s "$vault" "$work/link"
  refused 16 "is the vault itself" "$coffer" mount "$vault" "$work/link" "${m[@]}"
  mkdir "$vault/inside"
  refused 16 "lies inside the vault" "$coffer" mount "$vault" "$vault/inside" "${m[@]}"
  rmdir "$vault/inside"
  refused 16 "contains the vault" "$coffer" mount "$vault" "$work" "${m[@]}"
  refused 10 "wrong password" "$coffer" mount "$vault" "$mnt" --password-file "$work/wrong"
  refused 2 "mount options are not accepted" "$coffer" mount "$vault" "$mnt" "${m[@]}" -o nonsense=1
  refused 21 "is not a mount" "$coffer" lock "$mnt"
  refused 21 "is not mounted" "$coffer" status "$mnt"
  ! is_mounted || fail "something is mounted after these refusals"
}

status_test() {
  run "$coffer" status && prints "nothing is mounted"
  run "$coffer" lock --all && prints "nothing is mounted"
  mount_in_background --strict --idle 2h
  prints "mounted $vault at $mnt"
  prints "coffer lock $mnt"
  echo "hello" > "$mnt/letter" && sync "$mnt/letter"
  exec 7< "$mnt/letter"
  run "$coffer" status && prints "$mnt" && prints "aes-256-gcm, strict" && prints "nothing suspicious"
  run "$coffer" status --json "$vault"
  [ "$(json 'd["version"], d["mounts"][0]["vault"], d["mounts"][0]["mount_point"], d["mounts"][0]["responding"]')" = \
    "1 $vault $mnt True" ] || fail "status --json: $(cat "$work/out")"
  [ "$(json 'd["mounts"][0]["open_files"] >= 1')" = True ] || fail "an open file is not counted: $(cat "$work/out")"
  [ "$(json 'd["mounts"][0]["idle_seconds"]')" = 7200 ] || fail "status does not know --idle"
  exec 7<&-
  # Every key that is promised.
  local key
  for key in vault vault_id mount_point cipher chunk_size read_only strict since pid idle_seconds log warnings open_files \
    dirty_files dirty_bytes written_out integrity_events files_moved names_unreadable changes_set_aside recent_events requests responding; do
    [ "$(json "'$key' in d['mounts'][0]")" = True ] || fail "status --json lacks $key"
    grep -q "\`$key\`" "$repository/docs/CLI.md" || fail "docs/CLI.md does not explain $key"
  done
  wait_until 30 written_out || fail "never written out"
  # Slots can be changed while it is mounted.
  run "$coffer" key add "$vault" --password-file "$password" --new-keyfile "$work/keyfile3"
  # ... and looked into.
  run "$coffer" cat "$vault" letter --password-file "$password" && prints "hello"

  local p
  p=$(daemon_pid)
  [ "$(readlink "/proc/$p/cwd")" = / ] || fail "the daemon does not work in /"
  [ "$(readlink "/proc/$p/fd/0" "/proc/$p/fd/1" "/proc/$p/fd/2" | sort -u)" = /dev/null ] || fail "the daemon holds our streams"
  grep -q "^Max core file size *0 *0" "/proc/$p/limits" || fail "the daemon may dump core"
  [ -s "$(dirname "$XDG_STATE_HOME"/coffer/*/log)/log" ] || fail "there is no log"

  # Mounted is busy: the vault, and the mount point.
  mkdir -p "$work/mnt2"
  expect_exit 14 "$coffer" mount "$vault" "$work/mnt2" --password-file "$password" && says "mounted already, at $mnt"
  expect_exit 14 "$coffer" mount "$work/keyed" "$mnt" --key-file "$work/keyed.key" && says "is mounted at $mnt already"

  # Two at a time.
  run "$coffer" mount "$work/keyed" "$work/mnt2" --key-file "$work/keyed.key"
  run "$coffer" status --json
  [ "$(json 'len(d["mounts"])')" = 2 ] || fail "status does not show both"
  run "$coffer" lock --all && prints "locked $mnt" && prints "locked $work/mnt2"
  ! is_mounted || fail "still mounted after lock --all"
  not_running "$p" || fail "lock came back before the daemon had ended"
}

busy_test() {
  mount_in_background
  mkdir "$mnt/sub"
  (cd "$mnt/sub" && exec sleep 1000) &
  local sleeper=$!
  wait_until 10 grep -q sleep "/proc/$sleeper/comm" || fail "sleep does not start"
  expect_exit 14 "$coffer" lock "$mnt"
  says "process $sleeper (sleep) is in $mnt/sub"
  says "--force"
  is_mounted || fail "a busy mount is gone"
  run "$coffer" lock --force "$mnt" && prints "process $sleeper"
  ! is_mounted || fail "still there after lock --force"
  kill "$sleeper"
  wait "$sleeper" 2> /dev/null || true
  # The vault is locked once the last user is gone; a mount right after waits for that.
  mount_in_background
  run "$coffer" lock "$mnt/" && prints "locked $mnt"
  mount_in_background
  exec 7> "$mnt/open"
  expect_exit 14 "$coffer" unmount "$vault" && says "has open $mnt/open"
  exec 7>&-
  run "$coffer" unmount "$vault"
  # What somebody mounted over it is left alone.
  mount_in_background
  mount -t tmpfs none "$mnt"
  expect_exit 14 "$coffer" lock "$mnt" && says "something else is mounted over $mnt"
  umount "$mnt"
  run "$coffer" lock "$mnt"
  # Again and again, without a pause.
  local i
  for i in 1 2 3 4 5; do
    mount_in_background
    echo "$i" > "$mnt/round"
    run "$coffer" lock "$mnt"
  done
  mount_in_background
  [ "$(cat "$mnt/round")" = 5 ] || fail "the last round is lost"
  run "$coffer" lock "$mnt"
}

stale_test() {
  mount_in_background
  kill -9 "$(daemon_pid)"
  wait_until 20 mount_is_dead || fail "the mount outlives its daemon"
  run "$coffer" status && prints "has ended without unmounting"
  mount_in_background
  says "took away a dead mount at $mnt"
  kill -9 "$(daemon_pid)"
  wait_until 20 mount_is_dead || fail "the mount outlives its daemon"
  run "$coffer" lock "$mnt" && prints "took away the dead mount"
  ! is_mounted || fail "a dead mount is still there"
}

read_only_test() {
  mount --bind "$vault" "$vault" && mount -o remount,bind,ro "$vault"
  expect_exit 18 "$coffer" mount "$vault" "$mnt" --password-file "$password" && says "read-only file system"
  says "--read-only"
  expect_exit 18 "$coffer" passwd "$vault" --password-file "$password" --new-password-file "$work/third" "${cheap[@]}"
  mount_in_background --read-only
  [ "$(cat "$mnt/letter")" = hello ] || fail "cannot read through a read-only mount"
  ! touch "$mnt/new" 2> /dev/null || fail "a read-only mount takes a file"
  run "$coffer" status && prints "read-only"
  run "$coffer" lock "$mnt"
  umount "$vault"
}

no_room_test() {
  local small=$work/small
  mkdir "$small" && mount -t tmpfs -o size=256k none "$small"
  mkdir "$small/vault"
  run "$coffer" init "$small/vault" --password-file "$password" "${cheap[@]}"
  dd if=/dev/zero of="$small/filler" bs=4k 2> /dev/null || true
  expect_exit 19 "$coffer" key add "$small/vault" --password-file "$password" --new-keyfile "$work/keyfile4" && says "No space"
  run "$coffer" key show "$small/vault" --password-file "$password"
  no_leftovers "$small/vault"
  run "$coffer" mount "$small/vault" "$mnt" --password-file "$password"
  ls "$mnt"
  run "$coffer" lock "$mnt"
  expect_exit 19 "$coffer" init "$small/other" --password-file "$password" "${cheap[@]}"
  [ ! -e "$small/other" ] || fail "an init without room left something"
  umount "$small"
}

# Without a place for local state everything still works, with a warning that says what is lost.
no_state_test() {
  XDG_STATE_HOME=/proc/nowhere expect_exit 0 "$coffer" mount "$vault" "$mnt" --password-file "$password"
  says "no local state" && says "after a crash"
  echo again > "$mnt/stateless"
  XDG_STATE_HOME=/proc/nowhere run "$coffer" status
  XDG_STATE_HOME=/proc/nowhere run "$coffer" lock "$mnt"
  mount_in_background
  [ "$(cat "$mnt/stateless")" = again ] || fail "lost without local state"
  run "$coffer" lock "$mnt"
}

idle_lock_test() {
  mount_in_background --idle 1s
  wait_until 30 nothing_mounted || fail "--idle 1s does not lock"
  mount_in_background --idle 1s
  exec 7< "$mnt/letter"
  sleep 3
  is_mounted || fail "--idle locked over an open file"
  exec 7<&-
  wait_until 30 nothing_mounted || fail "--idle does not lock after the file was closed"
}

look_inside_test() {
  mount_in_background
  mkdir -p "$mnt/a/b" && echo deep > "$mnt/a/b/file" && ln -s b "$mnt/a/link" && printf 'x%.0s' {1..40000} > "$mnt/a/long"
  touch "$mnt/a/"$'new\nline'
  run "$coffer" lock "$mnt"
  local s=(--password-file "$password")
  run "$coffer" ls "$vault" "${s[@]}" && prints "letter"
  run "$coffer" ls "$vault" a -l "${s[@]}" && prints "link -> b"
  run "$coffer" ls -R "$vault" /a/ "${s[@]}" && prints "a/b:" && prints "file"
  run "$coffer" ls "$vault" a/b/file "${s[@]}"
  run "$coffer" ls "$vault" a -R --json "${s[@]}"
  [ "$(json 'sorted(e["path"] for e in d["entries"])')" = "['a/b', 'a/b/file', 'a/link', 'a/long', 'a/new\\nline']" ] ||
    fail "ls --json: $(cat "$work/out")"
  run "$coffer" cat "$vault" a/b/file letter "${s[@]}"
  [ "$(cat "$work/out")" = $'deep\nhello' ] || fail "cat of two"
  run "$coffer" cat "$vault" a/long "${s[@]}"
  [ "$(wc -c < "$work/out")" = 40000 ] || fail "cat of a long one"
  # A reader that goes away ends it without a word.
  "$coffer" cat "$vault" a/long "${s[@]}" 2> "$work/err" | head -c 1 > /dev/null || true
  [ ! -s "$work/err" ] || fail "cat complains about a reader that went away: $(cat "$work/err")"
  refused 23 "there is no nothing" "$coffer" cat "$vault" nothing "${s[@]}"
  refused 23 "there is no a/../letter" "$coffer" cat "$vault" a/../letter "${s[@]}"
  refused 1 "is a folder" "$coffer" cat "$vault" a "${s[@]}"
  refused 10 "wrong password" "$coffer" ls "$vault" --password-file "$work/wrong"
}

speed_test() {
  run "$coffer" speed --json
  [ "$(json 'all(s["seal_bytes_per_second"] > 0 for s in d["suites"])')" = True ] || fail "speed --json"
}

# What needs a system of another kind, each in a namespace of its own.
no_fuse_test() {
  chmod 711 "$work" && mkdir -p "$work/public" && cp "$coffer" "$work/public/coffer" && chmod -R a+rX "$work/public"
  run "$coffer" init "$work/public/vault" --key-only --key-output "$work/public/key"
  mkdir "$work/public/mnt" && chown -R nobody "$work/public/vault" "$work/public/key" "$work/public/mnt"
  cat > "$work/in_namespace" <<'END'
set -eu
work=$1 case=$2
mkdir -p "$work/dev"
mount -t tmpfs none "$work/dev"
for node in null:1:3 zero:1:5 random:1:8 urandom:1:9 tty:5:0; do
  IFS=: read -r name major minor <<< "$node"
  mknod -m 666 "$work/dev/$name" c "$major" "$minor"
done
case $case in
  none) ;;
  closed) mknod -m 600 "$work/dev/fuse" c 10 229 ;;
  no_fusermount | not_allowed) mknod -m 666 "$work/dev/fuse" c 10 229 ;;
esac
mount --bind "$work/dev" /dev
[ "$case" != not_allowed ] || mount --bind /dev/null /etc/fuse.conf
[ "$case" != no_fusermount ] || mount --bind /dev/null /usr/bin/fusermount3
cd "$work/public"
export HOME=$work/public PATH=/nowhere XDG_STATE_HOME=
exec /usr/bin/setpriv --reuid=65534 --regid=65534 --clear-groups ./coffer mount vault mnt --key-file key "${@:3}"
END
  expect_exit 17 unshare -m bash "$work/in_namespace" "$work" none && says "there is no /dev/fuse"
  expect_exit 17 unshare -m bash "$work/in_namespace" "$work" closed && says "you may not use /dev/fuse"
  expect_exit 17 unshare -m bash "$work/in_namespace" "$work" no_fusermount && says "no fusermount3"
  expect_exit 1 unshare -m bash "$work/in_namespace" "$work" not_allowed --allow-other && says "user_allow_other"
}

fstab_test() {
  local helper=$work/bin/mount.fuse.coffer
  mkdir "$work/bin" && cp "$repository/scripts/mount.fuse.coffer" "$helper"
  export COFFER=$coffer
  # As mount(8) calls it.
  run "$helper" "$vault" "$mnt" -o "rw,nosuid,nodev,user=root,password_file=$password,idle=1h,strict" -t fuse.coffer
  grep -F " $mnt fuse.coffer" /proc/self/mounts | grep -q nosuid || fail "nosuid did not arrive"
  run "$coffer" status --json "$mnt"
  [ "$(json 'd["mounts"][0]["strict"], d["mounts"][0]["idle_seconds"]')" = "True 3600" ] ||
    fail "strict and idle did not arrive"
  run "$coffer" lock "$mnt"
  run "$helper" "$vault" "$mnt" -f -o "password_file=$password"
  ! is_mounted || fail "a rehearsal (mount -f) mounted"
  expect_exit 10 "$helper" "$vault" "$mnt" -o "password_file=$work/wrong"

  # By mount(8) itself. It looks for helpers in /sbin only: one with ours in it, seen by this test alone.
  mkdir "$work/overlay"
  echo "$vault $mnt fuse.coffer noauto,user,password_file=$password 0 0" > "$work/fstab"
  cat > "$work/in_namespace" <<'END'
set -eu
work=$1 mnt=$2
mount -t tmpfs none "$work/overlay"
mkdir "$work/overlay/upper" "$work/overlay/work"
mount -t overlay -o "lowerdir=/usr/sbin,upperdir=$work/overlay/upper,workdir=$work/overlay/work" none /usr/sbin
cp "$work/bin/mount.fuse.coffer" /usr/sbin/
mount --fstab "$work/fstab" "$mnt"
cat "$mnt/letter"
"$COFFER" lock "$mnt"
END
  run unshare -m bash "$work/in_namespace" "$work" "$mnt" && prints hello
  unset COFFER
}

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(usage help init secrets terminal slots damage mount_errors status busy stale read_only no_room no_state \
  idle_lock look_inside speed no_fuse fstab)
for part in "${parts[@]}"; do
  step "$part"
  "${part}_test"
done
