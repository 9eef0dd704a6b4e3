#!/usr/bin/env python3
"""Makes a folder with everything that a file system may hold: kinds, modes, times, owners, links, ACLs, xattrs, odd names.

    make_tree.py FOLDER [--seed N] [--files N]

What needs root is left out for others. The same seed gives the same tree.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import stat
import struct
import subprocess
from pathlib import Path

CHUNK = 16384
BOUNDARIES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 500)

ODD_NAMES = [
    b"-rf",
    b"--help",
    b" leading and trailing ",
    b"trailing dot.",
    b"new\nline",
    b"tab\tand \x01 control \x7f",
    b"back\\slash 'quotes' \"double\" `ticks` $(no) *?[x]",
    b"invalid \xff\xfe utf-8 \xc3\x28",
    b"...",
    b".hidden",
    b"~",
    "späte Grüße 日本語 🗄".encode(),
    "e\u0301 decomposed".encode(),
    "é composed".encode(),
    b"CASE.txt",
    b"case.txt",
    b"CON",
    b"nul.txt",
    b"x" * 109,
    b"x" * 110,
    b"y" * 143,
    b"y" * 144,
    b"z" * 255,
    "漢".encode() * 36,
    "字".encode() * 85,
    # What the vault itself, and sync clients, call things.
    b"coffer.json",
    b"coffer-copy.json",
    b"README.txt",
    b".~coffer-1.tmp",
    b"dir." + b"a" * 116 + b".coffer",
    b"0" + b"a" * 32,
    b"0" + b"a" * 32 + b".name",
    b"log-1.coffer",
    b"desktop.ini",
    b".DS_Store",
    b"report (1).odt",
    b"Copy of report.odt",
    b"report.sync-conflict-20261122-101500-ABCDEFG.odt",
    b"a" * 28,
    b"abcdefghijklmnopqrstuvwxyz234567",
]


def write(path: bytes, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def make_names(top: bytes, rng: random.Random) -> None:
    for kind in (b"files", b"folders", b"links"):
        os.mkdir(os.path.join(top, kind))
    for name in ODD_NAMES:
        write(os.path.join(top, b"files", name), rng.randbytes(rng.choice(BOUNDARIES)))
        folder = os.path.join(top, b"folders", name)
        os.mkdir(folder)
        write(os.path.join(folder, b"inside"), name)
        os.symlink(name, os.path.join(top, b"links", name))


def make_sizes(top: bytes, rng: random.Random) -> None:
    for size in BOUNDARIES + (3 * 1024 * 1024 + 77,):
        write(os.path.join(top, b"random-%d" % size), rng.randbytes(size))
        write(os.path.join(top, b"zeros-%d" % size), bytes(size))
    with open(os.path.join(top, b"sparse"), "wb") as file:
        for offset in (0, 5 * CHUNK + 3, 1024 * 1024, 64 * 1024 * 1024 - 1):
            file.seek(offset)
            file.write(b"data %d" % offset)
        file.truncate(100 * 1024 * 1024)


def make_modes(top: bytes) -> None:
    for mode in (0o0000, 0o0111, 0o0200, 0o0400, 0o0444, 0o0555, 0o0644, 0o0777, 0o1644, 0o2755, 0o4755, 0o6711, 0o7777):
        path = os.path.join(top, b"file-%04o" % mode)
        write(path, b"mode")
        folder = os.path.join(top, b"folder-%04o" % mode)
        os.mkdir(folder)
        write(os.path.join(folder, b"inside"), b"mode")
        os.chmod(path, mode)
        os.chmod(folder, mode)


def make_links(top: bytes) -> None:
    write(os.path.join(top, b"one"), b"the same file three times")
    os.mkdir(os.path.join(top, b"deeper"))
    os.link(os.path.join(top, b"one"), os.path.join(top, b"two"))
    os.link(os.path.join(top, b"one"), os.path.join(top, b"deeper", b"three"))
    for name, target in ((b"absolute", b"/etc/hostname"), (b"dangling", b"no/such/file"), (b"parent", b"../.."),
                         (b"long", b"l/" * 2000 + b"end"), (b"itself", b"itself"), (b"bytes", b"\xff\xfe\n")):
        os.symlink(target, os.path.join(top, name))
    os.link(os.path.join(top, b"dangling"), os.path.join(top, b"dangling-twice"), follow_symlinks=False)


def make_specials(top: bytes) -> None:
    os.mkfifo(os.path.join(top, b"fifo"), 0o640)
    server = socket.socket(socket.AF_UNIX)
    back = os.getcwd()
    os.chdir(top)  # a socket's path has at most 107 bytes
    server.bind("socket")
    os.chdir(back)
    server.close()
    if os.geteuid() == 0:
        os.mknod(os.path.join(top, b"null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(os.path.join(top, b"block"), stat.S_IFBLK | 0o600, os.makedev(259, 65537))
        os.link(os.path.join(top, b"null"), os.path.join(top, b"null-twice"))


def make_times(top: bytes) -> None:
    stamps = {
        b"epoch": 0, b"nanosecond": 1_234_567_890_123_456_789, b"before-1970": -86_400_123_456_789, b"after-2038": 2**31 * 10**9 + 1,
        b"late": 7_000_000_000_999_999_999,
    }
    for name, stamp in stamps.items():
        for path in (os.path.join(top, name), os.path.join(top, name + b"-folder")):
            if path.endswith(b"-folder"):
                os.mkdir(path)
            else:
                write(path, name)
            os.utime(path, ns=(stamp, stamp))
        link = os.path.join(top, name + b"-link")
        os.symlink(name, link)
        os.utime(link, ns=(stamp, stamp), follow_symlinks=False)


def make_xattrs(top: bytes, rng: random.Random) -> None:
    path = os.path.join(top, b"file")
    folder = os.path.join(top, b"folder")
    write(path, b"xattrs")
    os.mkdir(folder)
    for target in (path, folder):
        os.setxattr(target, b"user.empty", b"")
        os.setxattr(target, b"user.some attribute name", b"some attribute value that is secret")
        os.setxattr(target, "user.größe".encode(), rng.randbytes(1000))
        if os.geteuid() == 0:
            os.setxattr(target, b"trusted.coffer-test", b"trusted value here")
    if os.geteuid() == 0:
        # cap_net_raw+ep, revision 2: cp -a and rsync -X carry it.
        os.setxattr(path, b"security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))


def make_acls(top: bytes) -> None:
    path = os.path.join(top, b"file")
    folder = os.path.join(top, b"folder")
    write(path, b"acl")
    os.mkdir(folder)
    subprocess.run(["setfacl", "-m", "u:1:rw,g:2:r,m::rw", path], check=True)
    subprocess.run(["setfacl", "-m", "u:1:rwx", "-d", "-m", "u:1:rwx,g:2:rx", folder], check=True)
    write(os.path.join(folder, b"inherits"), b"acl")
    os.mkdir(os.path.join(folder, b"inherits-too"))


def make_owners(top: bytes) -> None:
    for uid, gid in ((1, 1), (1000, 100), (65534, 65534), (4_000_000_000, 4_000_000_001)):
        path = os.path.join(top, b"owned-%d-%d" % (uid, gid))
        write(path, b"owner")
        os.chown(path, uid, gid)
        os.symlink(b"owner", path + b"-link")
        os.lchown(path + b"-link", uid, gid)


def make_crowd(top: bytes, rng: random.Random, count: int) -> None:
    """Many ordinary files, a few levels deep."""
    words = "annual budget contract draft family holiday invoice letter meeting notes photo report summary travel".split()
    for number in range(count):
        folder = os.path.join(top, rng.choice(words).encode(), rng.choice(words).encode())
        os.makedirs(folder, exist_ok=True)
        name = f"{rng.choice(words)} {rng.choice(words)} {number}.txt".encode()
        text = " ".join(rng.choice(words) for _ in range(rng.randrange(1, 400))).encode()
        path = os.path.join(folder, name)
        write(path, text)
        os.chmod(path, rng.choice((0o600, 0o640, 0o644, 0o755)))
        stamp = rng.randrange(10**18, 17 * 10**17)
        os.utime(path, ns=(stamp, stamp))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=300)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    os.umask(0o022)
    top = os.fsencode(options.folder)
    os.makedirs(top, exist_ok=True)
    parts = {
        b"names": lambda p: make_names(p, rng), b"sizes": lambda p: make_sizes(p, rng), b"modes": make_modes, b"links": make_links,
        b"specials": make_specials, b"times": make_times, b"xattrs": lambda p: make_xattrs(p, rng), b"acls": make_acls,
        b"crowd": lambda p: make_crowd(p, rng, options.files),
    }
    if os.geteuid() == 0:
        parts[b"owners"] = make_owners
    for name, make in parts.items():
        part = os.path.join(top, name)
        os.mkdir(part)
        make(part)


if __name__ == "__main__":
    main()
