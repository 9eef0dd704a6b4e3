#!/bin/bash
# Many files in one directory: 100,000 with COFFER_FULL=1. The daemon may have 1024 open files, and does not grow with them.
. "$(dirname "$0")/lib.sh"

count=5000
[ "$full" != 1 ] || count=100000
ulimit -n 1024

hwm_kib() { awk '/^VmHWM/ { print $2 }' "/proc/$daemon/status"; }

check_names() {
  find "$mnt/many" -type f -printf '%f %s\n' | sort > "$work/seen"
  cmp -s "$work/wanted" "$work/seen" || fail "names or sizes differ: $(diff "$work/wanted" "$work/seen" | head -n 5)"
}

new_vault
mount_vault
mkdir "$mnt/many"
python3 - "$mnt/many" "$count" > "$work/made" <<'END'
import os, sys
folder, count = sys.argv[1], int(sys.argv[2])
for number in range(count):
    name = f"file number {number}"
    with open(os.path.join(folder, name), "w") as file:
        file.write("x" * (number % 50))
    print(name, number % 50)
END
sort "$work/made" > "$work/wanted"
step "created $count files"
check_names
step "listed"
if [ -n "$daemon" ]; then
  open_files=$(find "/proc/$daemon/fd" -mindepth 1 | wc -l)
  [ "$open_files" -lt 900 ] || fail "the daemon has $open_files descriptors open"
  # A couple of hundred bytes an inode, and caches with limits.
  [ "$e2e_fs" != coffer ] || [ "$(hwm_kib)" -lt $((400 * 1024)) ] || [ -n "${COFFER_SANITIZED:-}" ] || fail "the daemon took $(hwm_kib) KiB"
  step "the daemon: $open_files descriptors, $(hwm_kib) KiB at most"
fi
remount
check_names
step "listed after a remount"
# Deleting while reading the directory, as rm -r does; none may be skipped.
rm -r "$mnt/many"
[ ! -e "$mnt/many" ] || fail "rm -r left something"
