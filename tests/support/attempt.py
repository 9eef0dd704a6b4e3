#!/usr/bin/env python3
"""One thing that a program does with a file, and what it is told. For tests of disks that are full, broken or gone.

    attempt.py create PATH SIZE SEED [sync]            a new file
    attempt.py append PATH SIZE SEED [sync]
    attempt.py overwrite PATH OFFSET SIZE SEED [sync]  in place
    attempt.py rewrite PATH SIZE SEED [sync]           O_TRUNC
    attempt.py replace PATH SIZE SEED                  a new file beside it, fsync, renamed over it
    attempt.py map PATH OFFSET SIZE SEED               through a shared mapping, with msync
    attempt.py allocate PATH SIZE                      fallocate
    attempt.py mkdir|unlink|read PATH
    attempt.py rename FROM TO
    attempt.py symlink TARGET PATH
    attempt.py setxattr PATH NAME SIZE
    attempt.py many FOLDER COUNT                       as many files open at once; prints how many could be
    attempt.py holds PATH SIZE:SEED...                 whether that is its content, piece after piece

Prints `ok`, or the call that failed and its errno, such as `fsync ENOSPC`. The exit code is 0 in either case.
"""

from __future__ import annotations

import errno
import mmap
import os
import random
import sys
from collections.abc import Callable


class Failed(Exception):
    """A system call failed: which, and how."""


def call(name: str, function: Callable, *arguments):
    try:
        return function(*arguments)
    except OSError as error:
        raise Failed(f"{name} {errno.errorcode.get(error.errno, error.errno)}") from None


def content(size: int, seed: str) -> bytes:
    return random.Random(seed).randbytes(size)


def write_all(fd: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = call("write", os.pwrite, fd, rest[: 1 << 17], offset)
        rest, offset = rest[written:], offset + written


def put(path: str, flags: int, offset: int | None, data: bytes, sync: bool) -> None:
    """Writes; offset None is the end. Goes on to close(2) whatever happens, as programs do, and tells of the first failure."""
    fd = call("open", os.open, path, flags, 0o644)
    failures = []
    try:
        write_all(fd, data, os.fstat(fd).st_size if offset is None else offset)
        if sync:
            call("fsync", os.fsync, fd)
    except Failed as failed:
        failures.append(failed)
    try:
        call("close", os.close, fd)
    except Failed as failed:
        failures.append(failed)
    if failures:
        raise failures[0]


def replace(path: str, size: int, seed: str) -> None:
    beside = path + ".new"
    try:
        put(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0, content(size, seed), True)
        call("rename", os.rename, beside, path)
    except Failed:
        if os.path.lexists(beside):
            os.unlink(beside)
        raise


def store_mapped(path: str, offset: int, data: bytes) -> None:
    fd = call("open", os.open, path, os.O_RDWR)
    try:
        with call("mmap", mmap.mmap, fd, 0) as memory:
            memory[offset : offset + len(data)] = data
            call("msync", memory.flush)
    finally:
        call("close", os.close, fd)


def allocate(path: str, size: int) -> None:
    fd = call("open", os.open, path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        call("fallocate", os.posix_fallocate, fd, 0, size)
    finally:
        call("close", os.close, fd)


def read(path: str) -> bytes:
    fd = call("open", os.open, path, os.O_RDONLY)
    parts = []
    try:
        while part := call("read", os.read, fd, 1 << 20):
            parts.append(part)
    finally:
        os.close(fd)
    return b"".join(parts)


def holds(path: str, pieces: list[str]) -> None:
    wanted = b"".join(content(int(size), seed) for size, seed in (piece.split(":") for piece in pieces))
    seen = read(path)
    if seen != wanted:
        same = next((i for i, (a, b) in enumerate(zip(seen, wanted)) if a != b), min(len(seen), len(wanted)))
        raise Failed(f"differs: {len(seen)} bytes of {len(wanted)}, the first {same} are right")


def many(folder: str, count: int) -> None:
    open_files: list[int] = []
    try:
        for number in range(count):
            fd = call("open", os.open, f"{folder}/many-{number}", os.O_RDWR | os.O_CREAT, 0o644)
            open_files.append(fd)
            call("write", os.write, fd, b"%d" % number)
    except Failed as failed:
        raise Failed(f"{failed} after {len(open_files)}") from None
    finally:
        for fd in open_files:
            call("close", os.close, fd)


def attempt(verb: str, arguments: list[str]) -> None:
    sync = arguments[-1] == "sync"
    if sync:
        arguments = arguments[:-1]
    match verb, arguments:
        case "create", [path, size, seed]:
            put(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0, content(int(size), seed), sync)
        case "append", [path, size, seed]:
            put(path, os.O_WRONLY, None, content(int(size), seed), sync)
        case "overwrite", [path, offset, size, seed]:
            put(path, os.O_WRONLY, int(offset), content(int(size), seed), sync)
        case "rewrite", [path, size, seed]:
            put(path, os.O_WRONLY | os.O_TRUNC, 0, content(int(size), seed), sync)
        case "replace", [path, size, seed]:
            replace(path, int(size), seed)
        case "map", [path, offset, size, seed]:
            store_mapped(path, int(offset), content(int(size), seed))
        case "allocate", [path, size]:
            allocate(path, int(size))
        case "mkdir", [path]:
            call("mkdir", os.mkdir, path)
        case "unlink", [path]:
            call("unlink", os.unlink, path)
        case "read", [path]:
            read(path)
        case "rename", [old, new]:
            call("rename", os.rename, old, new)
        case "symlink", [target, path]:
            call("symlink", os.symlink, target, path)
        case "setxattr", [path, name, size]:
            call("setxattr", os.setxattr, path, name, content(int(size), name))
        case "many", [folder, count]:
            many(folder, int(count))
        case "holds", [path, *pieces]:
            holds(path, pieces)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        attempt(sys.argv[1], sys.argv[2:])
        print("ok")
    except Failed as failed:
        print(failed)
