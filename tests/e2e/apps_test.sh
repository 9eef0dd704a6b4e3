#!/bin/bash
# Programs that people use, inside the mount: git, SQLite, make and a compiler, tar, unzip, rsync --inplace, appends, big and
# sparse files. COFFER_FULL=1: a file of 5 GiB.
. "$(dirname "$0")/lib.sh"

export GIT_CONFIG_GLOBAL=$work/gitconfig GIT_CONFIG_NOSYSTEM=1
git config --global user.name Tester
git config --global user.email tester@example.org
git config --global init.defaultBranch main
git config --global advice.detachedHead false

make_repository() {
  git init -q "$1"
  (
    cd "$1"
    for commit in 1 2 3 4; do
      mkdir -p "part $commit"
      cp /usr/include/linux/[a-g]*.h "part $commit/"
      sed -i "1i // commit $commit" "part $commit"/*.h
      ln -sfn "part $commit" newest
      git add -A && git commit -qm "Commit $commit"
    done
    git branch old HEAD~2
  )
}

test_git() {
  make_repository "$work/repository"
  git clone -q "file://$work/repository" "$mnt/clone"
  (
    cd "$mnt/clone"
    git fsck --full --strict 2>&1
    git checkout -q old -- 2>&1 || git checkout -q origin/old
    git checkout -q main
    [ -z "$(git status --porcelain)" ] || fail "git status is not clean: $(git status --porcelain | head -n 5)"
    echo more >> newest/fuse.h
    git commit -qam "One more"
    git gc -q
    git fsck --full --strict 2>&1
  ) > "$work/git.out" || { tail "$work/git.out" >&2 && fail "git"; }
  git init -q --bare "$mnt/bare.git"
  git -C "$mnt/clone" push -q "$mnt/bare.git" main
  git -C "$mnt/bare.git" fsck --full > /dev/null 2>&1 || fail "git fsck of what was pushed"
  step "git: clone, checkout, commit, gc, push, fsck"
}

test_sqlite() {
  "$support/sqlite_load.py" "$mnt/wal.db" --journal wal --seconds "$1"
  "$support/sqlite_load.py" "$mnt/rollback.db" --journal delete --seconds "$1"
  step "SQLite: WAL and rollback journal, two writers and a reader"
}

check_sqlite() {
  local db
  for db in wal rollback; do
    [ "$(sqlite3 "$mnt/$db.db" 'PRAGMA integrity_check')" = ok ] || fail "integrity_check of $db.db after a remount"
  done
}

test_build() {
  local i
  mkdir "$mnt/project"
  (
    cd "$mnt/project"
    for i in $(seq 40); do
      printf '#include <stdio.h>\n#include "all.h"\nint f%d(int x) { return x + %d; }\n' "$i" "$i" > "f$i.c"
      echo "int f$i(int x);" >> all.h
    done
    {
      printf '#include <stdio.h>\n#include "all.h"\nint main(void) { int x = 0;\n'
      for i in $(seq 40); do echo "x = f$i(x);"; done
      printf 'printf("%%d\\n", x); return 0; }\n'
    } > main.c
    {
      # shellcheck disable=SC2016 # these dollars are make's
      printf 'sources := $(wildcard *.c)\nobjects := $(sources:.c=.o)\n\nprogram: libf.a main.o\n\tgcc -o $@ main.o libf.a\n'
      # shellcheck disable=SC2016
      printf 'libf.a: $(filter-out main.o,$(objects))\n\tar rcs $@ $^\n%%.o: %%.c all.h\n\tgcc -O1 -c -o $@ $<\n'
    } > Makefile
    make -s -j4
    [ "$(./program)" = 820 ] || fail "the program that was built says $(./program)"
    make -s -j4 -q program || fail "make builds again what is newer than its sources"
  )
  step "make -j4 of a C project"
}

test_archives() {
  local tree=$work/repository
  tar -C "$tree" --format=posix -cf "$work/tree.tar" .
  mkdir "$mnt/untarred"
  tar -C "$mnt/untarred" -xf "$work/tree.tar"
  same_tree "$tree" "$mnt/untarred"
  tar -C "$mnt" --format=posix -cf "$mnt/inside.tar" untarred
  tar -C "$mnt" -df "$mnt/inside.tar" || fail "tar finds differences in what it has just packed"
  (cd "$tree" && zip -qry "$work/tree.zip" .)
  unzip -q "$work/tree.zip" -d "$mnt/unzipped"
  rsync -rlpcn --delete --itemize-changes "$tree/" "$mnt/unzipped/" > "$work/zip.diff"
  [ ! -s "$work/zip.diff" ] || fail "unzip: $(head -n 5 "$work/zip.diff")"
  step "tar and unzip"
}

test_inplace() {
  local size=$1
  head -c "$size" /dev/urandom > "$work/big"
  rsync --inplace "$work/big" "$mnt/big"
  cmp "$work/big" "$mnt/big"
  # A few bytes here and there, some cut off, some added.
  python3 - "$work/big" <<'END'
import os, random, sys
rng = random.Random(7)
with open(sys.argv[1], "r+b") as file:
    size = file.seek(0, 2)
    for _ in range(200):
        file.seek(rng.randrange(size))
        file.write(rng.randbytes(rng.randrange(1, 5000)))
    file.truncate(size - 12345)
END
  rsync --inplace --no-whole-file --checksum "$work/big" "$mnt/big"
  cmp "$work/big" "$mnt/big" || fail "rsync --inplace"
  head -c 54321 /dev/urandom >> "$work/big"
  rsync --inplace --no-whole-file --checksum "$work/big" "$mnt/big"
  cmp "$work/big" "$mnt/big" || fail "rsync --inplace, growing"
  step "rsync --inplace, three times, $size bytes"
}

test_append() {
  local i
  for i in $(seq 2000); do
    printf 'line %d of a log that grows for ever\n' "$i" >> "$mnt/log"
    printf 'line %d of a log that grows for ever\n' "$i" >> "$work/log"
  done
  cmp "$work/log" "$mnt/log" || fail "appending"
  step "2000 appends"
}

test_big() {
  local mib=$1
  # Distinct blocks that nobody has to keep: a counter, repeated.
  "$support/big_file.py" write "$mnt/huge" "$mib"
  [ "$(stat -c %s "$mnt/huge")" = $((mib * 1024 * 1024)) ] || fail "size of the file of $mib MiB"
  "$support/big_file.py" check "$mnt/huge" "$mib" || fail "content of the file of $mib MiB"
  step "a file of $mib MiB"
}

test_sparse() {
  "$support/big_file.py" sparse "$mnt/sparse"
  cp "$mnt/sparse" "$mnt/sparse-copy"
  "$support/big_file.py" check-sparse "$mnt/sparse-copy" || fail "cp of a file of 1 TiB with three bytes in it"
  local kib
  kib=$(du -k "$mnt/sparse-copy" | cut -f1)
  [ "$kib" -lt 4096 ] || fail "the copy of a sparse file takes $kib KiB"
  kib=$(du -sk "$vault" | cut -f1)
  step "a sparse file of 1 TiB, and its copy"
}

new_vault
mount_vault
test_git
test_sqlite 4
test_build
test_archives
test_inplace 20000000
test_append
if [ "$full" = 1 ]; then test_big 5120; else test_big 300; fi
test_sparse
remount
check_sqlite
git -C "$mnt/clone" fsck --full --strict > /dev/null 2>&1 || fail "git fsck after a remount"
[ -z "$(git -C "$mnt/clone" status --porcelain)" ] || fail "git status after a remount"
cmp "$work/big" "$mnt/big" || fail "rsync's file after a remount"
cmp "$work/log" "$mnt/log" || fail "the log after a remount"
if [ "$full" = 1 ]; then "$support/big_file.py" check "$mnt/huge" 5120; else "$support/big_file.py" check "$mnt/huge" 300; fi
"$support/big_file.py" check-sparse "$mnt/sparse" || fail "the sparse file after a remount"
"$support/big_file.py" check-sparse "$mnt/sparse-copy" || fail "the copy of the sparse file after a remount"
same_tree "$work/repository" "$mnt/untarred"
step "everything is there after a remount"
