#!/bin/bash
# scripts/coffer_reader.py, which shares no code with the program, reads vaults that the program made: both suites, small chunks and
# short names, long names, renamed (pinned) directories, empty, sparse and many-chunk files, links, special files.
. "$(dirname "$0")/lib.sh"

[ "$e2e_fs" = coffer ] || skip "about Coffer's own format"

reader() { python3 "$repository/scripts/coffer_reader.py" "$@"; }

# Directories that were renamed, once and again, there and back, with names made before and after.
make_renamed() {
  local top=$1/renamed
  mkdir -p "$top/a/b/c"
  echo before > "$top/a/b/c/before"
  mv "$top/a" "$top/A moved"
  echo after > "$top/A moved/b/c/after"
  mv "$top/A moved/b" "$top/b out"
  mkdir "$top/A moved/b"
  echo "in the new b" > "$top/A moved/b/file"
  mv "$top/b out/c" "$top/away" && mv "$top/away" "$top/b out/c"
  echo back > "$top/b out/c/back"
  mkdir "$top/one" "$top/two"
  echo 1 > "$top/one/file" && echo 2 > "$top/two/file"
  mv "$top/one" "$top/swap" && mv "$top/two" "$top/one" && mv "$top/swap" "$top/two"
  local long
  long=$(printf '字%.0s' $(seq 80))
  mkdir "$top/$long"
  echo long > "$top/$long/$long"
  mv "$top/$long" "$top/x$long"
  echo longer > "$top/x$long/y$long"
}

# read_vault NAME [init arguments]
read_vault() {
  local name=$1 secret
  shift
  vault=$work/vault-$name
  local key=$work/key-$name
  new_vault --key-output "$key" "$@"
  mount_vault
  cp -a "$work/source" "$mnt/tree"
  make_renamed "$mnt"
  rm -rf "$work/copy"
  cp -a "$mnt" "$work/copy"
  lock_vault
  # The reader gives back permissions, on purpose not setuid, setgid and sticky bits.
  find "$work/copy" ! -type l -perm /7000 -exec chmod ug-s,-t {} +

  # Nothing that tells the reader from the program but the folder: a copy, as a cloud would give it back.
  rm -rf "$work/cloud"
  cp -a "$vault" "$work/cloud"
  for secret in "--password-file $password" "--key-file $key"; do
    # shellcheck disable=SC2086 # an option and its value
    reader verify $secret "$work/cloud" > "$work/out" 2>&1 || fail "$name: verify: exit code $?: $(tail -n 5 "$work/out")"
  done
  rm -rf "$work/extracted"
  # Devices and sockets it names instead of making them; that alone may be the reason for its exit code 6.
  local status=0
  reader extract --password-file "$password" --xattrs "$work/cloud" "$work/extracted" > "$work/out" 2>&1 || status=$?
  ! grep -v 'special file not made' "$work/out" | grep -q . || fail "$name: extract: $(grep -v 'special file' "$work/out" | head -n 5)"
  [ $status = 0 ] || [ $status = 6 ] || fail "$name: extract: exit code $status"
  grep -q 'block: special file not made: b.* 259:65537$' "$work/out" || fail "$name: the device is not named"
  rsync -rlptDn --exclude /tree/specials --checksum --delete --itemize-changes --modify-window=-1 "$work/copy/" "$work/extracted/" > "$work/diff" 2>&1
  # The top folder's own times are no part of a vault.
  sed -i '/^\.d[^ ]* \.\/$/d' "$work/diff"
  [ ! -s "$work/diff" ] || fail "$name: $(wc -l < "$work/diff") differences: $(head -n 10 "$work/diff")"

  # And the program reads what the reader lists.
  "$coffer" cat "$vault" "renamed/b out/c/back" --password-file "$password" > "$work/out" || fail "$name: coffer cat: exit code $?"
  [ "$(cat "$work/out")" = back ] || fail "$name: coffer cat gives $(cat "$work/out")"
  step "$name: verified, extracted, compared"
}

identify_lone_file() {
  local lone=$work/lone file
  mkdir "$lone"
  vault=$work/vault-lone
  new_vault
  mount_vault
  mkdir "$mnt/folder"
  echo "alone" > "$mnt/folder/a file to be found again"
  lock_vault
  file=$(find "$vault" -mindepth 2 -type f)
  cp "$file" "$lone/whatever.bin"
  reader identify --password-file "$password" "$vault" "$lone/whatever.bin" > "$work/out" 2>&1 || true
  grep -q "a file to be found again" "$work/out" || fail "identify: $(cat "$work/out")"
  # And it notices damage.
  printf '\252\125' | dd of="$file" bs=1 seek=530 conv=notrunc status=none
  if reader verify --password-file "$password" "$vault" > "$work/out" 2>&1; then fail "verify of a damaged vault is clean"; fi
  if reader verify --keyless "$vault" > "$work/out" 2>&1; then fail "keyless verify of a damaged vault is clean"; fi
  step "identify, and damage"
}

"$support/make_tree.py" "$work/source" --files 200
# Many chunks: more than a page of records.
head -c 9000001 /dev/urandom > "$work/source/many chunks"

read_vault aes --cipher aes-256-gcm
read_vault xchacha --cipher xchacha20-poly1305
read_vault small --cipher aes-256-gcm --chunk-size 4K --name-max 140
identify_lone_file
