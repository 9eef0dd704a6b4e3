#!/bin/bash
# As an ordinary user, through fusermount3. Run by root it makes that user; otherwise it runs as who calls it.
. "$(dirname "$0")/lib.sh"

[ "$e2e_fs" = coffer ] || skip "about Coffer"
user="coffer-e2e"

if [ "$(id -u)" = 0 ]; then
  # A user without a home or a shell, kept for the next run.
  id "$user" > /dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin "$user"
  chmod 0666 /dev/fuse # as udev does on every ordinary Debian
  # Neither our folder nor the place of the program may be readable for others.
  cp "$coffer" "$work/coffer"
  cp "$support/make_tree.py" "$work/"
  chmod 755 "$work" "$work/coffer" "$work/make_tree.py"
  chown -R "$user" "$work"
  as_user() { setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups --inh-caps=-all "$@"; }
else
  cp "$coffer" "$support/make_tree.py" "$work/"
  as_user() { "$@"; }
fi

# shellcheck disable=SC2317 # called by wait_until
no_processes() { [ -z "$(our_processes)" ]; }

exec_as_user() { as_user bash -euc "$1"; }

as_user "$work/coffer" init "$vault" --password-file "$password" --kdf-memory 8 --kdf-passes 1 > /dev/null
as_user "$work/coffer" mount "$vault" "$mnt" --password-file "$password" || fail "mount as an ordinary user: exit code $?"
is_mounted || fail "not mounted"
step "mounted"

exec_as_user "
  $work/make_tree.py $work/source --files 200
  # What its owner may not read cannot be copied by an ordinary user: opened for the copy, closed again on both sides.
  find $work/source/modes -mindepth 1 -printf '%m %p\0' 2> $work/find.err | sort -zr > $work/modes || true
  chmod -R u+rwX $work/source/modes
  cp -a $work/source $mnt/tree
  while IFS= read -r -d '' line; do
    path=\${line#* }
    chmod -- \"\${line%% *}\" \"\$path\" \"$mnt/tree/\${path#$work/source/}\"
  done < $work/modes
"
step "copied"

# The comparison is the user's: root may not look into a user's mount.
compare() {
  exec_as_user "rsync -aHAXn --delete --itemize-changes --modify-window=-1 $work/source/ $mnt/tree/ > $work/diff 2> $work/diff.err || true"
  # rsync cannot look into folders without r and x, on either side, and says so; what it can see must not differ.
  sed -i '/^IO error encountered/d' "$work/diff"
  [ ! -s "$work/diff" ] || fail "differences $1: $(head -n 10 "$work/diff")"
  exec_as_user "cd $work/source && find . -printf '%p %M %s %l\n' 2> /dev/null | sort" > "$work/listed-source" || true
  exec_as_user "cd $mnt/tree && find . -printf '%p %M %s %l\n' 2> /dev/null | sort" > "$work/listed-mount" || true
  # A folder's size is the file system's own affair.
  sed -i -E 's/ (d[^ ]{9}) [0-9]+ / \1 /' "$work/listed-source" "$work/listed-mount"
  cmp -s "$work/listed-source" "$work/listed-mount" ||
    fail "listings differ $1: $(diff "$work/listed-source" "$work/listed-mount" | head -n 10)"
}

must_fail() { if exec_as_user "$2" 2> /dev/null; then fail "$1"; fi; }

modes_hold() {
  must_fail "a file of mode 0000 was read $1" "cat $mnt/tree/modes/file-0000"
  must_fail "a file of mode 0200 was read $1" "cat $mnt/tree/modes/file-0200"
  must_fail "a file of mode 0444 was written $1" "echo x >> $mnt/tree/modes/file-0444"
  must_fail "a folder of mode 0555 took a file $1" "touch $mnt/tree/modes/folder-0555/new"
  must_fail "a folder of mode 0000 was listed $1" "ls $mnt/tree/modes/folder-0000"
  must_fail "a folder of mode 0444 was entered $1" "cat $mnt/tree/modes/folder-0444/inside"
  [ "$(exec_as_user "cat $mnt/tree/modes/file-0444")" = mode ] || fail "a file of mode 0444 cannot be read $1"
  exec_as_user "cat $mnt/tree/modes/folder-0555/inside > /dev/null" || fail "a folder of mode 0555 cannot be entered $1"
  exec_as_user "echo more > $mnt/tree/modes/file-0200" || fail "a file of mode 0200 cannot be written $1"
}

compare "while mounted"
modes_hold "while mounted"
exec_as_user "printf mode > $work/source/modes/file-0200; printf mode > $mnt/tree/modes/file-0200; touch -r $work/source/modes/file-0200 $mnt/tree/modes/file-0200"
step "compared"
# Whatever runs as the user, the sync client above all, can read every ciphertext file.
unreadable=$(exec_as_user "find $vault \\( -type f ! -perm -0600 -o -type d ! -perm -0700 \\) -print -quit")
[ -z "$unreadable" ] || fail "the user's sync client cannot read $unreadable"
as_user "$work/coffer" lock "$mnt" || fail "lock: exit code $?"
as_user "$work/coffer" mount "$vault" "$mnt" --password-file "$password" || fail "mount again: exit code $?"
compare "after a remount"
modes_hold "after a remount"
step "the same after a remount"
as_user "$work/coffer" lock "$mnt" || fail "lock: exit code $?"
! is_mounted || fail "still mounted"
wait_until 20 no_processes || fail "left running: $(our_processes)"
