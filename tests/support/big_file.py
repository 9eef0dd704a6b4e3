#!/usr/bin/env python3
"""Big files whose content is known without keeping a copy.

    big_file.py write|check PATH MIB        each block of 4 KiB holds its own number, over and over
    big_file.py sparse|check-sparse PATH    1 TiB with three bytes in it
"""

from __future__ import annotations

import os
import sys

BLOCK = 4096
MIB = 1024 * 1024
SPARSE_SIZE = 1 << 40
SPARSE_BYTES = {0: b"a", (1 << 39) + 12345: b"b", SPARSE_SIZE - 1: b"c"}


def mebibyte(number: int) -> bytes:
    first = number * (MIB // BLOCK)
    return b"".join((first + block).to_bytes(8, "little") * (BLOCK // 8) for block in range(MIB // BLOCK))


def write(path: str, mib: int) -> None:
    with open(path, "wb", buffering=0) as file:
        for number in range(mib):
            if file.write(mebibyte(number)) != MIB:
                sys.exit(f"{path}: a short write at MiB {number}")


def check(path: str, mib: int) -> None:
    with open(path, "rb", buffering=0) as file:
        for number in range(mib):
            if file.read(MIB) != mebibyte(number):
                sys.exit(f"{path}: MiB {number} differs")
        if file.read(1):
            sys.exit(f"{path}: more than {mib} MiB")


def make_sparse(path: str) -> None:
    with open(path, "wb", buffering=0) as file:
        for offset, byte in SPARSE_BYTES.items():
            os.pwrite(file.fileno(), byte, offset)


def check_sparse(path: str) -> None:
    """Looks at the three bytes, and that what lies around each, and everything that is called data, is zero otherwise."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size != SPARSE_SIZE:
            sys.exit(f"{path}: {size} bytes, not {SPARSE_SIZE}")
        data_seen = 0
        at = 0
        while at < size:
            try:
                data = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # no more data
                break
            hole = os.lseek(file.fileno(), data, os.SEEK_HOLE)
            data_seen += hole - data
            if data_seen > 64 * MIB:
                sys.exit(f"{path}: more than 64 MiB of it are data: no longer sparse")
            content = bytearray(os.pread(file.fileno(), hole - data, data))
            for offset, byte in SPARSE_BYTES.items():
                if data <= offset < hole:
                    if content[offset - data : offset - data + 1] != byte:
                        sys.exit(f"{path}: byte {offset} is {content[offset - data]:#x}")
                    content[offset - data] = 0
            if any(content):
                sys.exit(f"{path}: something else than zero between {data} and {hole}")
            at = hole
        for offset, byte in SPARSE_BYTES.items():
            begin = max(0, offset - 100_000)
            around = os.pread(file.fileno(), 200_000, begin)
            wanted = bytearray(len(around))
            wanted[offset - begin] = byte[0]
            if around != wanted:
                sys.exit(f"{path}: the bytes around {offset} are wrong")


def main() -> None:
    match sys.argv[1:]:
        case ["write", path, mib]:
            write(path, int(mib))
        case ["check", path, mib]:
            check(path, int(mib))
        case ["sparse", path]:
            make_sparse(path)
        case ["check-sparse", path]:
            check_sparse(path)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
