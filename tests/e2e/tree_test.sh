#!/bin/bash
# A real tree, and one with everything odd in it: copied in with cp -a, compared, locked, mounted again, compared again.
# COFFER_FULL=1: at least 20,000 files and 1 GiB.
. "$(dirname "$0")/lib.sh"

source_tree=$work/source

# Every n-th file and link of the system's own, so that it has some of everything.
system_files() {
  local count=$1 kib_max=$2
  find /usr/share /usr/lib -xdev \( -type f -o -type l \) -size "-${kib_max}k" -print0 2> /dev/null | sort -z |
    awk -v RS='\0' -v ORS='\0' -v count="$count" '{ name[NR] = $0 }
      END { every = NR / count; if (every < 1) every = 1; for (i = 1; i <= NR; i += every) print name[int(i)] }'
}

make_source() {
  local count=3000 kib_max=600
  if [ "$full" = 1 ]; then count=30000 kib_max=400000; fi
  mkdir -p "$source_tree/system"
  system_files "$count" "$kib_max" | rsync -aHAX --from0 --files-from=- / "$source_tree/system/"
  if [ "$full" = 1 ]; then
    # Whatever the machine has installed: the rest up to 1 GiB.
    while [ "$(du -sk --apparent-size "$source_tree" | cut -f1)" -lt $((1100 * 1024)) ]; do
      rsync -a /usr/bin/ "$source_tree/more-$RANDOM/"
    done
  fi
  "$support/make_tree.py" "$source_tree/odd"
}

make_source
step "made $(find "$source_tree" | wc -l) entries, $(du -sh --apparent-size "$source_tree" | cut -f1)"
new_vault
mount_vault
cp -a "$source_tree" "$mnt/tree"
step "copied"
same_tree "$source_tree" "$mnt/tree"
step "the same while mounted"
remount
step "locked and mounted again"
same_tree "$source_tree" "$mnt/tree"
step "the same after a remount"

# Once more over itself, as backups do: rsync finds nothing to do.
rsync -aHAX --itemize-changes "$source_tree/" "$mnt/tree/" > "$work/again"
[ ! -s "$work/again" ] || fail "rsync copied again: $(head -n 5 "$work/again")"

lock_vault
[ -z "$(ls -A "$mnt")" ] || fail "the mount point is not empty after lock"
mount_vault
step "rsync again, lock, mount"
rm -rf "$mnt/tree"
step "removed"
[ -z "$(ls -A "$mnt")" ] || fail "something is left after rm -rf: $(ls -A "$mnt")"
lock_vault
if [ "$e2e_fs" = coffer ]; then
  left=$(find "$vault" -mindepth 1 -printf '%P\n' | grep -vE '^(coffer\.json|coffer-copy\.json|README\.txt)$' || true)
  [ -z "$left" ] || fail "left in the vault after everything was removed: $(head -n 5 <<< "$left")"
fi
