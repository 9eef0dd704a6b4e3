#!/bin/bash
# Nothing of names, contents, links' targets or extended attributes is found anywhere in the vault folder.
. "$(dirname "$0")/lib.sh"

source_tree=$work/source
control=$work/control

"$support/make_tree.py" "$source_tree" --files 2000
mkdir "$source_tree/real"
cp -r /usr/include/linux "$source_tree/real/"
if [ "$full" = 1 ]; then cp -r /usr/include /usr/share/doc /usr/share/perl "$source_tree/real/"; fi

# An empty vault: its README.txt and coffer.json are plain text, and say nothing of the files.
vault=$control new_vault

new_vault
mount_vault
cp -a "$source_tree" "$mnt/a telling folder name"
mv "$mnt/a telling folder name/crowd" "$mnt/a telling folder name/renamed crowd of files"
# Also what was there for a moment only.
cp "$mnt/a telling folder name/real/linux/fuse.h" "$mnt/short-lived secret name"
rm "$mnt/short-lived secret name"
step "while mounted"
mkdir -p "$source_tree/a telling folder name" "$source_tree/renamed crowd of files" "$source_tree/short-lived secret name"
sync
"$programs/leak_scan" "$source_tree" "$vault" "$control" || fail "the vault holds plaintext while it is mounted"
lock_vault
step "after lock"
"$programs/leak_scan" "$source_tree" "$vault" "$control" || fail "the vault holds plaintext"
if [ "$e2e_fs" = coffer ]; then
  "$programs/leak_scan" "$source_tree" "$XDG_STATE_HOME" "$control" || fail "the local state holds plaintext"
  # The log names ciphertext files only.
  mkdir "$work/log" && cp "$log" "$work/log/"
  "$programs/leak_scan" "$source_tree" "$work/log" "$control" || fail "the log holds plaintext"
fi
# The search itself finds what is there.
status=0
"$programs/leak_scan" "$source_tree" "$source_tree" > /dev/null || status=$?
[ $status = 1 ] || fail "leak_scan does not find a tree in itself"
