#!/bin/bash
# The daemon keeps its secrets, its control socket and its files to itself, follows no link that somebody puts into the vault, and
# is not led out of it by whoever renames folders under it.
#
#   hardening_test.sh [PART...]     parts: the functions below that end in _test
. "$(dirname "$0")/lib.sh"
allowed_log='while it was written to|cannot be written|not everything could be written|is not what|EIO|pin|unreadable' # attacks

[ "$e2e_fs" = coffer ] || skip "about Coffer's daemon"
[ "$(id -u)" = 0 ] || skip "acts as several users, which only root can"
user="coffer-e2e"
id "$user" > /dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin "$user"
chmod 0666 /dev/fuse # as udev does on every ordinary Debian
chmod 755 "$work"
as() { setpriv --reuid "$1" --regid "$(id -g "$1")" --clear-groups --inh-caps=-all "${@:2}"; }
as_user() { as "$user" "$@"; }
as_nobody() { as nobody "$@"; }
must_fail() {
  if "${@:2}" > /dev/null 2>&1; then fail "$1"; fi
}

# --- an ordinary user's daemon

user_mount() { # leaves: home, its folder; pid, its daemon
  home=$work/$1
  mkdir -p "$home/mnt" "$home/state" && cp "$coffer" "$home/coffer" && cp "$password" "$home/password" && chown -R "$user" "$home"
  chmod 755 "$home/coffer"
  export XDG_STATE_HOME=$home/state
  as_user "$home/coffer" init "$home/vault" --password-file "$home/password" --kdf-memory 8 --kdf-passes 1 > "$home/init.out"
  as_user "$home/coffer" mount "$home/vault" "$home/mnt" --password-file "$home/password" > /dev/null || fail "mount: exit code $?"
  pid=$(as_user "$home/coffer" status --json "$home/mnt" | python3 -c 'import json, sys; print(json.load(sys.stdin)["mounts"][0]["pid"])')
}

user_lock() {
  as_user "$home/coffer" lock "$home/mnt" > /dev/null || fail "lock: exit code $?"
  wait_until 10 not_running "$pid" || fail "the daemon does not end"
  wait_until 10 nothing_of "$home" || fail "left running: $(processes_of "$home")"
}
# The daemon that works in a folder, and what it started.
processes_of() {
  local directory
  for directory in /proc/[0-9]*; do
    grep -qsx 'coffer\(-mounter\)\?' "$directory/comm" || continue
    if tr '\0' '\n' 2> /dev/null < "$directory/cmdline" | grep -qF "$1/"; then echo "${directory#/proc/}"; fi
  done
}
# shellcheck disable=SC2317 # called by wait_until
nothing_of() { [ -z "$(processes_of "$1")" ]; }

secrets_test() {
  [ -z "${COFFER_SANITIZED:-}" ] || return 0 # these may be looked into
  user_mount secrets
  # The key's 64 digits, as they are printed and as one word.
  as_user "$home/coffer" key show "$home/vault" --password-file "$home/password" | grep -E '^ +([0-9a-f]{4} ?){4}$' |
    tr -d ' \n' > "$work/digits"
  [ "$(wc -c < "$work/digits")" = 64 ] || fail "cannot read the key's digits"
  echo secret content of a file > "$work/content"
  as_user cp "$work/content" "$home/mnt/a-telling-name"
  local process
  for process in $(processes_of "$home"); do
    must_fail "process $process shows the password" grep -qaFf "$home/password" "/proc/$process/cmdline" "/proc/$process/environ"
    as_user "$support_copy/secret_watch.py" --as-user "$process" || fail "its own user can look into process $process"
  done
  "$support_copy/secret_watch.py" "$pid" "$password" "$work/digits" || fail "the daemon exposes something"
  # The control: a process of the same user that is not hardened can be looked into.
  setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups --inh-caps=-all sleep 100 &
  process=$!
  wait_until 10 grep -q sleep "/proc/$process/comm" || fail "sleep does not start"
  must_fail "secret_watch.py sees nothing" as_user "$support_copy/secret_watch.py" --as-user "$process"
  kill "$process"
  user_lock
  # Neither the password nor the key nor anything of a file is in local state, the log among it.
  python3 - "$home" "$password" "$work/digits" << 'END' || fail "local state or the vault holds a secret"
import sys
from pathlib import Path
home, password, digits = (Path(argument) for argument in sys.argv[1:])
text = digits.read_text()
secrets = [password.read_bytes().strip(), text.encode(), bytes.fromhex(text), b"secret content", b"a-telling-name"]
files = [path for folder in ("state", "vault") for path in (home / folder).rglob("*") if path.is_file()]
assert any(path.name == "log" for path in files)
sys.exit(any([print(path, "holds", secret) or True for path in files for secret in secrets if secret in path.read_bytes()]))
END
}

core_test() {
  [ -z "${COFFER_SANITIZED:-}" ] || return 0
  user_mount core
  user_lock
  (
    ulimit -c unlimited 2> /dev/null || true
    cd "$home"
    as_user "$support_copy/secret_watch.py" --dump ./coffer mount vault mnt --password-file password --foreground
  ) || fail "a daemon that crashes leaves a core file"
  [ -z "$(find "$home" -xdev -name 'core*' -type f 2> /dev/null)" ] || fail "there is a core file"
  as_user "$home/coffer" lock "$home/mnt" > /dev/null || fail "a dead mount cannot be taken away"
}

# `service manager`: SIGTERM to every process at once. The one that unmounts has to see it through.
stop_test() {
  user_mount stop
  as_user cp "$home/password" "$home/mnt/file"
  local processes
  processes=$(processes_of "$home")
  [ "$(wc -l <<< "$processes")" = 2 ] || fail "not two processes, but: $processes"
  # shellcheck disable=SC2086
  kill $processes
  wait_until 30 nothing_of "$home" || fail "left running after SIGTERM: $(processes_of "$home")"
  ! grep -qF " $home/mnt fuse" /proc/self/mounts || fail "still mounted after SIGTERM"
}

control_test() {
  user_mount control
  local state
  state=$(dirname "$home"/state/coffer/*/control)
  [ "$(stat -c %a "$state" "$state/control" | tr '\n' ' ')" = "700 600 " ] || fail "others may reach the control socket"
  cat > "$work/ask" << 'END'
import os, socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.settimeout(20)
    os.chdir(sys.argv[1])  # its path is longer than a socket's address
    s.connect("control")
    s.sendall(b'{"request":"status"}\n')
    sys.exit(0 if s.recv(1000) else 3)
END
  chmod 644 "$work/ask"
  expect_exit 0 as_user python3 "$work/ask" "$state"
  expect_exit 1 as_nobody python3 "$work/ask" "$state"
  # Let in by all modes, who asks is still looked at.
  chmod 755 "$home" "$home/state" "$home/state/coffer" "$state" && chmod 666 "$state/control"
  if as_nobody python3 "$work/ask" "$state" 2> /dev/null; then fail "the control socket answers another user"; fi
  expect_exit 0 as_user python3 "$work/ask" "$state"
  user_lock
}

# --- root's daemon, which lets others in

others_test() {
  vault=$work/others
  new_vault
  mount_vault
  echo mine > "$mnt/private" && chmod 600 "$mnt/private"
  echo ours > "$mnt/public" && chmod 644 "$mnt/public"
  mkdir -m 700 "$mnt/closed" && echo x > "$mnt/closed/file" && chmod 666 "$mnt/closed/file"
  mkdir -m 1777 "$mnt/shared" && echo x > "$mnt/shared/roots" && chmod 666 "$mnt/shared/roots"
  chmod 755 "$mnt"
  as_nobody grep -q ours "$mnt/public" || fail "a public file cannot be read"
  must_fail "another user reads a file of mode 600" as_nobody cat "$mnt/private"
  must_fail "another user writes a file of mode 644" as_nobody tee -a "$mnt/public" < "$password"
  must_fail "another user enters a folder of mode 700" as_nobody cat "$mnt/closed/file"
  must_fail "another user makes a file in a folder of mode 755" as_nobody touch "$mnt/new"
  must_fail "another user removes a file from a folder of mode 755" as_nobody rm -f "$mnt/public"
  must_fail "another user removes somebody's file from a sticky folder" as_nobody rm -f "$mnt/shared/roots"
  must_fail "another user changes somebody's mode" as_nobody chmod 777 "$mnt/public"
  must_fail "another user gives a file away" as_nobody chown nobody "$mnt/public"
  must_fail "another user sets an attribute" as_nobody setfattr -n user.x -v y "$mnt/public"
  as_nobody touch "$mnt/shared/theirs" || fail "another user cannot make a file in a folder for all"
  [ "$(stat -c %U "$mnt/shared/theirs")" = nobody ] || fail "another user's file belongs to $(stat -c %U "$mnt/shared/theirs")"
  lock_vault
}

# --- links in the vault

below() { find "$vault" -inum "$(stat -c %i "$1")" -print -quit; }
make_bait() {
  bait=$work/bait
  mkdir -p "$bait/folder"
  echo "root:x:0:0" > "$bait/passwd" && echo "in a folder" > "$bait/folder/file"
  chmod 640 "$bait/passwd"
}
seen_bait() { (cd "$bait" && find . -printf '%p %y %m %U %s %T@ %C@ %l\n' | sort && find . -type f -exec sha256sum {} + | sort); }
# exchange A B
exchange() { python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2))' "$1" "$2"; }

links_test() {
  vault=$work/linked
  new_vault
  mount_vault
  make_bait
  local long
  long=$(printf '%0200d' 7)
  mkdir "$mnt/d" "$mnt/$long" && echo text > "$mnt/file" && echo inside > "$mnt/d/inside" && echo inside > "$mnt/$long/inside"
  mkdir "$mnt/e" && echo x > "$mnt/e/x" && mv "$mnt/e" "$mnt/pinned" # leaves a pin in it
  sync
  sleep 3 # nothing waits to be written any more
  local file folder side pin
  file=$(below "$mnt/file") folder=$(below "$mnt/d") side=$(below "$mnt/$long").name
  pin=$(find "$(below "$mnt/pinned")" -mindepth 1 ! -samefile "$(below "$mnt/pinned/x")" -print -quit)
  { [ -f "$side" ] && [ -f "$pin" ]; } || fail "found no side file ($side) or no pin ($pin)"
  seen_bait > "$work/bait.before"
  mkdir "$work/aside"
  local what target
  for what in "$file $bait/passwd" "$folder $bait/folder" "$folder $bait" "$side $bait/passwd" "$pin $bait/passwd" \
    "$file ../bait/passwd" "$file /dev/null" "$folder ."; do
    target=${what#* } what=${what% *}
    mv "$what" "$work/aside/" && ln -s "$target" "$what"
    use_all "$long" &
    local users=$!
    wait_until 20 not_running "$users" || fail "hangs with a link to $target"
    mv "$work/aside/${what##*/}" "$work/back" && rm "$what" && mv "$work/back" "$what"
  done
  wait_until 5 grep -q '^tex' "$mnt/file" || fail "the file does not read once it is back"
  wait_until 5 grep -q '^ins' "$mnt/d/inside" || fail "the folder does not read once it is back"
  lock_vault
  mv "$vault/coffer.json" "$bait/coffer.json" && ln -s "$bait/coffer.json" "$vault/coffer.json"
  expect_exit 12 "$coffer" mount "$vault" "$mnt" --password-file "$password"
  expect_exit 12 "$coffer" ls "$vault" --password-file "$password"
  rm "$vault/coffer.json" && mv "$bait/coffer.json" "$vault/coffer.json"
  # Put there before the mount.
  mv "$folder" "$work/aside/" && ln -s "$bait/folder" "$folder"
  mount_vault
  use_all "$long"
  lock_vault
  rm "$folder" && mv "$work/aside/${folder##*/}" "$folder"
  seen_bait > "$work/bait.after"
  # What was carried in and out again touched the folder's own times.
  sed -i '/^\. d/d' "$work/bait.before" "$work/bait.after"
  diff "$work/bait.before" "$work/bait.after" || fail "something outside the vault changed"
}

# Everything that could go through a link; what comes of it is not the question.
use_all() {
  local at=("$mnt/file" "$mnt/d" "$mnt/d/inside" "$mnt/d/file" "$mnt/d/folder/file" "$mnt/$1" "$mnt/$1/inside" "$mnt/pinned/x")
  local one
  for one in "${at[@]}"; do
    (
      if grep -q 'root:\|in a folder' "$one"; then touch "$work/was-read"; fi
      ls -la "$one"
      echo more >> "$one"
      truncate -s 3 "$one"
      chmod 777 "$one"
      chown 1:1 "$one"
      touch "$one" "$one/new"
      setfattr -n user.a -v b "$one"
      ln "$one" "$mnt/hard" && rm "$mnt/hard"
      mkdir "$one/made" && rmdir "$one/made"
      rm -rf "$one/new"
      mv "$one" "$one.moved" && mv "$one.moved" "$one"
    ) > /dev/null 2>&1 || true
  done
  [ ! -e "$work/was-read" ] || fail "what a link leads to was read through the mount"
}

# --- folders that move under the daemon

moved_out_test() {
  vault=$work/moved-out
  new_vault
  mount_vault
  mkdir "$mnt/d" "$work/outside" && echo before > "$mnt/d/before"
  sync && sleep 3
  local folder
  folder=$(below "$mnt/d")
  # A program that stands in the folder, so that no name is looked up any more.
  python3 - "$mnt/d" "$folder" "$work/outside/away" << 'END' || fail "see above"
import ctypes, os, sys
mount, below, away = sys.argv[1:]
if ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1) < 2:
    print("no landlock: nothing to be seen")
    sys.exit(0)
at = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
os.rename(below, away)
before = sorted(os.listdir(away))
made = []
for number in range(200):
    for attempt in (lambda: os.close(os.open(f"new-{number}", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=at)),
                    lambda: os.mkdir(f"folder-{number}", dir_fd=at),
                    lambda: os.symlink("x", f"link-{number}", dir_fd=at),
                    lambda: os.unlink("before", dir_fd=at)):
        try:
            attempt()
            made.append(number)
        except OSError:
            pass
now = sorted(os.listdir(away))
os.rename(away, below)
if made or now != before:
    print(f"{len(made)} calls succeeded in a folder outside the vault, which held {before} and now {now}")
    sys.exit(1)
END
  wait_until 5 grep -q before "$mnt/d/before" || fail "a folder that is back does not read"
  wait_until 5 touch "$mnt/d/after" || fail "a folder that is back takes no file"
  lock_vault
}

attack_test() {
  vault=$work/attacked
  new_vault
  mount_vault
  make_bait
  mkdir -p "$work/elsewhere"
  local i
  for i in 0 1 2 3; do mkdir "$mnt/d$i" && echo "quiet $i" > "$mnt/d$i/quiet"; done
  sync && sleep 3
  seen_bait > "$work/bait.before"
  find "$vault" -maxdepth 1 -printf '%f\n' | sort > "$work/top.before"
  timeout 120 "$support/rename_attack.py" "$vault" "$mnt" "$work/elsewhere" "$bait" 8 || fail "see above"
  step "attacked"
  seen_bait | diff "$work/bait.before" - || fail "something outside the vault changed"
  [ -z "$(ls -A "$work/elsewhere")" ] || fail "left outside the vault: $(ls -A "$work/elsewhere")"
  find "$vault" -maxdepth 1 -printf '%f\n' | sort | diff "$work/top.before" - || fail "the vault's folders are not what they were"
  # The daemon is well.
  for i in 0 1 2 3; do
    wait_until 10 grep -q "quiet $i" "$mnt/d$i/quiet" || fail "d$i/quiet does not read after the attack"
    wait_until 10 touch "$mnt/d$i/new" || fail "d$i takes no file after the attack"
  done
  timeout 60 "$coffer" lock "$mnt" > "$work/lock.out" 2>&1 || fail "lock after the attack: exit code $?: $(cat "$work/lock.out")"
  daemon_ends 0
  mount_vault
  for i in 0 1 2 3; do grep -q "quiet $i" "$mnt/d$i/quiet" || fail "d$i/quiet does not read after a remount"; done
  lock_vault
}

# Where every user may read it.
support_copy=$work/support
mkdir "$support_copy" && cp "$support/secret_watch.py" "$support_copy/" && chmod -R a+rX "$support_copy"

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(secrets core stop control others links moved_out attack)
for part in "${parts[@]}"; do
  step "$part"
  "${part}_test"
done
