#!/bin/bash
# What is below fails: disks that are full, over quota, read-only, broken, frozen or gone, too few descriptors, too little memory,
# local state that cannot be written. Each ends in the right error or a clear line, nothing hangs, and no old data is lost: what
# was there stays whole, also after a remount.
#
#   E2E_KEEP_GOING=1      count the flaws to the end, instead of stopping at the first
#   FAULTS_ONLY="a b"     only these parts
. "$(dirname "$0")/lib.sh"

[ "$e2e_fs" = coffer ] || skip "about Coffer"
[ "$(id -u)" = 0 ] || skip "needs root, for disks of its own"

only=${FAULTS_ONLY:-}
keep_going=${E2E_KEEP_GOING:-0}
allowed_log='.' # errors are what this is about; each part looks for its own
disk=$work/disk
flaws=$work/flaws
part=
: > "$flaws"

flaw() {
  printf 'flaw: %s: %s\n' "$part" "$*" | tee -a "$flaws"
  [ "$keep_going" = 1 ] || fail "$part: $*"
}

# What cannot be tested on this machine; the rest can.
# In CI every part must run, or nobody notices that it does not.
not_here() {
  step "NOT TESTED here: $*"
  [ "${CI:-}" != true ] || [ -n "${COFFER_SANITIZED:-}" ] || flaw "in CI every part must run: $*"
}

# --- Programs, and what they are told

# told REGEX ATTEMPT...: the outcome of support/attempt.py, `ok` or such as `fsync ENOSPC`
told() {
  local wanted=$1 seen
  shift
  seen=$(timeout 60 "$support/attempt.py" "$@" 2>&1) || seen="hangs, or: ${seen:0:200}"
  grep -qxE "$wanted" <<< "$seen" || flaw "${*/$work/}: $seen, not $wanted"
}

# holds FILE PIECES [PIECES]: has one of these contents; a piece is SIZE:SEED
holds() {
  local file=$1 seen pieces
  shift
  for pieces in "$@"; do
    # shellcheck disable=SC2086 # several words
    seen=$(timeout 60 "$support/attempt.py" holds "$file" $pieces 2>&1) || true
    [ "$seen" != ok ] || return 0
  done
  flaw "${file/$work/} ($1): ${seen:-hangs}"
}

fact() { timeout 20 "$coffer" status --json "$mnt" | python3 -c 'import json, sys; print(json.load(sys.stdin)["mounts"][0][sys.argv[1]])' "$1"; }
written_out() { [ "$(fact written_out)" = True ]; }
answers() { timeout 20 "$coffer" status "$mnt" > "$work/status" || flaw "coffer status does not answer: $(cat "$work/status")"; }
# A line in the log and one in `coffer status` say what is wrong.
is_said() {
  grep -qiE "$1" "$log" || flaw "no line in the log says: $1"
  answers
  grep -qiE "$1" "$work/status" || flaw "coffer status does not say: $1"
}

# --- Mounts that may fail

lock_ends() { # lock_ends CODES: its exit code is one of these, and the daemon's the same
  local status=0 daemon_status=0
  timeout 100 "$coffer" lock "$mnt" > "$work/lock.out" 2>&1 || status=$?
  grep -qxE "$1" <<< "$status" || flaw "lock: exit code $status, not $1: $(cat "$work/lock.out")"
  if ! wait_until 60 not_running "$daemon"; then
    flaw "the daemon does not end after lock"
    kill -9 "$daemon"
  fi
  wait "$daemon" || daemon_status=$?
  daemon=
  grep -qxE "$1" <<< "$daemon_status" || flaw "the daemon's exit code is $daemon_status, not $1"
  if is_mounted; then
    flaw "still mounted after lock"
    umount -l "$mnt"
  fi
}

# Files are found in the log by nobody but us: each part has a log of its own.
begin() {
  part=$1
  [ -z "$only" ] || grep -qw "$part" <<< "$only" || return 1
  : > "$log"
  vault=$work/vault.$part
}

done_with() {
  local line
  while read -r line; do flaw "log: $line"; done < <(grep -aE ' critical |ERROR: [A-Z][a-z]+Sanitizer|runtime error:|[Cc]heck failed|terminate called' "$log")
  step "$part: $*"
}

make_disk() { # make_disk MIB: ext4, mounted at $disk
  mkdir -p "$disk"
  rm -f "$work/disk.img"
  truncate -s "$1M" "$work/disk.img"
  mkfs.ext4 -q -m 0 "$work/disk.img"
  mount -o loop "$work/disk.img" "$disk"
  vault=$disk/vault
}
drop_disk() {
  timeout 60 umount "$disk" || { flaw "the disk is still used after lock" && umount -l "$disk"; }
}
fill_disk() { # again: what came free meanwhile
  head -c 10G /dev/zero >> "$disk/filler" 2> /dev/null || true
  sync -f "$disk"
  # What is left of blocks, one by one.
  mkdir -p "$disk/fillers" 2> /dev/null || true
  while mkdir "$disk/fillers/$SECONDS-$RANDOM$RANDOM" 2> /dev/null; do :; done
}
make_room() { rm -rf "$disk/filler" "$disk/fillers"; }

# --- The parts

full_disk() {
  begin full || return 0
  make_disk 24
  new_vault
  mount_vault
  local name
  for name in appended synced inplace inplace-synced rewritten replaced mapped marked; do told ok create "$mnt/$name" 300000 "$name"; done
  told ok create "$mnt/holed" 50000 holed
  told ok overwrite "$mnt/holed" 250000 50000 end
  remount
  fill_disk
  # Through the kernel's page cache, so the program hears of it at fsync or close at the latest.
  told '(open|write|close) ENOSPC' create "$mnt/new" 100000 new
  told '(open|write|fsync) ENOSPC' create "$mnt/new-synced" 100000 new sync
  told '(write|close) ENOSPC' append "$mnt/appended" 200000 more
  told '(write|fsync) ENOSPC' append "$mnt/synced" 200000 more sync
  told 'ok|(write|close) ENOSPC' overwrite "$mnt/inplace" 0 100000 more
  told 'ok|(write|fsync) ENOSPC' overwrite "$mnt/inplace-synced" 0 100000 more sync
  told 'ok|(write|fsync) ENOSPC' overwrite "$mnt/holed" 100000 100000 middle sync
  told '(write|close) ENOSPC' rewrite "$mnt/rewritten" 900000 more
  told '(open|write|fsync) ENOSPC' replace "$mnt/replaced" 300000 more
  told 'ok|(mmap|msync|close) ENOSPC' map "$mnt/mapped" 0 300000 more
  told '(fallocate|close) ENOSPC' allocate "$mnt/reserved" 2000000
  told 'mkdir ENOSPC' mkdir "$mnt/folder"
  told 'symlink ENOSPC' symlink "$(printf '%0200d' 1)" "$mnt/link"
  told 'setxattr ENOSPC' setxattr "$mnt/marked" user.big 3000
  told 'ok|rename ENOSPC' rename "$mnt/marked" "$mnt/marked-$(printf '%0200d' 1)"
  [ -e "$mnt/marked" ] || mv "$mnt/marked-"* "$mnt/marked"
  is_said 'no space left'
  step "$part: everybody was told"
  # What programs were told of is not what reads now: it is kept in memory.
  holds "$mnt/appended" "300000:appended" "300000:appended 200000:more"
  holds "$mnt/replaced" "300000:replaced"
  holds "$mnt/marked" "300000:marked"
  told ok read "$mnt/holed"
  fill_disk
  local status=0
  timeout 60 "$coffer" init "$disk/other" --password-file "$password" --kdf-memory 8 --kdf-passes 1 > "$work/out" 2>&1 || status=$?
  [ "$status" = 19 ] || flaw "init on a full disk: exit code $status, not 19: $(cat "$work/out")"
  [ ! -e "$disk/other" ] || flaw "init on a full disk left something behind"
  make_room
  wait_until 30 written_out || flaw "not written out after room was made: $(fact dirty_bytes) bytes"
  answers
  ! grep -qi 'no space left on device; ' "$work/status" || flaw "status still says so after room was made"
  for round in mounted remounted; do
    holds "$mnt/new" "100000:new"
    holds "$mnt/new-synced" "100000:new"
    holds "$mnt/appended" "300000:appended 200000:more"
    holds "$mnt/synced" "300000:synced 200000:more"
    holds "$mnt/rewritten" "900000:more"
    holds "$mnt/replaced" "300000:replaced"
    holds "$mnt/mapped" "300000:more"
    holds "$mnt/marked" "300000:marked"
    told ok read "$mnt/holed"
    told ok mkdir "$mnt/folder-$round"
    lock_ends 0
    mount_vault
  done
  step "$part: the rest was written once there was room"
  # Locked while there is none: what does not fit goes, and is said. What was there stays.
  fill_disk
  told '(write|close) ENOSPC' append "$mnt/marked" 200000 more
  told '(write|close) ENOSPC' create "$mnt/newer" 1000000 newer
  told 'ok|(write|close) ENOSPC' overwrite "$mnt/replaced" 5 300000 more
  lock_ends 19
  grep -qi 'no space left' "$work/lock.out" || flaw "lock does not say why: $(cat "$work/lock.out")"
  make_room
  mount_vault
  holds "$mnt/marked" "300000:marked" "300000:marked 200000:more"
  holds "$mnt/appended" "300000:appended 200000:more"
  told ok read "$mnt/replaced"
  told 'ok' create "$mnt/newest" 100000 newest sync
  lock_ends 0
  drop_disk
  done_with "ENOSPC everywhere, old content whole"
}

# A quota that this kernel has: btrfs's of a subvolume.
quota() {
  begin quota || return 0
  mkdir -p "$disk"
  rm -f "$work/disk.img"
  truncate -s 256M "$work/disk.img"
  if ! mkfs.btrfs -q "$work/disk.img" > "$work/out" 2>&1 || ! mount -o loop "$work/disk.img" "$disk" 2>> "$work/out"; then
    not_here "EDQUOT: no btrfs ($(tail -n 1 "$work/out"))"
    return 0
  fi
  if ! { btrfs subvolume create "$disk/sub" && btrfs quota enable "$disk" && btrfs qgroup limit 4M "$disk/sub"; } > "$work/out" 2>&1; then
    not_here "EDQUOT: no quotas of btrfs ($(tail -n 1 "$work/out"))"
    umount "$disk"
    return 0
  fi
  vault=$disk/sub/vault
  new_vault
  mount_vault
  told ok create "$mnt/old" 300000 old sync
  local told_at=none number
  for number in $(seq 6); do
    seen=$(timeout 60 "$support/attempt.py" create "$mnt/new-$number" 1000000 "new-$number" sync)
    [ "$seen" = ok ] || { told_at=$number && break; }
  done
  grep -qxE '(open|write|fsync|close) EDQUOT' <<< "${seen:-}" || flaw "over quota: ${seen:-}, not EDQUOT"
  told 'ok|(open|write|fsync|close) EDQUOT' overwrite "$mnt/old" 0 300000 more sync
  is_said 'quota'
  btrfs qgroup limit none "$disk/sub"
  wait_until 40 written_out || flaw "not written out after the quota went"
  for _ in mounted remounted; do
    holds "$mnt/old" "300000:more"
    # Refused at once, or kept in memory.
    [ ! -e "$mnt/new-$told_at" ] || holds "$mnt/new-$told_at" "1000000:new-$told_at"
    lock_ends 0
    mount_vault
  done
  lock_ends 0
  drop_disk
  done_with "EDQUOT, and what was kept is written once it may be"
}

# The disk is pulled out (ext4 answers EIO to everything from then on), later put in again.
pulled_disk() {
  begin pulled || return 0
  make_disk 64
  new_vault
  mount_vault
  told ok create "$mnt/old" 300000 old
  told ok create "$mnt/other" 300000 other
  remount
  told ok create "$mnt/synced" 300000 synced sync
  told ok append "$mnt/other" 100000 more sync
  # EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH: what no fsync wrote is gone.
  python3 -c 'import fcntl, os, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, (2).to_bytes(4, "little"))' "$disk" || fail "EXT4_IOC_SHUTDOWN"
  told '(open|write|fsync|close) (EIO|EROFS)' create "$mnt/new" 100000 new sync
  told '(open|write|close) (EIO|EROFS)' append "$mnt/old" 100000 more
  told 'ok|(open|write|fsync|close) (EIO|EROFS)' overwrite "$mnt/old" 0 100000 more sync
  told 'mkdir (EIO|EROFS)' mkdir "$mnt/folder"
  told '(rename|ok) ?(EIO|EROFS)?' rename "$mnt/old" "$mnt/renamed"
  told 'ok|(open|read) EIO' read "$mnt/synced"
  answers
  lock_ends '1|18'
  umount -l "$disk"
  wait_until 20 mount -o loop "$work/disk.img" "$disk" || fail "the disk cannot be mounted again"
  mount_vault
  local old=old
  [ -e "$mnt/old" ] || old=renamed
  holds "$mnt/$old" "300000:old"
  holds "$mnt/synced" "300000:synced"
  holds "$mnt/other" "300000:other 100000:more"
  told ok create "$mnt/after" 100000 after sync
  lock_ends 0
  drop_disk
  done_with "EIO from the disk; after that all that fsync promised"
}

# Writes that the disk takes and then fails (a bad sector): the one that hears of it is fsync.
bad_sectors() {
  begin sectors || return 0
  mkdir -p "$work/small" "$disk"
  mount -t tmpfs -o size=16m tmpfs "$work/small"
  truncate -s 64M "$work/small/disk.img"
  mkfs.ext4 -q -m 0 -O ^has_journal -E nodiscard "$work/small/disk.img"
  mount -o loop "$work/small/disk.img" "$disk"
  vault=$disk/vault
  new_vault
  mount_vault
  told ok create "$mnt/old" 300000 old sync
  head -c 10G /dev/zero > "$work/small/filler" 2> /dev/null || true # no sector can be had any more
  told '(write|fsync|close) (EIO|ENOSPC)' create "$mnt/new" 1000000 new sync
  told 'ok|(write|fsync|close) (EIO|ENOSPC)' append "$mnt/old" 500000 more sync
  rm "$work/small/filler"
  told ok create "$mnt/after" 100000 after sync
  lock_ends '0|1|19'
  mount_vault
  holds "$mnt/after" "100000:after"
  holds "$mnt/old" "300000:old" "300000:old 500000:more"
  lock_ends 0
  drop_disk
  umount "$work/small"
  done_with "EIO at fsync from writes that failed later"
}

remounted_ro() { mount -o remount,ro "$disk"; }

read_only_disk() {
  begin readonly || return 0
  make_disk 64
  new_vault
  mount_vault
  told ok create "$mnt/old" 300000 old
  told ok mkdir "$mnt/folder"
  remount
  wait_until 40 remounted_ro || fail "the disk is never free to be remounted read-only"
  told '(open|write|close) EROFS' create "$mnt/new" 100000 new
  told '(open|write|close) EROFS' append "$mnt/old" 100000 more
  told 'ok|(open|write|fsync|close) EROFS' overwrite "$mnt/old" 0 100000 more sync
  told '(open|write|close) EROFS' rewrite "$mnt/old" 100000 more
  told '(open|write|fsync) EROFS' replace "$mnt/old" 100000 more
  told 'mkdir EROFS' mkdir "$mnt/other"
  told 'rename EROFS' rename "$mnt/old" "$mnt/renamed"
  told 'unlink EROFS' unlink "$mnt/old"
  told 'setxattr EROFS' setxattr "$mnt/old" user.x 10
  holds "$mnt/old" "300000:old"
  answers
  lock_ends '0|18'
  expect_exit 18 "$coffer" mount "$vault" "$mnt" --password-file "$password"
  mount_vault --read-only
  holds "$mnt/old" "300000:old"
  lock_ends 0
  mount -o remount,rw "$disk"
  mount_vault
  holds "$mnt/old" "300000:old"
  told ok overwrite "$mnt/old" 0 100000 more sync
  lock_ends 0
  drop_disk
  done_with "EROFS, and as before once it is writable"
}

moved_vault() {
  begin moved || return 0
  new_vault
  mount_vault
  told ok create "$mnt/old" 300000 old
  remount
  mv "$vault" "$vault.away"
  told ok create "$mnt/while-away" 100000 away sync
  told ok append "$mnt/old" 100000 more sync
  holds "$mnt/old" "300000:old 100000:more"
  answers
  # Somebody else's folder in its place stays as it is.
  mkdir "$vault"
  echo "somebody else's" > "$vault/file"
  told ok create "$mnt/beside" 100000 beside sync
  told ok mkdir "$mnt/folder"
  told ok create "$mnt/folder/inside" 100000 inside sync
  [ "$(ls -A "$vault")" = file ] || flaw "another folder at the vault's path was written to: $(ls -A "$vault")"
  lock_ends 0
  rm -r "$vault"
  expect_exit 11 "$coffer" mount "$vault" "$mnt" --password-file "$password"
  mv "$vault.away" "$vault"
  mount_vault
  holds "$mnt/old" "300000:old 100000:more"
  holds "$mnt/while-away" "100000:away"
  holds "$mnt/beside" "100000:beside"
  holds "$mnt/folder/inside" "100000:inside"
  # Gone for good.
  rm -r "${vault:?}"
  told '(open|write|close) (ENOENT|EIO|ESTALE)' create "$mnt/new" 1000 new
  told 'mkdir (ENOENT|EIO|ESTALE)' mkdir "$mnt/other"
  told '(open|read) (ENOENT|EIO|ESTALE)' read "$mnt/beside"
  answers
  lock_ends '0|1'
  done_with "renamed away, replaced, removed"
}

# As root: files that nobody may change (chattr). As an ordinary user: chmod.
forbidden_vault() {
  begin forbidden || return 0
  make_disk 64
  new_vault
  mount_vault
  told ok create "$mnt/old" 300000 old
  remount
  chattr -R +i "$vault"
  told '(open|write|close) (EPERM|EACCES)' create "$mnt/new" 1000 new
  told '(open|write|close) (EPERM|EACCES)' append "$mnt/old" 1000 more
  told 'mkdir (EPERM|EACCES)' mkdir "$mnt/folder"
  told 'unlink (EPERM|EACCES)' unlink "$mnt/old"
  told 'rename (EPERM|EACCES)' rename "$mnt/old" "$mnt/renamed"
  holds "$mnt/old" "300000:old"
  chattr -R -i "$vault"
  told ok append "$mnt/old" 1000 more
  lock_ends 0
  mount_vault
  holds "$mnt/old" "300000:old 1000:more"
  lock_ends 0
  drop_disk
  done_with "chattr +i"
}

forbidden_user_vault() {
  begin user || return 0
  local user=coffer-e2e
  id "$user" > /dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin "$user"
  chmod 0666 /dev/fuse
  local as_user=(setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups --inh-caps=-all)
  local place=$work/user
  mkdir -p "$place/mnt" "$place/state"
  cp "$coffer" "$support/attempt.py" "$password" "$place/"
  chown -R "$user" "$place"
  chmod 755 "$work" "$place"
  as() { timeout 60 "${as_user[@]}" env XDG_STATE_HOME="$place/state" "$@"; }
  user_told() {
    local wanted=$1 seen
    shift
    seen=$(as "$place/attempt.py" "$@" 2>&1) || true
    grep -qxE "$wanted" <<< "$seen" || flaw "${*/$work/}: ${seen:-hangs}, not $wanted"
  }
  as "$place/coffer" init "$place/vault" --password-file "$place/password" --kdf-memory 8 --kdf-passes 1 > /dev/null
  as "$place/coffer" mount "$place/vault" "$place/mnt" --password-file "$place/password" > /dev/null 2>&1 || fail "mount as $user: $?"
  user_told ok create "$place/mnt/old" 300000 old sync
  as "$place/coffer" lock "$place/mnt" > /dev/null
  as "$place/coffer" mount "$place/vault" "$place/mnt" --password-file "$place/password" > /dev/null 2>&1 || fail "mount as $user: $?"
  chmod -R a-w "$place/vault"
  user_told '(open|write|close) (EACCES|EPERM)' create "$place/mnt/new" 1000 new
  user_told '(open|write|close) (EACCES|EPERM)' append "$place/mnt/old" 1000 more
  user_told 'mkdir (EACCES|EPERM)' mkdir "$place/mnt/folder"
  user_told 'unlink (EACCES|EPERM)' unlink "$place/mnt/old"
  user_told ok holds "$place/mnt/old" 300000:old
  as "$place/coffer" lock "$place/mnt" > /dev/null || flaw "lock of a vault that was made read-only: exit code $?"
  expect_exit 18 as "$place/coffer" mount "$place/vault" "$place/mnt" --password-file "$place/password"
  chmod -R u+w "$place/vault"
  as "$place/coffer" mount "$place/vault" "$place/mnt" --password-file "$place/password" > /dev/null 2>&1 || fail "mount as $user: $?"
  user_told ok append "$place/mnt/old" 1000 more
  user_told ok holds "$place/mnt/old" 300000:old 1000:more
  as "$place/coffer" lock "$place/mnt" > /dev/null || flaw "lock: exit code $?"
  done_with "chmod a-w, as an ordinary user"
}

# mount_limited COMMAND...: a daemon started through that command
mount_limited() {
  local program=$coffer
  printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$*" "$program" > "$work/limited"
  chmod 755 "$work/limited"
  coffer=$work/limited
  mount_vault
  coffer=$program
}

few_descriptors() {
  begin descriptors || return 0
  new_vault
  mount_limited prlimit --nofile=64:64
  mkdir "$mnt/sub"
  python3 - "$mnt/sub" <<'END' || flaw "2000 files, one after another, with 64 descriptors"
import os, sys
folder = sys.argv[1]
for i in range(2000):
    with open(f"{folder}/{i}", "w") as file:
        file.write(f"content {i}")
for i in range(2000):
    with open(f"{folder}/{i}") as file:
        assert file.read() == f"content {i}", i
assert len(os.listdir(folder)) == 2000
END
  mkdir "$mnt/many"
  told 'open (EMFILE|ENFILE) after [0-9]+' many "$mnt/many" 500
  told ok create "$mnt/after" 100000 after sync
  holds "$mnt/after" "100000:after"
  answers
  lock_ends 0
  mount_vault
  [ "$(cat "$mnt/sub/1999")" = "content 1999" ] || flaw "content after a remount"
  find "$mnt/many" -type f > "$work/listed"
  while read -r file; do
    [ "$(cat "$file")" = "${file##*-}" ] || [ ! -s "$file" ] || flaw "$file: $(head -c 100 "$file")"
  done < "$work/listed"
  lock_ends 0
  done_with "64 descriptors: 2000 files one after another, too many at once are refused"
}

little_memory() {
  begin memory || return 0
  [ "${COFFER_SANITIZED:-}" = "" ] || { not_here "limits of memory, under a sanitizer" && return 0; }
  new_vault
  mount_vault
  told ok create "$mnt/old" 3000000 old
  lock_ends 0
  local limit
  for limit in 400 300 220; do # MiB; what libraries, stacks and slabs take is most of it
    mount_limited prlimit --as=$((limit << 20))
    told 'ok|(open|write|fsync|close) ENOMEM' create "$mnt/new-$limit" 150000000 "new-$limit" sync
    told 'ok|(open|write|fsync|close) ENOMEM' overwrite "$mnt/old" 0 3000000 old sync
    not_running "$daemon" && flaw "the daemon died with $limit MiB of address space"
    holds "$mnt/old" "3000000:old"
    lock_ends 0
  done
  mount_vault
  holds "$mnt/old" "3000000:old"
  for limit in 400 300 220; do told 'ok|(open|read) EIO' read "$mnt/new-$limit"; done
  lock_ends 0
  done_with "address space of 400, 300, 220 MiB"
}

# Local state: what is lost with it is comfort, not files.
state_folder() {
  begin state || return 0
  local state=$XDG_STATE_HOME how
  new_vault
  mount_vault
  told ok create "$mnt/old" 300000 old
  remount
  # Taken away while mounted.
  rm -rf "${state:?}"
  told ok create "$mnt/new" 300000 new sync
  told ok append "$mnt/old" 1000 more sync
  lock_ends 0
  for how in missing read-only full; do
    mkdir -p "$state"
    case $how in
      missing) rm -rf "$state" ;; # made anew
      read-only) mount -t tmpfs -o ro tmpfs "$state" ;;
      full)
        mount -t tmpfs -o size=64k tmpfs "$state"
        head -c 1M /dev/zero > "$state/filler" 2> /dev/null || true
        ;;
    esac
    : > "$log"
    mount_vault
    [ "$how" = missing ] || grep -qiE 'warning|local state' "$log" || flaw "$how: no word of it"
    holds "$mnt/old" "300000:old 1000:more"
    told ok create "$mnt/$how" 300000 "$how" sync
    told ok overwrite "$mnt/new" 0 300000 "$how" sync
    told ok overwrite "$mnt/new" 0 300000 new sync
    lock_ends 0
    if mountpoint -q "$state"; then umount "$state"; fi
    mount_vault
    holds "$mnt/$how" "300000:$how"
    holds "$mnt/new" "300000:new"
    lock_ends 0
  done
  # It fills up while mounted.
  rm -rf "${state:?}"
  mkdir "$state"
  mount -t tmpfs -o size=1m tmpfs "$state"
  mount_vault
  head -c 10M /dev/zero > "$state/filler" 2> /dev/null || true
  told 'ok|(open|write|fsync|close) ENOSPC' overwrite "$mnt/old" 0 300000 old sync
  told ok create "$mnt/filled" 300000 filled sync
  answers
  rm "$state/filler"
  told ok overwrite "$mnt/old" 0 300000 old sync
  lock_ends 0
  umount "$state"
  mount_vault
  holds "$mnt/old" "300000:old 1000:more"
  holds "$mnt/filled" "300000:filled"
  lock_ends 0
  done_with "taken away, missing, read-only, full, filled up"
}

clock_back() {
  begin clock || return 0
  command -v faketime > /dev/null || { not_here "a clock that goes back: no faketime" && return 0; }
  new_vault
  mount_vault
  told ok create "$mnt/old" 300000 old
  lock_ends 0
  mount_limited env FAKETIME_DONT_FAKE_MONOTONIC=1 faketime -f -400d
  holds "$mnt/old" "300000:old"
  told ok append "$mnt/old" 1000 more sync
  told ok create "$mnt/past" 300000 past sync
  lock_ends 0
  mount_vault
  holds "$mnt/old" "300000:old 1000:more"
  holds "$mnt/past" "300000:past"
  told ok overwrite "$mnt/past" 0 300000 present sync
  lock_ends 0
  mount_vault
  holds "$mnt/past" "300000:present"
  lock_ends 0
  done_with "the daemon's clock 400 days back"
}

thaw() { fsfreeze -u "$disk" 2> /dev/null || true; }

# A program that keeps a file open and writes a line whenever it is told to. (A shell's redirection closes, and so waits.)
hold_open() {
  python3 - "$mnt/held" "$work/held" <<'HOLDER' &
import os, sys, time
path, told = sys.argv[1:]
held = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in range(3):
    while not os.path.exists(f"{told}.{number}"):
        time.sleep(0.02)
    os.write(held, b"line %d\n" % number)
    open(f"{told}.{number}.done", "w").close()
while not os.path.exists(f"{told}.end"):
    time.sleep(0.02)
HOLDER
  holder=$!
}
write_line() {
  touch "$work/held.$1"
  wait_until 20 test -e "$work/held.$1.done" || flaw "a program that only writes to memory waits for a disk that stands still"
}

frozen_disk() {
  begin frozen || return 0
  make_disk 64
  trap 'thaw; clean_up' EXIT
  new_vault
  mount_vault
  told ok create "$mnt/old" 300000 old sync
  hold_open
  write_line 0
  fsfreeze -f "$disk"
  timeout 120 "$support/attempt.py" append "$mnt/old" 200000 more sync > "$work/blocked" &
  local blocked=$!
  write_line 1
  sleep 4 # long enough for everything that is done now and then to be tried
  answers
  timeout 20 "$coffer" status --json > /dev/null || flaw "status of all mounts does not answer"
  ! not_running "$blocked" || flaw "fsync came back from a disk that stood still: $(cat "$work/blocked")"
  thaw
  wait "$blocked" || flaw "the blocked program hangs"
  [ "$(cat "$work/blocked")" = ok ] || flaw "the blocked program was told $(cat "$work/blocked")"
  holds "$mnt/old" "300000:old 200000:more"
  write_line 2
  # Ended while it stands still.
  fsfreeze -f "$disk"
  kill -TERM "$daemon"
  sleep 2
  local status=0
  timeout 20 "$coffer" status > "$work/status" 2>&1 || status=$?
  [ "$status" != 124 ] || flaw "coffer status hangs while the daemon stops on a frozen disk"
  thaw
  wait_until 60 not_running "$daemon" || { flaw "the daemon does not end after SIGTERM and a thaw" && kill -9 "$daemon"; }
  status=0
  wait "$daemon" || status=$?
  daemon=
  [ "$status" = 0 ] || flaw "the daemon ended with exit code $status"
  touch "$work/held.end"
  wait "$holder" || true
  mount_vault
  holds "$mnt/old" "300000:old 200000:more"
  [ "$(cat "$mnt/held")" = "$(printf 'line 0\nline 1\nline 2')" ] || flaw "a file open at SIGTERM on a frozen disk: $(cat "$mnt/held")"
  lock_ends 0
  drop_disk
  trap clean_up EXIT
  done_with "fsfreeze: waits, answers, and goes on"
}

full_disk
quota
pulled_disk
bad_sectors
read_only_disk
moved_vault
forbidden_vault
forbidden_user_vault
few_descriptors
little_memory
state_folder
clock_back
frozen_disk
if [ -s "$flaws" ]; then fail "$(wc -l < "$flaws") flaws"; fi
