#!/usr/bin/env python3
"""Renames folders of a vault under a running daemon while programs use the mount: nothing outside the vault may change.

    rename_attack.py VAULT MOUNT OUTSIDE BAIT SECONDS

MOUNT holds the folders d0, d1, ... For each of them its folder in VAULT is moved to OUTSIDE and back, or exchanged with a
symbolic link to BAIT and back, or with another one. Exit code 1: something was made in a folder while it was in OUTSIDE, or a
program that uses the mount hangs. That BAIT stays as it was is for the caller to see.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import random
import sys
import time

AT_FDCWD = -100
RENAME_EXCHANGE = 2
libc = ctypes.CDLL(None, use_errno=True)


def exchange(one: str, other: str) -> None:
    if libc.renameat2(AT_FDCWD, one.encode(), AT_FDCWD, other.encode(), RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), one)


def use(mount: str, folders: list[str], seed: int, until: float) -> None:
    """What programs do, with whatever errors they get; also through a folder that they keep open."""
    choose = random.Random(seed)
    held: dict[str, int] = {}
    number = 0
    while time.monotonic() < until:
        number += 1
        folder = choose.choice(folders)
        name = f"{seed}-{number % 50}"
        try:
            if folder not in held:
                held[folder] = os.open(f"{mount}/{folder}", os.O_RDONLY | os.O_DIRECTORY)
            at = held[folder]
            action = choose.randrange(6)
            if action < 3:
                file = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=at)
                try:
                    os.write(file, os.urandom(choose.choice((10, 20_000))))
                finally:
                    os.close(file)
            elif action == 3:
                os.mkdir(f"{name}.d", dir_fd=at)
            elif action == 4:
                os.rename(name, f"{name}.renamed", src_dir_fd=at, dst_dir_fd=at)
            else:
                os.chmod(name, 0o600, dir_fd=at)
        except OSError:
            if folder in held and choose.randrange(4) == 0:
                os.close(held.pop(folder))


def attack_once(vault: str, outside: str, below: list[str], choose: random.Random) -> list[str]:
    entry = choose.choice(below)
    place = f"{vault}/{entry}"
    way = choose.randrange(3)
    if way == 0:
        away = f"{outside}/moved"
        os.rename(place, away)
        time.sleep(0.003)  # what was on its way
        before = set(os.listdir(away))
        time.sleep(choose.choice((0.01, 0.2)))
        grown = set(os.listdir(away)) - before
        os.rename(away, place)
        return [f"made in a folder outside the vault: {name}" for name in grown]
    other = f"{outside}/link" if way == 1 else f"{vault}/{choose.choice(below)}"
    if other == place:
        return []
    exchange(place, other)
    time.sleep(choose.choice((0.001, 0.05)))
    exchange(place, other)
    return []


def main(vault: str, mount: str, outside: str, bait: str, seconds: str) -> int:
    folders = sorted(name for name in os.listdir(mount) if name.startswith("d"))
    by_inode = {entry.inode(): entry.name for entry in os.scandir(vault)}
    below = [by_inode[os.stat(f"{mount}/{folder}").st_ino] for folder in folders]
    os.symlink(bait, f"{outside}/link")
    until = time.monotonic() + float(seconds)
    programs = [multiprocessing.Process(target=use, args=(mount, folders, seed, until), daemon=True) for seed in range(4)]
    for program in programs:
        program.start()
    choose = random.Random(1)
    found: list[str] = []
    rounds = 0
    while time.monotonic() < until:
        found += attack_once(vault, outside, below, choose)
        rounds += 1
    for program in programs:
        program.join(30)
        if program.is_alive():
            found.append(f"a program that uses the mount hangs: process {program.pid}")
    os.unlink(f"{outside}/link")
    for line in found[:20]:
        print(line)
    print(f"{rounds} rounds of renames, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
