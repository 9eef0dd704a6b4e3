#!/usr/bin/env python3
"""What tamper_test.sh does with files, in steps, since a mount and a lock lie between them.

    tamper.py write MOUNT 1|2        makes the files (1), overwrites them in place (2)
    tamper.py map VAULT MAP          notes which ciphertext file is whose (by the unique mtime that `write` set)
    tamper.py damage VAULT OLD MAP   does to each what its name says; OLD is a copy of the vault from before step 2
    tamper.py check MOUNT MAP LOG    reads all through a fresh mount: EIO, no wrong byte, one line in the log each

The layout is docs/FORMAT.md's: a header of 512 bytes, then records of nonce, ciphertext, tag and 8 bytes of XXH3.
"""

from __future__ import annotations

import errno
import json
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HEADER = 512
CHUNK = 16384
OVERHEAD = {"aes-256-gcm": 12 + 16 + 8, "xchacha20-poly1305": 24 + 16 + 8}
BIG = 5 * CHUNK + 100  # six records, the last short
SMALL = 700  # one record
MTIME_BASE = 1_500_000_000  # file i has this mtime plus i seconds


@dataclass
class Vault:
    """The bytes that a damage may draw on."""

    record: int  # length of a full record
    now: bytes
    old: bytes  # as it was before the overwrite
    other: bytes  # another file of the same length

    def at(self, chunk: int) -> int:
        return HEADER + chunk * self.record

    def part(self, content: bytes, chunk: int) -> bytes:
        return content[self.at(chunk) : self.at(chunk + 1)]

    def put(self, offset: int, piece: bytes) -> bytes:
        return self.now[:offset] + piece + self.now[offset + len(piece) :]

    def flip(self, offset: int) -> bytes:
        return self.put(offset, bytes([self.now[offset] ^ 0x10]))


@dataclass
class Case:
    damage: Callable[[Vault], bytes]
    size: int = BIG
    chunk: int | None = None  # that the log has to name
    # "eio": reading must fail. "eio or right": the damage is in bytes that no plaintext depends on.
    outcome: str = "eio"


def cases() -> dict[str, Case]:
    found: dict[str, Case] = {
        "truncated-in-record": Case(lambda v: v.now[: v.at(3) + 777]),
        "truncated-by-a-record": Case(lambda v: v.now[: v.at(5)]),
        "truncated-by-a-byte": Case(lambda v: v.now[:-1]),
        "truncated-to-header": Case(lambda v: v.now[:HEADER]),
        "truncated-in-header": Case(lambda v: v.now[:300]),
        "zero-length": Case(lambda v: b""),
        "zero-length-small": Case(lambda v: b"", size=SMALL),
        "all-zero": Case(lambda v: bytes(len(v.now))),
        "records-zero": Case(lambda v: v.now[:HEADER] + bytes(len(v.now) - HEADER)),
        "extended-by-a-byte": Case(lambda v: v.now + b"\0"),
        "extended-by-a-record": Case(lambda v: v.now + bytes(v.record)),
        "swapped-chunks-within": Case(lambda v: v.put(v.at(1), v.part(v.now, 2) + v.part(v.now, 1)), chunk=1),
        "chunk-of-another-file": Case(lambda v: v.put(v.at(2), v.part(v.other, 2)), chunk=2),
        "doubled-chunk": Case(lambda v: v.put(v.at(4), v.part(v.now, 3)), chunk=4),
        "inserted-chunk": Case(lambda v: v.now[: v.at(3)] + v.part(v.now, 2) + v.now[v.at(3) :]),
        "removed-chunk": Case(lambda v: v.now[: v.at(2)] + v.now[v.at(3) :]),
        "zeroed-chunk": Case(lambda v: v.put(v.at(1), bytes(v.record))),
        "zeroed-last-chunk": Case(lambda v: v.put(v.at(5), bytes(len(v.now) - v.at(5)))),
        "zeroed-only-chunk": Case(lambda v: v.put(HEADER, bytes(len(v.now) - HEADER)), size=SMALL),
        "old-chunk": Case(lambda v: v.put(v.at(3), v.part(v.old, 3))),
        "old-records": Case(lambda v: v.now[:HEADER] + v.old[HEADER:]),
        "old-header": Case(lambda v: v.old[:HEADER] + v.now[HEADER:]),
        "header-of-another-file": Case(lambda v: v.other[:HEADER] + v.now[HEADER:]),
        "zeroed-header": Case(lambda v: bytes(HEADER) + v.now[HEADER:]),
        "header-twice": Case(lambda v: v.now[:HEADER] + v.now),
    }
    regions = {"nonce": 3, "text": 1000, "text-end": -26, "tag": -20}
    for chunk in (0, 4):
        for name, at in regions.items():
            def flip(v: Vault, chunk: int = chunk, at: int = at) -> bytes:
                return v.flip(v.at(chunk) + at if at >= 0 else v.at(chunk + 1) + at)

            found[f"flipped-{name}-of-chunk-{chunk}"] = Case(flip, chunk=chunk)
    found["flipped-tag-of-last-chunk"] = Case(lambda v: v.flip(len(v.now) - 10), chunk=5)
    found["flipped-text-of-only-chunk"] = Case(lambda v: v.flip(HEADER + 100), size=SMALL, chunk=0)
    # The record's XXH3 is for checks without a key: it authenticates nothing.
    found["flipped-xxh-of-chunk-2"] = Case(lambda v: v.flip(v.at(3) - 4), outcome="eio or right")
    header = {"magic": 1, "format": 8, "suite": 10, "chunk-size": 11, "name-max": 12, "flags": 14, "vault-id": 20, "file-id": 40,
              "epoch": 48, "reserved": 53, "length": 57, "keyless-sum": 66, "nonce": 80, "size": 97, "content-sum": 110,
              "name": 300, "tag": 490}
    for name, offset in header.items():
        found[f"flipped-header-{name}"] = Case(lambda v, offset=offset: v.flip(offset))
    found["flipped-header-xxh"] = Case(lambda v: v.flip(506), outcome="eio or right")
    return found


def content(name: str, size: int, version: int) -> bytes:
    """Bytes that occur nowhere else: a wrong byte cannot be right by accident."""
    return random.Random(f"{name} {version}").randbytes(size)


def files() -> dict[str, int]:
    """Every file, with its size; beside each case an untouched one of the same size to take bytes from."""
    sizes = {name: case.size for name, case in cases().items()}
    sizes["other-big"] = BIG
    sizes["other-small"] = SMALL
    sizes["untouched"] = BIG
    return sizes


def write(mount: Path, version: int) -> None:
    for index, (name, size) in enumerate(files().items()):
        path = mount / name
        with open(path, "wb" if version == 1 else "r+b") as file:
            file.write(content(name, size, version))
        os.utime(path, (MTIME_BASE + index,) * 2)


def make_map(vault: Path, map_file: Path) -> None:
    names = list(files())
    found: dict[str, str] = {}
    for folder, _, entries in os.walk(vault):
        for entry in entries:
            path = Path(folder, entry)
            index = int(path.stat().st_mtime) - MTIME_BASE
            if 0 <= index < len(names):
                found[names[index]] = str(path.relative_to(vault))
    missing = set(names) - set(found)
    if missing:
        sys.exit(f"no ciphertext file found for {sorted(missing)[:5]}: are times those of the ciphertext files?")
    map_file.write_text(json.dumps(found))


def damage(vault: Path, old: Path, map_file: Path) -> None:
    where = json.loads(map_file.read_text())
    suite = json.loads((vault / "coffer.json").read_bytes())["suite"]
    record = CHUNK + OVERHEAD[suite]
    whole = {name: (vault / where[name]).read_bytes() for name in where}
    for name, case in cases().items():
        before = whole[name]
        expected = HEADER + case.size // CHUNK * record + (case.size % CHUNK + OVERHEAD[suite] if case.size % CHUNK else 0)
        if len(before) != expected:
            sys.exit(f"{name}: the ciphertext has {len(before)} bytes, FORMAT.md says {expected}")
        after = case.damage(
            Vault(record, before, (old / where[name]).read_bytes(), whole["other-big" if case.size == BIG else "other-small"])
        )
        if after == before:
            sys.exit(f"{name}: this damage changes nothing")
        path = vault / where[name]
        times = path.stat()
        with open(path, "r+b") as file:  # the same inode: what a program sees that remembers it
            file.truncate(0)
            file.write(after)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def read_until_error(path: Path) -> tuple[bytes, int | None]:
    """What sequential reads give, and the errno that ended them."""
    got = b""
    try:
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(4096):
                got += piece
    except OSError as error:
        return got, error.errno
    return got, None


def wrong_anywhere(path: Path, wanted: bytes) -> str | None:
    """Reads each 4 KiB on its own, from the end: every one is right or EIO."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        return None if error.errno == errno.EIO else f"open gives {os.strerror(error.errno or 0)}"
    try:
        for offset in reversed(range(0, len(wanted) + 2 * CHUNK, 4096)):
            try:
                piece = os.pread(fd, 4096, offset)
            except OSError as error:
                if error.errno != errno.EIO:
                    return f"pread at {offset} gives {os.strerror(error.errno or 0)}"
                continue
            if piece != wanted[offset : offset + len(piece)]:
                return f"wrong plaintext at {offset}"
    finally:
        os.close(fd)
    return None


def check_case(path: Path, case: Case) -> list[str]:
    wanted = content(path.name, case.size, 2)
    got, error = read_until_error(path)
    problems = []
    if got != wanted[: len(got)]:
        first = next(i for i, (a, b) in enumerate(zip(got, wanted + bytes(len(got)))) if a != b) if got[: len(wanted)] != wanted else len(wanted)
        problems.append(f"served wrong plaintext from byte {first}")
    if error is None and not (case.outcome == "eio or right" and got == wanted):
        problems.append(f"reading gave {len(got)} bytes and no error")
    if error is not None and error != errno.EIO:
        problems.append(f"reading gave {os.strerror(error)}")
    return problems


def check(mount: Path, map_file: Path, log: Path) -> None:
    where = json.loads(map_file.read_text())
    problems: list[str] = []
    for name in ("untouched", "other-big", "other-small"):
        got, error = read_until_error(mount / name)
        if error is not None or got != content(name, files()[name], 2):
            problems.append(f"{name}: an undamaged file does not read: {os.strerror(error or 0)}")
    for name, case in cases().items():
        seen = len(log.read_bytes())
        found = check_case(mount / name, case)
        lines = [line for line in log.read_bytes()[seen:].decode(errors="replace").splitlines() if Path(where[name]).name in line]
        if case.outcome == "eio" and len(lines) != 1:
            found.append(f"{len(lines)} lines in the log name {where[name]}, not 1" + "".join(f"\n      {line}" for line in lines[:4]))
        elif case.chunk is not None and not any(f"chunk {case.chunk}" in line for line in lines):
            found.append(f"the log does not name chunk {case.chunk}: {lines[0]}")
        if name in log.read_text(errors="replace"):
            found.append("the log names the plaintext file")
        wrong = wrong_anywhere(mount / name, content(name, case.size, 2))
        if wrong:
            found.append(wrong)
        problems += [f"{name}: {problem}" for problem in found]
    if problems:
        sys.exit("\n".join([f"{len(problems)} problems in {len(cases())} cases", *problems]))
    print(f"{len(cases())} kinds of damage, each noticed")


def main() -> None:
    match sys.argv[1:]:
        case ["write", mount, version]:
            write(Path(mount), int(version))
        case ["map", vault, map_file]:
            make_map(Path(vault), Path(map_file))
        case ["damage", vault, old, map_file]:
            damage(Path(vault), Path(old), Path(map_file))
        case ["check", mount, map_file, log]:
            check(Path(mount), Path(map_file), Path(log))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
