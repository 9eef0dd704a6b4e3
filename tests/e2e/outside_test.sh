#!/bin/bash
# What others change in the vault folder shows through the mount within a second, though the kernel keeps names, attributes,
# listings and content for an hour; and as long as nobody changes anything, it asks for nothing.
. "$(dirname "$0")/lib.sh"
allowed_log='while it was written to' # this test does that

[ "$e2e_fs" = coffer ] || skip "about changes under Coffer's mount"

fact() { "$coffer" status --json "$mnt" | python3 -c 'import json, sys; print(json.load(sys.stdin)["mounts"][0][sys.argv[1]])' "$1"; }

# The ciphertext file of a name: both have the same inode number.
below() { find "$vault" -inum "$(stat -c %i "$1")" -print -quit; }

# within_a_second WHAT COMMAND...: true after at most that
within_a_second() {
  local what=$1 tries=0
  shift
  until "$@" > /dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 20 ] || fail "$what does not show after a second"
    sleep 0.05
  done
}
reads() { [ "$(cat "$1")" = "$2" ]; }
has_size() { [ "$(stat -c %s "$1")" = "$2" ]; }
has_mtime() { [ "$(stat -c %Y "$1")" = "$2" ]; }
has_mode() { [ "$(stat -c %a "$1")" = "$2" ]; }
leads_to() { [ "$(readlink "$1")" = "$2" ]; }
holds() { [ "$(find "$1" -mindepth 1 | wc -l)" = "$2" ]; }
lists() { [ -n "$(find "$1" -mindepth 1 -maxdepth 1 -name "$2")" ]; }
lacks() { ! lists "$1" "$2" && [ ! -e "$1/$2" ]; }
warm() { ls -lR "$mnt" > /dev/null && { cat "$mnt"/d/* > /dev/null 2>&1 || true; } && ls "$mnt/d" > /dev/null; }

# A store of ciphertext made by another mount of the same vault, as a sync client would bring it.
new_vault
mount_vault
[ "$(fact watched_by)" = fanotify ] || skip "this folder cannot be watched: $(fact not_watched_because)"
mkdir "$mnt/d" "$mnt/d/sub" "$mnt/e"
for name in keep edited replaced deleted renamed linked; do echo "$name, old" > "$mnt/d/$name"; done
echo "inside" > "$mnt/d/sub/inner"
long=$(printf '%0200d' 7)
echo "long, old" > "$mnt/d/$long"
ln -s old-target "$mnt/d/link"
lock_vault
cp -a "$vault" "$work/elsewhere"
# The other machine's changes, made in a copy and carried over one by one.
here=$vault
vault=$work/elsewhere
mount_vault
printf 'edited elsewhere, and longer than before\n' > "$mnt/d/edited"
printf 'replaced elsewhere, much longer than before\n' > "$mnt/d/replaced"
echo "made elsewhere" > "$mnt/d/made"
ln -sfn new-target-that-is-longer "$mnt/d/link"
newlong=$(printf '%0210d' 8)
echo "long, new" > "$mnt/d/$newlong"
mkdir "$mnt/d/newdir"
echo "deep" > "$mnt/d/newdir/deep"
sync "$mnt/d/edited"
for name in edited replaced made link "$newlong" newdir; do
  there=$(below "$mnt/d/$name")
  printf '%s\t%s\n' "$name" "${there#"$vault/"}" >> "$work/map"
done
lock_vault
vault=$here
elsewhere=$work/elsewhere
at() { awk -F '\t' -v name="$1" '$1 == name { print $2 }' "$work/map"; }
mount_vault

warm
warm
[ ! -e "$mnt/d/made" ] && [ ! -e "$mnt/d/made" ] # absent, and known to be
[ ! -e "$mnt/d/newdir" ]
exec 5< "$mnt/d/edited" 6< "$mnt/d/replaced"
cat <&5 > /dev/null

cat "$elsewhere/$(at edited)" > "$vault/$(at edited)"
within_a_second "a file edited in place" reads "$mnt/d/edited" "edited elsewhere, and longer than before"
has_size "$mnt/d/edited" 41 || fail "a file edited in place has its old size"
step "edited in place while it was open"

cp "$elsewhere/$(at replaced)" "$vault/.~client.tmp" && mv "$vault/.~client.tmp" "$vault/$(at replaced)"
within_a_second "a replaced file" reads "$mnt/d/replaced" "replaced elsewhere, much longer than before"
has_size "$mnt/d/replaced" 44 || fail "a replaced file has its old size"
[ "$(cat <&6)" = "replaced, old" ] || fail "the handle on a replaced file does not read what it was"
step "replaced by rename while it was open"
exec 5<&- 6<&-

warm
cp "$elsewhere/$(at made)" "$vault/$(at made)"
within_a_second "a new file in the listing" lists "$mnt/d" made
within_a_second "a new file" reads "$mnt/d/made" "made elsewhere"

rm "$(below "$mnt/d/deleted")"
within_a_second "a removed file" lacks "$mnt/d" deleted
! cat "$mnt/d/deleted" 2> /dev/null || fail "a removed file can be read"

warm
file=$(below "$mnt/d/keep")
touch -d @1000000000 "$file"
within_a_second "a new time" has_mtime "$mnt/d/keep" 1000000000
chmod 600 "$file"
within_a_second "a new mode" has_mode "$mnt/d/keep" 600
reads "$mnt/d/keep" "keep, old" || fail "a touched file does not read"
step "made, removed, touched"

warm
rm "$vault/$(at link)" && cp -a "$elsewhere/$(at link)" "$vault/$(at link)"
within_a_second "a changed symbolic link" leads_to "$mnt/d/link" new-target-that-is-longer

# The name arrives before its side file, and after.
cp "$elsewhere/$(at "$newlong")" "$vault/$(at "$newlong")"
sleep 0.3
cp "$elsewhere/$(at "$newlong").name" "$vault/$(at "$newlong").name"
within_a_second "a long name" reads "$mnt/d/$newlong" "long, new"
step "link, long name"

cp -a "$elsewhere/$(at newdir)" "$vault/$(at newdir)"
within_a_second "a new directory" reads "$mnt/d/newdir/deep" deep
warm
echo "its own" > "$mnt/e/two"
sleep 4 # fsync has it in the journal; in its ciphertext file it is within some three seconds
file=$(below "$mnt/e/two")
warm
cp "$file" "${file%/*}/$(basename "$file") (conflict)"
within_a_second "a conflict copy" holds "$mnt/e" 2
copy=$(find "$mnt/e" -mindepth 1 ! -name two -printf '%f')
reads "$mnt/e/$copy" "its own" || fail "a conflict copy does not read"
rm "${file%/*}/$(basename "$file") (conflict)"
within_a_second "a conflict copy that is gone" lacks "$mnt/e" "$copy"
step "directory, conflict copy"

# A directory that somebody moves away is gone, with what is known to be in it.
warm
moved=$(below "$mnt/d/newdir")
mv "$moved" "$work/moved"
within_a_second "a directory moved away" lacks "$mnt/d" newdir
! cat "$mnt/d/newdir/deep" 2> /dev/null || fail "a file in a directory that was moved away can be read"
mv "$work/moved" "$moved"
within_a_second "a directory moved back" reads "$mnt/d/newdir/deep" deep
step "directory away and back"

# Somebody writes while the file is changed: what the other one wrote stays whole.
exec 7>> "$mnt/d/edited"
echo "more" >&7
sleep 0.2
cat "$elsewhere/$(at edited)" > "$vault/$(at edited)"
sleep 0.5
echo "even more" >&7 || true
exec 7>&- || true
within_a_second "a file changed while it was written to" reads "$mnt/d/edited" "edited elsewhere, and longer than before"
step "changed while it was written to"

mkdir "$mnt/many"
ls -l "$mnt/many" > /dev/null
many=$(below "$mnt/many")
remade=$work/remade
mkdir "$remade"
for ((i = 0; i < 2000; i++)); do : > "$remade/.stranger-$i"; done
cp "$remade"/.stranger-* "$many/" # not ours: never shown, no harm
rm "$many"/.stranger-*
[ -z "$(ls -A "$mnt/many")" ] || fail "foreign files are shown"

# --- Our own doing is nothing to be told about, and what is known is not asked for.
sleep 1.2
dropped=$(fact kernel_caches_dropped)
cp -r /usr/include/linux "$mnt/own"
find "$mnt/own" -name '*.h' | awk 'NR <= 50' | while read -r file; do mv "$file" "$file.renamed" && chmod 600 "$file.renamed"; done
rm -r "$mnt/own/netfilter"
sleep 0.5
[ "$(fact kernel_caches_dropped)" = "$dropped" ] || fail "own changes dropped $(($(fact kernel_caches_dropped) - dropped)) caches"
step "own changes drop nothing"

# Names, kinds, sizes, owners and times of everything. (ls -l also asks each file for security.selinux, which no kernel
# remembers of a FUSE file system.)
see_all() { find "$mnt" -printf '%p %y %m %u %g %s %b %n %T@ %C@\n'; }
sleep 12 # headers have settled
see_all > /dev/null
see_all > "$work/listing"
sleep 1.5
requests=$(fact requests)
see_all > "$work/listing.again"
asked=$(($(fact requests) - requests))
directories=$(grep -c ' d 7' "$work/listing")
cmp "$work/listing" "$work/listing.again" || fail "a listing changed by itself"
step "all attributes of $(wc -l < "$work/listing") files, warm: $asked requests for $directories directories"
# OPENDIR and RELEASEDIR of each, what a file with two names costs, and a few for the mount itself.
[ "$asked" -le $((2 * directories + 10)) ] || fail "looking at what is known asked $asked times for $directories directories"
lock_vault

# --- A folder that nobody can watch: one second.
mount_vault
outer=$mnt
vault=$outer/vault2
mnt=$work/mnt2
mkdir "$mnt"
outer_daemon=$daemon
new_vault
mount_vault
[ "$(fact watched_by)" = None ] || fail "a vault in a FUSE mount is said to be watched"
echo one > "$mnt/file"
reads "$mnt/file" one
file=$(below "$mnt/file")
rm "$file"
sleep 1.1
lacks "$mnt" file || fail "a removed file in a folder that is not watched is there after a second"
lock_vault
mnt=$outer
daemon=$outer_daemon
vault=$here
step "not watched: a second"
