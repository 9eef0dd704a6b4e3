#!/bin/bash
# Whoever holds the vault folder changes ciphertext files while it is locked: each change gives EIO, one line in the log that names
# the ciphertext file, and never a byte of wrong plaintext. Both suites.
. "$(dirname "$0")/lib.sh"

[ "$e2e_fs" = coffer ] || skip "about Coffer's own format"
allowed_log=. # errors are what this test is about

tamper_with() {
  local suite=$1
  vault=$work/vault-$suite
  : > "$log"
  new_vault --cipher "$suite"
  mount_vault
  mkdir "$mnt/files"
  "$support/tamper.py" write "$mnt/files" 1
  lock_vault
  cp -a "$vault" "$work/old-$suite"
  mount_vault
  "$support/tamper.py" write "$mnt/files" 2
  lock_vault
  "$support/tamper.py" map "$vault" "$work/map"
  "$support/tamper.py" damage "$vault" "$work/old-$suite" "$work/map"
  step "$suite: damaged"
  : > "$log"
  mount_vault
  "$support/tamper.py" check "$mnt/files" "$work/map" "$log" || fail "$suite: see above"
  # Damaged is not dead: it lists, and can be replaced and removed.
  ls -l "$mnt/files" > "$work/listed" || fail "$suite: ls of a folder with damaged files"
  echo "as new" > "$mnt/files/zeroed-header" || fail "$suite: a damaged file cannot be rewritten whole"
  [ "$(cat "$mnt/files/zeroed-header")" = "as new" ] || fail "$suite: a rewritten file does not read"
  rm -r "$mnt/files" || fail "$suite: rm -r of damaged files"
  lock_vault
  step "$suite: passed"
}

# A link's target is content too.
tamper_with_link() {
  vault=$work/vault-link
  new_vault
  mount_vault
  ln -s /somewhere/else "$mnt/link"
  lock_vault
  local file
  file=$(find "$vault" -name '*8' -type f -size -2k | head -n 1)
  [ -n "$file" ] || fail "found no ciphertext file of the link"
  printf '\377' | dd of="$file" bs=1 seek=530 conv=notrunc status=none
  mount_vault
  if readlink "$mnt/link" > "$work/out"; then fail "a damaged link reads: $(cat "$work/out")"; fi
  rm "$mnt/link"
  lock_vault
  step "a damaged link"
}

tamper_with aes-256-gcm
tamper_with xchacha20-poly1305
tamper_with_link
