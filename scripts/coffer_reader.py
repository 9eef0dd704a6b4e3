#!/usr/bin/env python3
"""Reads Coffer vaults, format 0, without Coffer.

Written from docs/FORMAT.md alone ("section N" below is a section of it); it shares no code with the program.
It only reads. Python 3.9 or newer; `pip install cryptography argon2-cffi xxhash` brings all it can use:
`cryptography` is needed always, one of cryptography >= 44, argon2-cffi or PyNaCl to open with a password, and
xxhash only for the sums anybody can check without a key (`verify --keyless`).

    coffer_reader.py ls VAULT -R                  what is in there
    coffer_reader.py extract VAULT NEW_FOLDER     get everything out
    coffer_reader.py verify VAULT                 is all of it whole and ours
"""
from __future__ import annotations

import argparse
import base64
import contextlib
import errno
import getpass
import hashlib
import hmac
import io
import json
import os
import re
import stat
import struct
import sys
import time
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Dict, Iterator, List, NoReturn, Optional, Set, Tuple

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
    from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
except ImportError:
    sys.exit("coffer_reader: the Python package 'cryptography' is missing; try: pip install cryptography")
try:
    import xxhash
except ImportError:
    xxhash = None  # keyed checks need no record sums

EXIT_CODES = """exit codes:
  0   all well (foreign files do not count)
  1   the system refused something (see the message)
  2   wrong usage
  3   no key, or not the key of this vault
  4   no vault there, or coffer.json refused
  5   no such path in the vault
  6   extract: something could not be made in DEST
  10  the worst found is a moved file or a conflict copy
  11  the worst found is incomplete (unfinished write, or half a download)
  12  the worst found is damaged (an accident: bad disk, bad transfer)
  13  the worst found is tampered with (no accident makes this)
"""
EXIT_SYSTEM, EXIT_USAGE, EXIT_KEY, EXIT_VAULT, EXIT_PATH, EXIT_DEST = 1, 2, 3, 4, 5, 6
OK, FOREIGN, CONFLICT, MOVED = "ok", "foreign", "conflict copy", "moved"
INCOMPLETE, DAMAGED, TAMPERED = "incomplete", "damaged", "tampered"
STATES = [OK, FOREIGN, CONFLICT, MOVED, INCOMPLETE, DAMAGED, TAMPERED]  # the worst is last
EXIT_OF_STATE = {OK: 0, FOREIGN: 0, CONFLICT: 10, MOVED: 10, INCOMPLETE: 11, DAMAGED: 12, TAMPERED: 13}

MAGIC = bytes.fromhex("c7434f46460d0a1a")
HEADER_SIZE = 512
SUITES = {1: ("aes-256-gcm", 12), 2: ("xchacha20-poly1305", 24)}  # number: name, nonce size (section 2)
REGULAR, SYMLINK, SPECIAL = 0, 1, 2
KIND_OF_SUFFIX = {"": REGULAR, "8": SYMLINK, "9": SPECIAL}
SUFFIX_OF_KIND = {kind: suffix for suffix, kind in KIND_OF_SUFFIX.items()}
CONFIG_MAX = 1 << 20
SIDE_FILE_MAX = 435  # base32 of 16 + 255 bytes, and a suffix
SYMLINK_MAX = 4095
DEPTH_MAX = 200      # folders within folders; more is a loop or malice
TOP_FILES = ("coffer.json", "coffer-copy.json", "README.txt")


class Failure(Exception):
    """Ends the command: one sentence for a person, and an exit code."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Bad(Exception):
    """One file, name or attribute is not what it should be; `state` says in which way."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state = state


class OfAnotherVault(Bad):
    """A good enough header with another vault's id: foreign, unless it lies under a name of ours."""

    def __init__(self, message: str) -> None:
        super().__init__(TAMPERED, message)


def worst(*states: str) -> str:
    return max(states, key=STATES.index)


# ------------------------------------------------------------------------------------------------ primitives


def b2b(size: int, key: Optional[bytes], message: bytes) -> bytes:
    """BLAKE2b, keyed or not."""
    return hashlib.blake2b(message, digest_size=size, key=key or b"").digest()


def base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def unbase32(text: str) -> Optional[bytes]:
    """The bytes, or None if `text` is not exactly what base32() gives for any bytes."""
    try:
        data = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except ValueError:
        return None
    return data if base32(data) == text else None


def xxh3(data: bytes, seed: int = 0) -> int:
    return xxhash.xxh3_64_intdigest(data, seed=seed)


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """HChaCha20 (draft-irtf-cfrg-xchacha, section 2.2): 32-byte key, 16-byte nonce, 32-byte subkey."""
    s = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def quarter_round(a: int, b: int, c: int, d: int) -> None:
        for x, y, z, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xFFFFFFFF
            mixed = s[z] ^ s[x]
            s[z] = ((mixed << bits) | (mixed >> (32 - bits))) & 0xFFFFFFFF

    for _ in range(10):
        quarter_round(0, 4, 8, 12)
        quarter_round(1, 5, 9, 13)
        quarter_round(2, 6, 10, 14)
        quarter_round(3, 7, 11, 15)
        quarter_round(0, 5, 10, 15)
        quarter_round(1, 6, 11, 12)
        quarter_round(2, 7, 8, 13)
        quarter_round(3, 4, 9, 14)
    return struct.pack("<8I", *s[0:4], *s[12:16])


def xchacha20(key: bytes, nonce: bytes, data: bytes) -> bytes:
    """The XChaCha20 stream from counter 0, XORed with `data`."""
    counter_and_nonce = bytes(8) + nonce[16:]  # u32 counter 0, then the 12-byte nonce 0000 || nonce[16:24]
    return Cipher(ChaCha20(hchacha20(key, nonce[:16]), counter_and_nonce), mode=None).encryptor().update(data)


def xchacha20_open(key: bytes, nonce: bytes, sealed: bytes, ad: bytes) -> Optional[bytes]:
    """XChaCha20-Poly1305; None if it does not authenticate."""
    try:
        return ChaCha20Poly1305(hchacha20(key, nonce[:16])).decrypt(bytes(4) + nonce[16:], sealed, ad)
    except InvalidTag:
        return None


def argon2id(password: bytes, salt: bytes, passes: int, memory_kib: int) -> bytes:
    """Argon2id 1.3, one lane, 32 bytes, from whichever package is there."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
        with contextlib.suppress(UnsupportedAlgorithm):
            return Argon2id(salt=salt, length=32, iterations=passes, lanes=1, memory_cost=memory_kib).derive(password)
    except ImportError:
        pass
    try:
        from argon2.low_level import Type, hash_secret_raw
        return hash_secret_raw(password, salt, passes, memory_kib, 1, 32, Type.ID, 0x13)
    except ImportError:
        pass
    try:
        from nacl.pwhash import argon2id as sodium
        return sodium.kdf(32, password, salt, opslimit=passes, memlimit=memory_kib * 1024)
    except ImportError:
        raise Failure(EXIT_KEY, "opening with a password needs Argon2id; try: pip install argon2-cffi") from None


# ------------------------------------------------------------------------------------------------------ keys


class Keys:
    """All that comes from the vault key (section 2), and what is done with names (sections 5 and 6)."""

    def __init__(self, vault_key: bytes) -> None:
        def subkey(context: bytes) -> bytes:
            return b2b(32, vault_key, context)

        self.siv = subkey(b"coffer names siv")
        self.stream = subkey(b"coffer names stream")
        self.dir = subkey(b"coffer directory ids")
        self.file = subkey(b"coffer files")
        self.xname = subkey(b"coffer xattr names")
        self.xvalue = subkey(b"coffer xattr values")
        self.config = subkey(b"coffer config")

    def of_file(self, label: bytes, suite: int, file_id: bytes) -> bytes:
        return b2b(32, self.file, label + bytes([suite]) + file_id)

    def root_id(self) -> bytes:
        return b2b(16, self.dir, b"root")

    def derived_id(self, parent_id: bytes, cipher_name: str) -> bytes:
        return b2b(16, self.dir, parent_id + cipher_name.encode("ascii"))

    def encrypt_name(self, name: bytes, kind: int, directory_id: bytes) -> str:
        """The ciphertext name, suffix included (section 5.1)."""
        siv = b2b(16, self.siv, bytes([1, kind]) + directory_id + name)
        return base32(siv + xchacha20(self.stream, siv + bytes(8), name)) + SUFFIX_OF_KIND[kind]

    def decrypt_name(self, cipher_name: str, ids: List[bytes]) -> Optional[Tuple[bytes, bytes]]:
        """The plaintext name and the one of `ids` it authenticates under, or None (section 5.1)."""
        body = cipher_name.rstrip("89")
        kind = KIND_OF_SUFFIX.get(cipher_name[len(body):])
        cipher = unbase32(body)
        if kind is None or cipher is None or len(cipher) <= 16:
            return None
        siv = cipher[:16]
        name = xchacha20(self.stream, siv + bytes(8), cipher[16:])
        for directory_id in ids:
            if hmac.compare_digest(siv, b2b(16, self.siv, bytes([1, kind]) + directory_id + name)):
                return name, directory_id
        return None

    def open_pin(self, text: str) -> Optional[Pin]:
        """The pin whose name says `text`, or None if it is none of ours (section 6)."""
        pin = unbase32(text)
        if pin is None or len(pin) != 72:
            return None
        siv = pin[:16]
        plain = xchacha20(self.stream, siv + bytes(8), pin[16:])
        if not hmac.compare_digest(siv, b2b(16, self.siv, bytes([2, 0]) + bytes(16) + plain)):
            return None
        return Pin(plain[0:16], plain[16:32], plain[32:48], struct.unpack("<q", plain[48:])[0])


@dataclass(frozen=True)
class Pin:
    """The id a renamed directory keeps (section 6)."""
    id: bytes
    leaves: bytes
    goes_to: bytes
    nanoseconds: int


def name_is_legal(name: bytes) -> bool:
    """Section 5.1: some names are refused even if they authenticate."""
    return 0 < len(name) <= 255 and name not in (b".", b"..") and b"/" not in name and b"\0" not in name


# ----------------------------------------------------------------------------------------------- coffer.json

CONFIG_KEYS = {"format", "vault_id", "suite", "chunk_size", "name_max", "key_epoch", "generation", "created",
               "features", "slots", "mac"}
SLOT_KEYS = {"id", "type", "label", "created", "salt", "nonce", "wrapped"}
TIME = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)"
                  r"(\.[0-9]{1,9})?Z")
LABEL = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")


@dataclass
class Slot:
    id: int
    type: str
    label: str
    salt: bytes
    nonce: bytes
    wrapped: bytes
    passes: int
    memory_kib: int


class Config:
    """One coffer.json (section 3). Only vault_id and slots may be used before check_mac()."""

    def __init__(self, raw: bytes) -> None:
        """Raises Bad for whatever the format refuses, apart from a wrong mac."""
        self.raw = raw
        if len(raw) > CONFIG_MAX:
            refuse("it is larger than 1 MiB")
        try:
            data = json.loads(raw.decode("utf-8"), object_pairs_hook=unique_keys, parse_int=digits_only,
                              parse_constant=refuse)
        except (ValueError, RecursionError):
            raise Bad(DAMAGED, "it is no JSON") from None
        require(isinstance(data, dict), "it is no JSON object")
        require(is_int(data.get("format"), 0, 1 << 32), "it says no format")
        if data["format"] != 0:
            refuse(f"its format is {data['format']}, this reader knows 0 only; look for a newer one")
        check_keys(data, CONFIG_KEYS, "it")
        tail = re.search(rb'"mac": "([0-9a-f]{64})"\n}\n\Z', raw)
        require(tail is not None and data["mac"] == tail.group(1).decode(), "it does not end in its mac")
        self.mac = tail.group(1)
        self.vault_id = unhex(data["vault_id"], 16, "vault_id")
        require(data["suite"] in ("aes-256-gcm", "xchacha20-poly1305"), "its suite is unknown")
        chunk = data["chunk_size"]
        require(is_int(chunk, 4096, 1048576) and chunk & (chunk - 1) == 0, "its chunk_size is not allowed")
        require(is_int(data["name_max"], 132, 255), "its name_max is not allowed")
        require(is_int(data["key_epoch"], 0, 2**32 - 1), "its key_epoch is not allowed")
        require(is_int(data["generation"], 0, 2**64 - 1), "its generation is not allowed")
        check_time(data["created"])
        require(isinstance(data["features"], list), "its features are no list")
        require(not data["features"], f"it needs features this reader does not know: {data['features']!r}")
        require(isinstance(data["slots"], list) and len(data["slots"]) <= 64, "its slots are not allowed")
        self.suite, self.chunk_size, self.name_max = data["suite"], chunk, data["name_max"]
        self.key_epoch, self.generation, self.created = data["key_epoch"], data["generation"], data["created"]
        self.slots = [parse_slot(slot) for slot in data["slots"]]
        require(len({slot.id for slot in self.slots}) == len(self.slots), "two of its slots have one id")

    def mac_is_right(self, keys: Keys) -> bool:
        zeroed = self.raw[:-68] + b"0" * 64 + self.raw[-4:]
        return hmac.compare_digest(b2b(32, keys.config, zeroed).hex().encode(), self.mac)


def refuse(why: str) -> NoReturn:
    raise Bad(TAMPERED, why)


def require(condition: bool, otherwise: str) -> None:
    if not condition:
        refuse(otherwise)


def is_int(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high  # type(): a JSON true is no number


def digits_only(text: str) -> int:
    require(not text.startswith("-"), "it has a number with a sign")  # -0 would pass for 0
    return int(text)


def check_time(value: Any) -> None:
    require(isinstance(value, str) and TIME.fullmatch(value) is not None, "a time in it is not RFC 3339, UTC, with a Z")


def unhex(value: Any, size: int, what: str) -> bytes:
    if not (isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{2 * size}}}", value)):
        refuse(f"its {what} is not {2 * size} lower-case hexadecimal digits")
    return bytes.fromhex(value)


def unique_keys(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    result = dict(pairs)
    require(len(result) == len(pairs), "a key occurs twice in it")
    return result


def check_keys(data: Dict[str, Any], expected: Set[str], what: str) -> None:
    unknown, missing = sorted(set(data) - expected), sorted(expected - set(data))
    require(not unknown, f"{what} has a key that format 0 does not have: {unknown}")
    require(not missing, f"{what} lacks the key {missing}")


def parse_slot(data: Any) -> Slot:
    require(isinstance(data, dict), "a slot is no JSON object")
    kind = data.get("type")
    require(kind in ("password", "keyfile"), f"a slot has the unknown type {kind!r}")
    is_password = kind == "password"
    check_keys(data, SLOT_KEYS | ({"passes", "memory_kib"} if is_password else set()), "a slot")
    require(is_int(data["id"], 0, 2**32 - 1), "a slot has no id")
    label = data["label"]
    require(isinstance(label, str) and len(label.encode("utf-8", "surrogatepass")) <= 64, "a slot's label is too long")
    require(LABEL.fullmatch(label) is not None, "a slot's label has characters that no label may have")
    check_time(data["created"])
    if is_password:
        require(is_int(data["passes"], 1, 64), "a slot's passes are outside 1 to 64")
        require(is_int(data["memory_kib"], 8192, 4194304), "a slot's memory_kib is outside 8192 to 4194304")
    return Slot(data["id"], kind, label, unhex(data["salt"], 16 if is_password else 32, "salt"),
                unhex(data["nonce"], 24, "nonce"), unhex(data["wrapped"], 48, "wrapped key"),
                data.get("passes", 0), data.get("memory_kib", 0))


def unwrap(slot: Slot, vault_id: bytes, secret: bytes) -> Optional[bytes]:
    """The vault key, or None if `secret` does not open this slot."""
    if slot.type == "password":
        kek = argon2id(secret, slot.salt, slot.passes, slot.memory_kib)
    else:
        kek = b2b(32, slot.salt, b"coffer keyfile" + secret)
    ad = b"coffer slot" + vault_id + slot.type.encode() + b"\0"
    ad += struct.pack("<QQ", slot.passes, slot.memory_kib) + slot.salt
    return xchacha20_open(kek, slot.nonce, slot.wrapped, ad)


# --------------------------------------------------------------------------------------------------- headers


@dataclass
class Header:
    """The 512 bytes a ciphertext file begins with (section 4.1). The second half is empty without a key."""
    suite: int
    chunk_size: int
    vault_id: bytes
    file_id: bytes
    key_epoch: int
    length: int
    keyless_sum: int
    sum_is_wrong: bool
    size: int
    content_sum: int = 0
    version: int = 0
    writer: bytes = b""
    seals: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    rdev: int = 0
    mtime_ns: int = 0
    birth_ns: int = 0
    kind: int = REGULAR
    parent: bytes = b""
    name: bytes = b""

    @property
    def overhead(self) -> int:
        return SUITES[self.suite][1] + 16 + 8


def cipher_size(size: int, chunk: int, overhead: int) -> int:
    """Section 4.2: length of the ciphertext file for a plaintext size."""
    whole, rest = divmod(size, chunk)
    return HEADER_SIZE + whole * (chunk + overhead) + (rest + overhead if rest else 0)


def plain_size(length: int, chunk: int, overhead: int) -> Optional[int]:
    """Section 4.2: the reverse; None for lengths no plaintext has."""
    whole, rest = divmod(length - HEADER_SIZE, chunk + overhead)
    if length < HEADER_SIZE or 0 < rest <= overhead:
        return None
    return whole * chunk + (rest - overhead if rest else 0)


def parse_header(raw: bytes, keys: Optional[Keys], vault_id: Optional[bytes]) -> Header:
    """Checks and decrypts a header; without keys, what can be checked without. Raises Bad."""
    if len(raw) < HEADER_SIZE:
        raise Bad(INCOMPLETE, f"it ends within its header ({len(raw)} of 512 bytes)")
    if raw == bytes(HEADER_SIZE):
        raise Bad(INCOMPLETE, "its header was never written")
    if raw[:8] != MAGIC:
        raise Bad(DAMAGED, "it does not begin like a Coffer file")
    sum_is_wrong = xxhash is not None and xxh3(raw[:504]) != struct.unpack("<Q", raw[504:])[0]
    format_number, suite, chunk_log, name_max, flags, file_vault, file_id, epoch, zero, length, keyless = \
        struct.unpack("<HBBHH16s16sIIQQ", raw[8:72])
    blame = DAMAGED if sum_is_wrong or xxhash is None else TAMPERED

    def check(condition: bool, otherwise: str) -> None:
        if not condition:
            raise Bad(blame, otherwise)

    check(format_number == 0, f"its header says format {format_number}, this reader knows 0 only")
    check(suite in SUITES, f"its header says suite {suite}, which this reader does not know")
    check(12 <= chunk_log <= 20 and 132 <= name_max <= 255 and flags == 0 and zero == 0,
          "its header says what format 0 does not allow")
    chunk, overhead = 1 << chunk_log, SUITES[suite][1] + 24
    size = plain_size(length, chunk, overhead)
    check(size is not None, "its header says a length that no file has")
    if vault_id is not None and file_vault != vault_id and not sum_is_wrong:
        raise OfAnotherVault(f"it belongs to another vault, {file_vault.hex()}")
    header = Header(suite, chunk, file_vault, file_id, epoch, length, keyless, sum_is_wrong, size or 0)
    if keys is None:
        if sum_is_wrong:
            raise Bad(DAMAGED, "the sum of its header is wrong")
        return header

    plain = xchacha20_open(keys.of_file(b"head.", suite, file_id), raw[72:96], raw[96:504], raw[:72])
    if plain is None:
        raise Bad(blame, f"its header does not authenticate (key epoch {epoch})")
    blame = TAMPERED  # from here on only somebody with the key can be the author
    true_size, content_sum, version, writer, seals, mode, uid, gid, rdev, mtime, mtime_ns, birth, birth_ns, \
        kind, name_size, zero, parent, name, rest = struct.unpack("<Q16sQ16sQIIIQqIqIBBH16s255s17s", plain)
    check(true_size == size, "its header says a size and a length that do not fit")
    check(kind in (REGULAR, SYMLINK, SPECIAL), f"its header says the unknown kind {kind}")
    check(zero == 0 and not any(name[name_size:]) and not any(rest), "its header has something where zeros must be")
    check(name_is_legal(name[:name_size]), "its header says a name that is not allowed")
    check(mtime_ns < 10**9 and birth_ns < 10**9, "its header says a time that does not exist")
    header.content_sum = int.from_bytes(content_sum, "little")
    header.version, header.writer, header.seals = version, writer, seals
    header.mode, header.uid, header.gid, header.rdev = mode, uid, gid, rdev
    header.mtime_ns, header.birth_ns = mtime * 10**9 + mtime_ns, birth * 10**9 + birth_ns
    header.kind, header.parent, header.name = kind, parent, name[:name_size]
    type_is_right = {REGULAR: stat.S_ISREG(mode), SYMLINK: stat.S_ISLNK(mode),
                     SPECIAL: stat.S_IFMT(mode) in (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK)}[kind]
    check(type_is_right, "its header says a mode and a kind that do not fit")
    check(kind != SYMLINK or 1 <= true_size <= SYMLINK_MAX, "it is a symbolic link of an impossible length")
    check(kind != SPECIAL or true_size == 0, "it is a special file, but has content")
    return header


# --------------------------------------------------------------------------------------------------- records


@dataclass
class Piece:
    """One record, or a run of records that are holes."""
    index: int
    size: int                     # bytes of plaintext
    data: Optional[bytes] = None  # None: a hole, or a record that must not be served
    fault: str = ""               # why it must not be served

    @property
    def is_hole(self) -> bool:
        return self.data is None and not self.fault


class Records:
    """One pass over the records of a file (sections 4.2 to 4.4); verdict() is there once all were taken.

    Without keys the sums are checked and nothing is decrypted: data is then empty.
    """

    def __init__(self, stream: BinaryIO, header: Header, keys: Optional[Keys]) -> None:
        self.stream = stream
        self.header = header
        self.keyed = keys is not None
        if keys is not None:
            self.csum_key = keys.of_file(b"csum.", header.suite, header.file_id)
            self.chunk_key = keys.of_file(b"chunk", header.suite, header.file_id)
            self.aes = AESGCM(self.chunk_key) if header.suite == 1 else None
        self.length = stream.seek(0, os.SEEK_END)
        self.content_sum = 0
        self.keyless_sum = 0
        self.state = OK
        self.faults: List[str] = []
        self.all_authentic = True

    def __iter__(self) -> Iterator[Piece]:
        h = self.header
        stride = h.chunk_size + h.overhead
        total = -(-h.size // h.chunk_size)
        index = 0
        while index < total:
            offset = HEADER_SIZE + index * stride
            end = min(offset + stride, h.length)
            if end > self.length:
                break  # verdict() tells
            self.stream.seek(offset)
            record = read_fully(self.stream, end - offset)
            if len(record) < end - offset:
                self.length = offset + len(record)  # it was cut while we read
                break
            if record == bytes(len(record)):
                count = self._holes_from(index, total, stride)
                size = min((index + count) * h.chunk_size, h.size) - index * h.chunk_size
                yield Piece(index, size)
                index += count
            else:
                yield self._open(index, record)
                index += 1

    def _holes_from(self, index: int, total: int, stride: int) -> int:
        """How many records from `index`, known to be a hole, lie in a gap of the file below; at least 1."""
        if not hasattr(os, "SEEK_DATA") or self.length < self.header.length:
            return 1
        try:
            data = self.stream.seek(HEADER_SIZE + (index + 1) * stride, os.SEEK_DATA)
        except OSError as error:
            return total - index if error.errno == errno.ENXIO else 1
        return min(max(1, (data - HEADER_SIZE) // stride - index), total - index)

    def _open(self, index: int, record: bytes) -> Piece:
        nonce_size = SUITES[self.header.suite][1]
        nonce, sealed, tag, stored = record[:nonce_size], record[nonce_size:-8], record[-24:-8], record[-8:]
        size = len(sealed) - 16
        number = struct.pack("<Q", index)
        sum_is_right = xxhash is None or xxh3(record[:-8], seed=index) == struct.unpack("<Q", stored)[0]
        if xxhash is not None:
            self.keyless_sum = (self.keyless_sum + xxh3(number + stored)) % 2**64
        data: Optional[bytes] = b""
        if self.keyed:
            self.content_sum = (self.content_sum + int.from_bytes(b2b(16, self.csum_key, number + tag), "little")) % 2**128
            if self.aes is not None:
                try:
                    data = self.aes.decrypt(nonce, sealed, number)
                except InvalidTag:
                    data = None
            else:
                data = xchacha20_open(self.chunk_key, nonce, sealed, number)
        if not sum_is_right:
            self._blame(DAMAGED, f"the sum of record {index} is wrong")
        if data is None:
            self.all_authentic = False
            fault = f"record {index} does not authenticate"
            # Accidents break the record's own sum too; only somebody who means to mends it.
            self._blame(TAMPERED if xxhash is not None and sum_is_right else DAMAGED, fault)
            return Piece(index, size, None, fault)
        return Piece(index, size, data)

    def _blame(self, state: str, fault: str) -> None:
        self.state = worst(self.state, state)
        self.faults.append(fault)

    def verdict(self) -> Tuple[str, str]:
        """State and reason, after the last piece."""
        h = self.header
        if self.length != h.length:
            self._blame(INCOMPLETE, f"it has {self.length} bytes, its header says {h.length}")
        keyless_is_right = xxhash is None or self.keyless_sum == h.keyless_sum
        if not self.faults and self.keyed and self.content_sum != h.content_sum:
            if xxhash is None:
                self._blame(DAMAGED, "the content sum is wrong")
            elif keyless_is_right:
                self._blame(TAMPERED, "the content sum is wrong, though the keyless one is right")
            else:
                self._blame(INCOMPLETE, "every record is genuine, but not all of one version (content sum)")
        if not self.faults and not keyless_is_right:
            if self.keyed:
                self._blame(DAMAGED, "the keyless sum is wrong, though the content sum is right")
            else:
                self._blame(INCOMPLETE, "every record is whole, but not all of one version (keyless sum)")
        if not self.faults and h.sum_is_wrong:
            self._blame(DAMAGED, "the sum of its header is wrong, though its tag is right")
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        return self.state, self.faults[0] + more if self.faults else ""

    def may_be_served(self) -> bool:
        """After the last piece: all that was handed out, holes too, is this version of this file.

        Wrong keyless sums beside right tags are reported by verdict(), but do no harm to what was read.
        """
        return self.keyed and self.all_authentic and self.length == self.header.length \
            and self.content_sum == self.header.content_sum


def read_fully(stream: BinaryIO, size: int) -> bytes:
    """As many bytes as there are up to `size`; raw streams may give less per call."""
    parts, left = [], size
    while left > 0:
        part = stream.read(left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


# --------------------------------------------------------------------------------- the file system below us

HAVE_DIR_FD = os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd and os.listdir in os.supports_fd


class Folder:
    """A folder of the vault as the system shows it. Links are never followed, pipes never opened.

    Where the system allows, each folder is opened from within the one above, so that no path gets too long.
    """

    def __init__(self, path: str, above: Optional[Folder] = None) -> None:
        self.fd: Optional[int] = None
        if above is None:
            self.path = os.path.abspath(path)
            if os.name == "nt" and not self.path.startswith("\\\\"):
                self.path = "\\\\?\\" + self.path  # lifts the limit of 260 characters
        else:
            self.path = os.path.join(above.path, path)
        if HAVE_DIR_FD:
            flags = os.O_RDONLY | os.O_DIRECTORY | (os.O_NOFOLLOW if above else 0)
            self.fd = os.open(path, flags, dir_fd=above.fd if above else None)
        elif not stat.S_ISDIR(os.lstat(self.path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", self.path)

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def names(self) -> List[str]:
        return sorted(os.listdir(self.path if self.fd is None else self.fd))

    def stat(self, name: str) -> os.stat_result:
        if self.fd is None:
            return os.lstat(os.path.join(self.path, name))
        return os.stat(name, dir_fd=self.fd, follow_symlinks=False)

    def open(self, name: str) -> BinaryIO:
        if not stat.S_ISREG(self.stat(name).st_mode):
            raise Bad(TAMPERED, "it is no regular file on the disk")
        flags = os.O_RDONLY
        for extra in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"):
            flags |= getattr(os, extra, 0)
        fd = os.open(name, flags, dir_fd=self.fd) if self.fd is not None else \
            os.open(os.path.join(self.path, name), flags)
        return io.FileIO(fd, "rb")  # type: ignore[return-value]

    def read(self, name: str, size_max: int) -> bytes:
        """Up to one byte more than size_max, so that callers see what is too long."""
        with self.open(name) as stream:
            return read_fully(stream, size_max + 1)


# ----------------------------------------------------------------------------------- directories and entries

FOLD = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
RUN = re.compile(r"[a-z2-7]{28,}")
OUR_SHAPE = re.compile(r"(0[a-z2-7]{32}|[a-z2-7]{28,})[89]?")
PIN_NAME = re.compile(r"dir\.([a-z2-7]{116})(?![a-z2-7])")
SIDE_NAME = re.compile(r"0([a-z2-7]{32})([89]?)\.name")
IGNORED = re.compile(r"\.~coffer-.*\.tmp|log-.*\.coffer", re.DOTALL)


def fold(name: str) -> str:
    """A-Z to lower case, and nothing else (section 5.2)."""
    return name.translate(FOLD)


@dataclass
class Decoded:
    name: bytes
    read_under: bytes  # the directory id
    cipher_name: str   # undecorated, in its long form, with suffix
    decoration: str


@dataclass
class Entry:
    """Something of ours in a directory."""
    disk_name: str
    stat: os.stat_result
    kind: int
    name: bytes                   # empty if lost
    shown: bytes = b""            # the name we show it under; unique within the directory
    cipher_name: str = ""
    read_under: Optional[bytes] = None
    decoration: str = ""
    state: str = OK               # of the name; the content is another matter
    why: str = ""

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.stat.st_mode)


@dataclass
class Finding:
    path: str
    state: str
    message: str


@dataclass
class Vault:
    root: Folder
    keys: Keys
    config: Optional[Config]

    @property
    def vault_id(self) -> Optional[bytes]:
        return self.config.vault_id if self.config else None

    def open_root(self) -> Directory:
        return Directory(self, self.root, self.keys.root_id(), is_top=True)

    def open_header(self, stream: BinaryIO) -> Header:
        stream.seek(0)
        return parse_header(read_fully(stream, HEADER_SIZE), self.keys, self.vault_id)


class Directory:
    """A directory of the vault with its names read (sections 5 and 6).

    `derived` is None where the directory's own name was lost. Then, and where a pin was lost, the ids are
    recovered from what the headers of the files inside say of their parent.
    """

    def __init__(self, vault: Vault, folder: Folder, derived: Optional[bytes], is_top: bool = False) -> None:
        self.vault, self.folder, self.derived = vault, folder, derived
        self.entries: List[Entry] = []
        self.findings: List[Finding] = []  # what is not an entry, by name on disk
        self.ids: List[bytes] = []
        self._sides: Dict[str, str] = {}   # folded name: name on disk
        self._sides_used: Set[str] = set()
        names = [name for name in folder.names()
                 if not IGNORED.fullmatch(name) and not (is_top and name in TOP_FILES)]
        names, stray_ids = self._read_pins(names)
        for name in [name for name in names if SIDE_NAME.fullmatch(fold(name))]:
            self._sides[fold(name)] = name
            names.remove(name)
        unread = self._read_entries(names, self.ids, OK, "")
        if unread:
            stray_ids += self._parents_in_headers(unread)
            ours = [name for name in unread if self._looks_ours(name)]
            if ours and not self.entries and stray_ids:
                if self.derived is not None:  # else the lost name of this directory was reported already
                    self._find("", DAMAGED, f"none of the {len(ours)} names in this directory can be read as it lies "
                               "here (a lost pin, or moved by another program); its id was found inside")
                self.ids += [i for i in stray_ids if i not in self.ids]
                unread = self._read_entries(unread, self.ids, OK, "")
            elif ours and not self.entries:
                self._find("", DAMAGED, f"none of the {len(ours)} names in this directory can be read")
            else:
                unread = self._read_entries(unread, stray_ids, MOVED, "its name belongs to another directory")
        for name in unread:
            self._read_nameless(name)
        for folded in sorted(set(self._sides) - self._sides_used):
            self._find(self._sides[folded], FOREIGN, "a side file whose entry is not there")
        self._settle_names()

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *_: object) -> None:
        self.folder.__exit__()

    def _find(self, name: str, state: str, message: str) -> None:
        self.findings.append(Finding(name, state, message))

    def _read_pins(self, names: List[str]) -> Tuple[List[str], List[bytes]]:
        """Section 6. Sets self.ids; returns the names that are no pins, and the ids of pins that do not fit."""
        others: List[str] = []
        fitting: List[Pin] = []
        stray: List[Tuple[str, bytes]] = []
        for name in names:
            match = PIN_NAME.search(fold(name))
            pin = self.vault.keys.open_pin(match.group(1)) if match else None
            if pin is None:
                if match and fold(name) == f"dir.{match.group(1)}.coffer":
                    self._find(name, TAMPERED, "a pin that does not authenticate")
                else:
                    others.append(name)
            elif self.derived is not None and self.derived in (pin.leaves, pin.goes_to):
                fitting.append(pin)
            else:
                stray.append((name, pin.id))
        fitting.sort(key=lambda pin: (pin.nanoseconds, pin.id), reverse=True)
        self.ids = list(dict.fromkeys([pin.id for pin in fitting] + ([self.derived] if self.derived else [])))
        for name, pin_id in stray if self.derived is not None else []:
            if pin_id not in self.ids:  # else it is but the trace of an earlier renaming
                self._find(name, MOVED, "a pin that does not fit this directory")
        return others, list(dict.fromkeys(pin_id for _, pin_id in stray))

    def _read_entries(self, names: List[str], ids: List[bytes], state: str, why: str) -> List[str]:
        """Adds an entry for each name that reads under `ids`; returns those that do not."""
        unread = []
        for name in names:
            decoded = self._decode(name, ids)
            if decoded is None:
                unread.append(name)
                continue
            status = self.folder.stat(name)
            kind = KIND_OF_SUFFIX[decoded.cipher_name[len(decoded.cipher_name.rstrip("89")):]]
            is_dir = stat.S_ISDIR(status.st_mode)
            if not name_is_legal(decoded.name):
                self._find(name, TAMPERED, f"its name is genuine, but not allowed: {decoded.name!r}")
            elif not is_dir and not stat.S_ISREG(status.st_mode):
                self._find(name, TAMPERED, "it is neither a file nor a folder on the disk")
            elif is_dir and kind != REGULAR:
                self._find(name, TAMPERED, "it is a folder under the name of a link or special file")
            else:
                self.entries.append(Entry(name, status, kind, decoded.name, b"", decoded.cipher_name,
                                          decoded.read_under, decoded.decoration, state, why))
        return unread

    def _decode(self, disk_name: str, ids: List[bytes]) -> Optional[Decoded]:
        """Section 5.2: the first run that authenticates under one of `ids`."""
        folded = fold(disk_name)
        for run in RUN.finditer(folded):
            follower = folded[run.end():run.end() + 1]
            suffix = follower if follower in ("8", "9") else ""
            end = run.end() + len(suffix)
            candidates = [(run.group() + suffix, run.start())]
            if len(run.group()) == 32 and folded[:run.start()].endswith("0"):
                long_name = self._side_file(run.group(), suffix)
                if long_name:
                    candidates.insert(0, (long_name, run.start() - 1))
            for cipher_name, start in candidates:
                found = self.vault.keys.decrypt_name(cipher_name, ids)
                if found:
                    parts = (disk_name[:start].strip(), disk_name[end:].strip())
                    decoration = " ".join(part for part in parts if part)
                    if start > 0 or end < len(disk_name):
                        decoration = decoration or "blanks"
                    return Decoded(found[0], found[1], cipher_name, decoration)
        return None

    def _side_file(self, digest: str, suffix: str) -> Optional[str]:
        """Section 5.3: the ciphertext name in the side file, None if there is none or it is wrong."""
        folded = f"0{digest}{suffix}.name"
        if folded not in self._sides:
            return None
        first_time = folded not in self._sides_used
        self._sides_used.add(folded)
        try:
            raw = self.folder.read(self._sides[folded], SIDE_FILE_MAX)
        except (Bad, OSError) as error:
            if first_time:
                self._find(self._sides[folded], DAMAGED, f"side file: {error}")
            return None
        if base32(b2b(20, None, raw)) != digest or not re.fullmatch(rb"[a-z2-7]{28,434}[89]?", raw):
            if first_time:
                self._find(self._sides[folded], DAMAGED, "the side file does not hold the name it should")
            return None
        return raw.decode("ascii")

    def _looks_ours(self, name: str) -> bool:
        """Whether a name that does not read is most likely of this vault all the same."""
        if not OUR_SHAPE.fullmatch(fold(name)):
            return False
        try:
            return stat.S_ISDIR(self.folder.stat(name).st_mode) or self.folder.read(name, 7) == MAGIC
        except (Bad, OSError):
            return False

    def _header_of(self, name: str) -> Optional[Header]:
        """The header of a file whose name does not read, None unless it is genuine."""
        try:
            with self.folder.open(name) as stream:
                return self.vault.open_header(stream)
        except (Bad, OSError):
            return None

    def _parents_in_headers(self, names: List[str]) -> List[bytes]:
        """What the files called `names` say of their parent."""
        headers = [self._header_of(name) for name in names]
        return list(dict.fromkeys(header.parent for header in headers if header))

    def _read_nameless(self, name: str) -> None:
        """What to make of a name that reads under no id we know: who begins like ours is looked into."""
        folded = fold(name)
        status = self.folder.stat(name)
        is_long = OUR_SHAPE.fullmatch(folded) is not None and folded[0] == "0"
        lost = "its name is lost: the side file is missing" if is_long else "its name cannot be read here"
        if stat.S_ISDIR(status.st_mode) and RUN.search(folded):
            self.entries.append(Entry(name, status, REGULAR, b"", state=DAMAGED if is_long else MOVED, why=lost))
            return
        if not stat.S_ISREG(status.st_mode):
            self._find(name, FOREIGN, "not part of the vault")
            return
        try:
            with self.folder.open(name) as stream:
                if read_fully(stream, 8) != MAGIC and not is_long:
                    self._find(name, FOREIGN, "not part of the vault")
                    return
                header = self.vault.open_header(stream)
        except OfAnotherVault as bad:
            self._find(name, FOREIGN, str(bad))
            return
        except Bad as bad:
            self._find(name, bad.state, f"{lost}; {bad}")
            return
        except OSError as error:
            self._find(name, DAMAGED, f"cannot be read: {error.strerror}")
            return
        entry = Entry(name, status, header.kind, header.name, state=MOVED, why=f"{lost}; shown is what its header says")
        for directory_id in self.ids if is_long else []:
            cipher_name = self.vault.keys.encrypt_name(header.name, header.kind, directory_id)
            if folded[1:33] == base32(b2b(20, None, cipher_name.encode())):
                entry = Entry(name, status, header.kind, header.name, b"", cipher_name, directory_id, "", DAMAGED,
                              "the side file with its name is lost; the name is from its header")
        self.entries.append(entry)

    def _settle_names(self) -> None:
        """Gives every entry the name it is shown under: of several with one name, one keeps it (section 5.4)."""
        def rank(entry: Entry) -> Tuple[bool, bool, int, int, bool, str]:
            known = entry.read_under in self.ids
            return (not known, bool(entry.decoration), entry.kind, self.ids.index(entry.read_under) if known else 0,
                    entry.disk_name != fold(entry.disk_name), entry.disk_name)

        taken: Set[bytes] = set()
        for entry in sorted(self.entries, key=rank):
            remark = ""
            if not entry.name:
                remark = f"name lost, {entry.disk_name[:12]}"
            elif entry.read_under not in self.ids:
                remark = "moved"
            elif entry.decoration or entry.name in taken:
                remark = "conflict, " + (entry.decoration or ["file", "link", "special"][entry.kind])
                entry.state = worst(entry.state, CONFLICT)
                entry.why = entry.why or "another program made this copy"
            entry.shown, number = with_remark(entry.name, remark), 2
            while entry.shown in taken:
                entry.shown = with_remark(entry.name, f"{remark}, {number}")
                number += 1
            taken.add(entry.shown)
        self.entries.sort(key=lambda entry: entry.shown)

    def open_child(self, entry: Entry) -> Directory:
        """REQUIRES: entry.is_dir"""
        derived = None
        if entry.read_under is not None:
            derived = self.vault.keys.derived_id(entry.read_under, entry.cipher_name)
        folder = Folder(entry.disk_name, self.folder)
        try:
            return Directory(self.vault, folder, derived)
        except BaseException:
            folder.__exit__()
            raise

    def open_file(self, entry: Entry) -> Tuple[BinaryIO, Header]:
        """The ciphertext file and its genuine header. Raises Bad."""
        stream = self.folder.open(entry.disk_name)
        try:
            header = self.vault.open_header(stream)
            if header.kind != entry.kind:
                raise Bad(TAMPERED, "its name and its header say different kinds")
            return stream, header
        except BaseException:
            stream.close()
            raise

    def place_is_right(self, entry: Entry, header: Header) -> bool:
        """Section 4.6: whether the header names this very place."""
        return header.parent in self.ids and header.name == entry.name

    def find(self, name: bytes) -> Optional[Entry]:
        return next((entry for entry in self.entries if entry.shown == name), None)


def with_remark(name: bytes, remark: str) -> bytes:
    """`NAME (REMARK)`, in at most 255 bytes."""
    if not remark:
        return name
    end = b"(" + remark.encode("utf-8", "surrogateescape")[:120] + b")"
    return name[:254 - len(end)] + b" " + end if name else end


# -------------------------------------------------------------------------------------- extended attributes

HAVE_XATTR = hasattr(os, "getxattr")


def open_xattr(keys: Keys, stored_name: str, stored: bytes, owners: List[bytes]) -> Tuple[bytes, bytes]:
    """Section 7: name and value of an attribute. Raises Bad."""
    h = unbase32(stored_name[len("user.coffer."):])
    if h is None or len(h) != 16:
        raise Bad(DAMAGED, f"the attribute {stored_name} has an impossible name")
    for owner in owners:
        plain = xchacha20_open(keys.xvalue, stored[:24], stored[24:], owner + h) if len(stored) > 40 else None
        if plain is not None:
            name, value = plain[1:1 + plain[0]], plain[1 + plain[0]:]
            if len(name) != plain[0] or not name or b2b(16, keys.xname, name) != h:
                raise Bad(TAMPERED, f"the attribute {stored_name} holds another name")
            return name, value
    raise Bad(DAMAGED, f"the attribute {stored_name} does not authenticate")


def read_xattrs(keys: Keys, fd: Optional[int], owners: List[bytes]) -> Dict[bytes, bytes]:
    """All attributes of an open file or folder, as far as the system shows any. Raises Bad."""
    if not HAVE_XATTR or fd is None:
        return {}
    try:
        stored_names = [name for name in os.listxattr(fd) if name.startswith("user.coffer.")]
        return dict(open_xattr(keys, name, os.getxattr(fd, name), owners) for name in stored_names)
    except OSError:
        return {}


def true_mode(status: os.stat_result, xattrs: Dict[bytes, bytes]) -> int:
    """Section 8: the permission bits; those of the file below may be wider."""
    kept = xattrs.get(b"coffer.mode", b"")
    if status.st_mode & stat.S_ISVTX and len(kept) == 4:
        return struct.unpack("<I", kept)[0] & 0o7777
    return stat.S_IMODE(status.st_mode)


# -------------------------------------------------------------------------------------------------- commands


def show(name: bytes) -> str:
    """A name for the screen: nothing in it can command a terminal."""
    text = name.decode("utf-8", "surrogateescape")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def show_time(nanoseconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(nanoseconds // 10**9))
    except (OverflowError, ValueError, OSError):
        return f"@{nanoseconds // 10**9}"


def warn(message: str) -> None:
    print(f"coffer_reader: {message}", file=sys.stderr)


def split_path(path: str) -> List[bytes]:
    raw = path.encode("utf-8") if os.name == "nt" else os.fsencode(path)
    return [part for part in raw.split(b"/") if part not in (b"", b".")]


def resolve(vault: Vault, path: str) -> Tuple[Directory, Optional[Entry]]:
    """The directory a path lies in and its entry there; no entry for the root. Follows no links."""
    directory, entry = vault.open_root(), None
    for part in split_path(path):
        if entry is not None:
            if not entry.is_dir:
                raise Failure(EXIT_PATH, f"{show(entry.shown)} is not a directory")
            directory = directory.open_child(entry)
        entry = directory.find(part)
        if entry is None:
            raise Failure(EXIT_PATH, f"there is no {show(part)} in {path!r}; see what is there with: ls")
    return directory, entry


def read_config(folder: Folder, name: str) -> Config:
    """Raises Bad."""
    try:
        return Config(folder.read(name, CONFIG_MAX))
    except FileNotFoundError:
        raise Bad(DAMAGED, "it is not there") from None
    except OSError as error:
        raise Bad(DAMAGED, error.strerror or str(error)) from None


def read_configs(folder: Folder) -> Tuple[List[Config], List[str]]:
    """Both copies of coffer.json as far as they are acceptable, and complaints about the others."""
    configs, complaints = [], []
    for name in TOP_FILES[:2]:
        try:
            configs.append(read_config(folder, name))
        except Bad as bad:
            complaints.append(f"{name}: {bad}")
    return configs, complaints


def read_secret_file(path: str, size_max: int) -> bytes:
    try:
        with open(path, "rb") as stream:
            data = stream.read(size_max + 1)
    except OSError as error:
        raise Failure(EXIT_KEY, f"cannot read {path}: {error.strerror}") from None
    if len(data) > size_max:
        raise Failure(EXIT_KEY, f"{path} is too large to be that")
    return data


def parse_vault_key(text: str) -> bytes:
    digits = re.sub(r"[ \t\n\r:-]", "", text)
    if not re.fullmatch("[0-9a-fA-F]{64}", digits):
        raise Failure(EXIT_KEY, f"a vault key has 64 hexadecimal digits, here are {len(digits)} characters")
    return bytes.fromhex(digits)


@dataclass
class Secrets:
    """What we were given to open the vault with: the vault key itself, or what opens slots of one type."""
    vault_key: Optional[bytes] = None
    slot_type: str = ""
    secret: bytes = b""


def gather_secrets(args: argparse.Namespace, configs: List[Config]) -> Secrets:
    if args.key_file:
        return Secrets(parse_vault_key(read_secret_file(args.key_file, 4096).decode("ascii", "replace")))
    if args.password_file:
        raw = read_secret_file(args.password_file, 1 << 20)
        return Secrets(None, "password", raw[:-1] if raw.endswith(b"\n") else raw)
    if args.keyfile:
        raw = read_secret_file(args.keyfile, 1 << 20)
        if len(raw) < 32:
            raise Failure(EXIT_KEY, f"{args.keyfile} has {len(raw)} bytes, a keyfile has at least 32")
        return Secrets(None, "keyfile", raw)
    try:
        if any(slot.type == "password" for config in configs for slot in config.slots):
            password = getpass.getpass("Password (empty: type the 64 digits of the vault key instead): ")
            if password:
                return Secrets(None, "password", password.encode("utf-8", "surrogateescape"))
        return Secrets(parse_vault_key(getpass.getpass("Vault key, 64 digits: ")))
    except EOFError:
        raise Failure(EXIT_KEY, "no key; give one with --key-file, --password-file or --keyfile") from None


def unlock(config: Config, secrets: Secrets, slot_id: Optional[int]) -> Optional[bytes]:
    """The vault key by way of this coffer.json, None if nothing in it opens."""
    if secrets.vault_key:
        return secrets.vault_key
    for slot in config.slots:
        if slot.type == secrets.slot_type and slot_id in (None, slot.id):
            try:
                vault_key = unwrap(slot, config.vault_id, secrets.secret)
            except MemoryError:
                raise Failure(EXIT_SYSTEM, f"slot {slot.id} needs {slot.memory_kib >> 10} MiB of memory") from None
            if vault_key:
                return vault_key
    return None


def open_vault(args: argparse.Namespace) -> Vault:
    """Finds the key, checks coffer.json's mac (section 3). Raises Failure."""
    root = open_folder(args.vault)
    configs, complaints = read_configs(root)
    if not configs and not args.without_config:
        raise Failure(EXIT_VAULT, "; ".join(complaints) + " (with the 64 digits, --without-config reads on regardless)")
    secrets = gather_secrets(args, configs)
    if args.without_config:
        if not secrets.vault_key:
            raise Failure(EXIT_USAGE, "--without-config needs the 64 digits: give --key-file")
        return Vault(root, Keys(secrets.vault_key), None)
    good: List[Tuple[Config, Keys]] = []
    opened = False
    for number, config in enumerate(configs):
        if number and config.raw == configs[0].raw:
            continue
        vault_key = unlock(config, secrets, args.slot)
        if vault_key:
            opened = True
            keys = Keys(vault_key)
            if config.mac_is_right(keys):
                good.append((config, keys))
            else:
                complaints.append("a copy of coffer.json does not authenticate under this key")
    if not good and opened and secrets.vault_key is None:
        raise Failure(EXIT_VAULT, "a slot opens, but coffer.json was changed by somebody without the key "
                      "(with the 64 digits, --without-config reads on regardless)")
    if not good:
        if secrets.vault_key:
            raise Failure(EXIT_KEY, "coffer.json does not authenticate under these 64 digits: another vault's, mistyped, or "
                          "the file was changed (if you are sure of the digits, --without-config reads on regardless)")
        raise Failure(EXIT_KEY, f"no {secrets.slot_type} slot of this vault opens with that")
    for complaint in complaints:
        warn(f"{complaint}; going on with the other copy")
    config, keys = max(good, key=lambda pair: pair[0].generation)
    return Vault(root, keys, config)


def open_folder(path: str) -> Folder:
    try:
        return Folder(path)
    except OSError as error:
        raise Failure(EXIT_VAULT, f"cannot open the folder {path}: {error.strerror}") from None


def command_info(args: argparse.Namespace) -> int:
    if args.key_file or args.password_file or args.keyfile:
        config = open_vault(args).config
    else:
        configs, complaints = read_configs(open_folder(args.vault))
        if not configs:
            raise Failure(EXIT_VAULT, "; ".join(complaints))
        config = configs[0]
        print("not authenticated: give a key to check this and to see the rest")
    if config is None:
        raise Failure(EXIT_USAGE, "info without coffer.json has nothing to say")
    print(f"format      0\nvault id    {config.vault_id.hex()}")
    for slot in config.slots:
        cost = f", {slot.passes} passes, {slot.memory_kib >> 10} MiB" if slot.type == "password" else ""
        print(f"slot {slot.id:<6} {slot.type}{cost}, {show(slot.label.encode('utf-8', 'surrogatepass'))!r}")
    if args.key_file or args.password_file or args.keyfile:
        print(f"suite       {config.suite}\nchunk size  {config.chunk_size}\nname max    {config.name_max}")
        print(f"key epoch   {config.key_epoch}\ngeneration  {config.generation}\ncreated     {config.created}")
    return 0


def command_ls(args: argparse.Namespace) -> int:
    vault = open_vault(args)
    for path in args.paths or [""]:
        directory, entry = resolve(vault, path)
        if entry is not None and not entry.is_dir:
            print(list_line(directory, entry, args.long))
            continue
        if entry is not None:
            directory = directory.open_child(entry)
        list_directory(directory, "/".join(show(part) for part in split_path(path)), args, 0)
    return 0


def list_directory(directory: Directory, path: str, args: argparse.Namespace, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise Failure(EXIT_SYSTEM, f"more than {DEPTH_MAX} folders within each other")
    if args.recursive:
        print(f"{path or '.'}:")
    for finding in directory.findings:
        if finding.state != FOREIGN:
            warn(f"{path or '.'}: {show(os.fsencode(finding.path))}: {finding.message}")
    for entry in directory.entries:
        print(list_line(directory, entry, args.long))
    if args.recursive:
        for entry in directory.entries:
            if entry.is_dir:
                print()
                with directory.open_child(entry) as child:
                    list_directory(child, f"{path}/{show(entry.shown)}".lstrip("/"), args, depth + 1)


def list_line(directory: Directory, entry: Entry, long: bool) -> str:
    name = show(entry.shown) + ("/" if entry.is_dir else "")
    if not long:
        return name
    mode, size, note = stat.filemode(entry.stat.st_mode), "-", f"   [{entry.state}]" if entry.state != OK else ""
    if not entry.is_dir:
        try:
            stream, header = directory.open_file(entry)
            with stream:
                xattrs = read_xattrs(directory.vault.keys, stream.fileno(), [header.file_id])
                mode = stat.filemode(stat.S_IFMT(header.mode) | true_mode(entry.stat, xattrs))
                size = str(header.size)
                if header.kind == SYMLINK:
                    name += " -> " + show(read_small(Records(stream, header, directory.vault.keys)))
        except Bad as bad:
            note = f"   [{bad.state}: {bad}]"
        except OSError as error:
            note = f"   [{error.strerror}]"
    return f"{mode} {size:>13} {show_time(entry.stat.st_mtime_ns)} {name}{note}"


def read_small(records: Records) -> bytes:
    """All of a small file, a symbolic link's target. Raises Bad."""
    data = b"".join(bytes(piece.size) if piece.data is None else piece.data for piece in records)
    if not records.may_be_served():
        raise Bad(*records.verdict())
    return data


def command_cat(args: argparse.Namespace) -> int:
    """Two passes: nothing is written before the whole file was found to be right."""
    directory, entry = resolve(open_vault(args), args.path)
    if entry is None or entry.is_dir:
        raise Failure(EXIT_PATH, f"{args.path} is a directory; try: extract")
    if entry.kind != REGULAR:
        raise Failure(EXIT_PATH, f"{args.path} is a symbolic link or special file; see it with: ls -l")
    stream, header = directory.open_file(entry)
    with stream:
        first = Records(stream, header, directory.vault.keys)
        holes = {(piece.index, piece.size) for piece in first if piece.is_hole}
        if not first.may_be_served():
            state, why = first.verdict()
            raise Bad(state, f"{why}; nothing is shown of it (extract --salvage gets the good parts)")
        for piece in Records(stream, header, directory.vault.keys):
            if piece.is_hole and (piece.index, piece.size) in holes:
                for start in range(0, piece.size, 1 << 20):
                    sys.stdout.buffer.write(bytes(min(1 << 20, piece.size - start)))
            elif piece.data is not None:
                sys.stdout.buffer.write(piece.data)
            else:
                raise Bad(DAMAGED, "it changed while it was read")
    sys.stdout.buffer.flush()
    return 0


def command_identify(args: argparse.Namespace) -> int:
    vault = open_vault(args)
    exit_code = 0
    for path in args.files:
        try:
            with open(path, "rb", buffering=0) as stream:
                header = vault.open_header(stream)  # type: ignore[arg-type]
        except (Bad, OSError) as error:
            warn(f"{path}: {error}")
            exit_code = max(exit_code, EXIT_OF_STATE[error.state] if isinstance(error, Bad) else EXIT_SYSTEM)
            continue
        print(f"{path}:\n  name       {show(header.name)}\n  parent id  {header.parent.hex()}")
        print(f"  kind       {['regular file', 'symbolic link', 'special file'][header.kind]}")
        print(f"  size       {header.size}\n  version    {header.version}\n  modified   {show_time(header.mtime_ns)}")
        print(f"  born       {show_time(header.birth_ns)}\n  mode       {stat.filemode(header.mode)}")
        print(f"  owner      {header.uid}:{header.gid}\n  file id    {header.file_id.hex()}")
        print(f"  suite      {SUITES[header.suite][0]}\n  writer     {header.writer.hex()}, {header.seals} seals")
    return exit_code


# --------------------------------------------------------------------------------------------------- extract

WINDOWS_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE | re.DOTALL)
PART_NAME = ".~coffer-reader-part"


def destination_name(name: bytes, system: str = os.name) -> str:
    """The name for DEST. Raises ValueError if the system cannot have it."""
    if system != "nt":
        return os.fsdecode(name)
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("its name is not UTF-8, which Windows needs") from None
    if re.search(r'[<>:"/\\|?*\x00-\x1f]', text) or text[-1] in ". " or WINDOWS_RESERVED.fullmatch(text):
        raise ValueError("Windows does not allow its name; extract it on another system")
    return text


class Extraction:
    """Writes a tree to DEST. DEST begins empty and all in it is made anew by us, so no link in it is ever
    followed; links are made last, permissions and times of directories after them."""

    def __init__(self, vault: Vault, args: argparse.Namespace) -> None:
        self.vault = vault
        self.salvage: bool = args.salvage
        self.from_header: bool = args.meta == "header"
        self.with_xattrs: bool = args.xattrs
        self.exit_code = 0
        self.made: Dict[Tuple[int, int], str] = {}  # (device, inode) of hard-linked files: path in DEST
        self.links: List[Tuple[str, bytes, int, str]] = []
        self.directories: Dict[str, Tuple[int, int]] = {}

    def complain(self, path: str, message: str, exit_code: int) -> None:
        warn(f"{show(os.fsencode(path))}: {message}")
        self.exit_code = max(self.exit_code, exit_code)

    def tree(self, directory: Directory, dest: str, shown: str, depth: int) -> None:
        if depth > DEPTH_MAX:
            self.complain(shown, f"more than {DEPTH_MAX} folders within each other", EXIT_DEST)
            return
        for finding in directory.findings:
            if finding.state != FOREIGN:
                self.complain(os.path.join(shown, finding.path), finding.message, EXIT_OF_STATE[finding.state])
        for entry in directory.entries:
            self.entry(directory, entry, dest, os.path.join(shown, os.fsdecode(entry.shown)), depth)

    def entry(self, directory: Directory, entry: Entry, dest: str, shown: str, depth: int) -> None:
        if entry.state != OK:
            self.complain(shown, f"{entry.state}: {entry.why}", EXIT_OF_STATE[entry.state])
        try:
            target = os.path.join(dest, destination_name(entry.shown))
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, "not extracted: DEST takes its name for that of another")
            if entry.is_dir:
                with directory.open_child(entry) as child:
                    os.mkdir(target, 0o700)
                    try:
                        mode = true_mode(entry.stat, read_xattrs(self.vault.keys, child.folder.fd, child.ids))
                    except Bad as bad:
                        self.complain(shown, str(bad), EXIT_OF_STATE[bad.state])
                        mode = stat.S_IMODE(entry.stat.st_mode)
                    self.directories[target] = (mode, entry.stat.st_mtime_ns)
                    self.tree(child, target, shown, depth + 1)
            else:
                self.file(directory, entry, target, shown)
        except Bad as bad:
            self.complain(shown, f"{bad.state}: {bad}", EXIT_OF_STATE[bad.state])
        except ValueError as error:
            self.complain(shown, str(error), EXIT_DEST)
        except OSError as error:
            self.complain(shown, error.strerror or str(error), EXIT_DEST)

    def file(self, directory: Directory, entry: Entry, target: str, shown: str) -> None:
        inode = (entry.stat.st_dev, entry.stat.st_ino)
        if entry.stat.st_nlink > 1 and entry.kind == REGULAR and inode in self.made:
            with contextlib.suppress(OSError):  # where DEST has no hard links: a second copy
                os.link(self.made[inode], target)
                return
        stream, header = directory.open_file(entry)
        with stream:
            xattrs: Dict[bytes, bytes] = {}
            try:
                xattrs = read_xattrs(self.vault.keys, stream.fileno(), [header.file_id])
            except Bad as bad:
                self.complain(shown, str(bad), EXIT_OF_STATE[bad.state])
            mode = header.mode if self.from_header else true_mode(entry.stat, xattrs)
            mtime_ns = header.mtime_ns if self.from_header else entry.stat.st_mtime_ns
            records = Records(stream, header, self.vault.keys)
            if entry.kind == SYMLINK:
                self.links.append((target, read_small(records), mtime_ns, shown))
                return
            if entry.kind == SPECIAL:
                if not stat.S_ISFIFO(header.mode) or not hasattr(os, "mkfifo"):
                    self.complain(shown, f"special file not made: {stat.filemode(header.mode)}, "
                                  f"device {header.rdev >> 32}:{header.rdev & 0xFFFFFFFF}", EXIT_DEST)
                    return
                os.mkfifo(target, 0o600)
            else:
                target = self.content(records, header.size, target, shown)
            if inode not in self.made:
                self.made[inode] = target
        for name, value in xattrs.items() if self.with_xattrs else ():
            if name.startswith(b"user."):
                os.setxattr(target, name, value, follow_symlinks=False)
        self.set_meta(target, mode, mtime_ns)

    def content(self, records: Records, size: int, target: str, shown: str) -> str:
        """Writes under a passing name and gives the true one once all was checked. Returns the path."""
        part = os.path.join(os.path.dirname(target), PART_NAME)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            with open(fd, "wb") as out:
                lost = 0
                for piece in records:
                    if piece.data is None:
                        out.seek(piece.size, os.SEEK_CUR)  # a hole, of which the verdict is still to come
                        lost += piece.size if piece.fault else 0
                    else:
                        out.write(piece.data)
                out.truncate(size)
            state, why = records.verdict()
            if not records.may_be_served():
                if not self.salvage:
                    raise Bad(state, f"{why}; not extracted (--salvage writes the good parts)")
                target += ".damaged"
                if os.path.lexists(target):
                    raise FileExistsError(errno.EEXIST, "not salvaged: the name with .damaged is taken")
                why += f"; salvaged as NAME.damaged, zeros stand for what is missing ({lost} bytes in bad records)"
            if state != OK:
                self.complain(shown, f"{state}: {why}", EXIT_OF_STATE[state])
            os.rename(part, target)
        except BaseException:
            os.unlink(part)
            raise
        return target

    def finish(self) -> None:
        for target, link, mtime_ns, shown in self.links:
            try:
                if b"\0" in link:
                    raise ValueError("its target is not allowed")
                os.symlink(link.decode("utf-8") if os.name == "nt" else os.fsdecode(link), target)
                if os.utime in os.supports_follow_symlinks:
                    os.utime(target, ns=(mtime_ns, mtime_ns), follow_symlinks=False)
            except (OSError, ValueError, OverflowError) as error:
                self.complain(shown, f"symbolic link not made: {error}", EXIT_DEST)
        for target, (mode, mtime_ns) in reversed(list(self.directories.items())):
            self.set_meta(target, mode, mtime_ns)

    def set_meta(self, target: str, mode: int, mtime_ns: int) -> None:
        """Permissions without setuid, setgid and sticky: the file system below is not authenticated."""
        try:
            os.utime(target, ns=(mtime_ns, mtime_ns))
            os.chmod(target, mode & 0o777)
        except (OSError, OverflowError) as error:
            self.complain(target, f"permissions or times not set: {error}", EXIT_DEST)


def command_extract(args: argparse.Namespace) -> int:
    if os.path.islink(args.dest):
        raise Failure(EXIT_DEST, f"{args.dest} is a symbolic link; name the folder itself")
    vault = open_vault(args)
    try:
        os.makedirs(args.dest, exist_ok=True)
        if os.listdir(args.dest):
            raise Failure(EXIT_DEST, f"{args.dest} is not empty; name a new or empty folder")
    except OSError as error:
        raise Failure(EXIT_DEST, f"cannot use {args.dest}: {error.strerror}") from None
    extraction = Extraction(vault, args)
    dest_root = os.path.abspath(args.dest)
    if os.name == "nt" and not dest_root.startswith("\\\\"):
        dest_root = "\\\\?\\" + dest_root
    for path in args.paths or [""]:
        directory, entry = resolve(vault, path)
        if entry is None:
            extraction.tree(directory, dest_root, "", 0)
            continue
        dest = dest_root
        for part in split_path(path)[:-1]:
            try:
                dest = os.path.join(dest, destination_name(part))
            except ValueError as error:
                raise Failure(EXIT_DEST, f"{path}: {error}") from None
            if not os.path.lexists(dest):
                os.mkdir(dest, 0o700)
        extraction.entry(directory, entry, dest, os.fsdecode(b"/".join(split_path(path))), 0)
    extraction.finish()
    return extraction.exit_code


# ---------------------------------------------------------------------------------------------------- verify


@dataclass
class Report:
    counts: Dict[str, int] = field(default_factory=lambda: {state: 0 for state in STATES})
    findings: List[Finding] = field(default_factory=list)

    def add(self, path: str, state: str, message: str = "") -> None:
        self.counts[state] += 1
        if state != OK:
            self.findings.append(Finding(path, state, message))

    def finish(self, as_json: bool, vault_id: Optional[bytes], keyless: bool) -> int:
        state = max((s for s in STATES if self.counts[s]), key=STATES.index, default=OK)
        sums = xxhash is not None
        if as_json:
            print(json.dumps({"vault_id": vault_id.hex() if vault_id else None, "keyless": keyless, "worst": state,
                              "record_sums_checked": sums, "counts": self.counts,
                              "findings": [vars(finding) for finding in self.findings]}, indent=2))
        else:
            for finding in self.findings:
                print(f"{finding.state:13} {finding.path}: {finding.message}")
            print(", ".join(f"{count} {name}" for name, count in self.counts.items() if count))
            if not sums:
                print("record sums were not checked (the package xxhash is missing); tags and content sums were")
        return EXIT_OF_STATE[state]


def command_verify(args: argparse.Namespace) -> int:
    if args.keyless:
        return verify_keyless(args)
    vault = open_vault(args)
    report = Report()
    for name in TOP_FILES[:2] if vault.config else ():
        try:
            config = read_config(vault.root, name)
            if not config.mac_is_right(vault.keys):
                report.add(name, TAMPERED, "it does not authenticate")
            elif vault.config and config.raw != vault.config.raw:
                report.add(name, INCOMPLETE, f"it is generation {config.generation}, the other copy another one")
            else:
                report.add(name, OK)
        except Bad as bad:
            report.add(name, bad.state, str(bad))
    verification = Verification(vault, report)
    verification.directory(vault.open_root(), "", 0)
    verification.finish()
    return report.finish(args.json, vault.vault_id, False)


class Verification:
    """Checks every tag and sum below a directory, and that every file is where its header says."""

    def __init__(self, vault: Vault, report: Report) -> None:
        self.vault, self.report = vault, report
        # A file with several hard links is read once, and its header can name only one of its places.
        self.linked: Dict[Tuple[int, int], Tuple[str, str]] = {}  # (device, inode): state and reason of the content
        self.linked_places: Dict[Tuple[int, int], List[Tuple[str, bool, str, str]]] = {}

    def directory(self, directory: Directory, path: str, depth: int) -> None:
        for finding in directory.findings:
            self.report.add(join(path, show(os.fsencode(finding.path))), finding.state, finding.message)
        for entry in directory.entries:
            where = join(path, show(entry.shown))
            try:
                if not entry.is_dir:
                    self.file(directory, entry, where)
                elif depth >= DEPTH_MAX:
                    self.report.add(where, TAMPERED, f"more than {DEPTH_MAX} folders within each other")
                else:
                    with directory.open_child(entry) as child:
                        state, why = self.xattrs(child.folder.fd, child.ids)
                        self.report.add(where, worst(entry.state, state), why or entry.why)
                        self.directory(child, where, depth + 1)
            except OSError as error:
                self.report.add(where, DAMAGED, f"cannot be read: {error.strerror}")

    def xattrs(self, fd: Optional[int], owners: List[bytes]) -> Tuple[str, str]:
        try:
            read_xattrs(self.vault.keys, fd, owners)
            return OK, ""
        except Bad as bad:
            return bad.state, str(bad)

    def file(self, directory: Directory, entry: Entry, where: str) -> None:
        inode = (entry.stat.st_dev, entry.stat.st_ino)
        is_linked = entry.stat.st_nlink > 1
        try:
            stream, header = directory.open_file(entry)
        except Bad as bad:
            self.report.add(where, worst(bad.state, entry.state), str(bad))
            return
        with stream:
            if is_linked and inode in self.linked:
                state, why = self.linked[inode]
            else:
                records = Records(stream, header, self.vault.keys)
                for _ in records:
                    pass
                state, why = records.verdict()
                if state == OK:
                    state, why = self.xattrs(stream.fileno(), [header.file_id])
        if is_linked:
            self.linked[inode] = (state, why)
        state, why = worst(state, entry.state), why or entry.why
        at_home = directory.place_is_right(entry, header)
        if is_linked:
            self.linked_places.setdefault(inode, []).append((where, at_home, state, why))
        elif state == OK and not at_home:
            self.report.add(where, MOVED, f"genuine, but its header says {show(header.name)} in directory {header.parent.hex()}")
        else:
            self.report.add(where, state, why)

    def finish(self) -> None:
        for places in self.linked_places.values():
            one_is_home = any(at_home for _, at_home, _, _ in places)
            for where, _, state, why in places:
                if state == OK and not one_is_home:
                    self.report.add(where, MOVED, "genuine, but its header says none of its places")
                else:
                    self.report.add(where, state, why)


def join(path: str, name: str) -> str:
    return f"{path}/{name}" if path and name else path or name or "."


def verify_keyless(args: argparse.Namespace) -> int:
    """What anybody can check (section 4.4): sums, lengths, side files. Proves nothing against an attacker."""
    if xxhash is None:
        raise Failure(EXIT_SYSTEM, "the keyless check needs XXH3; try: pip install xxhash")
    root = open_folder(args.vault)
    report = Report()
    raws: List[bytes] = []
    vault_id = None
    for name in TOP_FILES[:2]:
        try:
            config = read_config(root, name)
            vault_id = vault_id or config.vault_id
            raws.append(config.raw)
            report.add(name, OK)
        except Bad as bad:
            report.add(name, bad.state, str(bad))
    if len(raws) == 2 and raws[0] != raws[1]:
        report.add(TOP_FILES[1], INCOMPLETE, "it differs from coffer.json")
    keyless_folder(root, "", vault_id, report, 0)
    return report.finish(args.json, vault_id, True)


def keyless_folder(folder: Folder, path: str, vault_id: Optional[bytes], report: Report, depth: int) -> None:
    for name in folder.names():
        where, folded = join(path, show(os.fsencode(name))), fold(name)
        if IGNORED.fullmatch(name) or depth == 0 and name in TOP_FILES:
            continue
        try:
            is_ours = OUR_SHAPE.fullmatch(folded) is not None
            mode = folder.stat(name).st_mode
            side = SIDE_NAME.fullmatch(folded)
            if stat.S_ISDIR(mode) and RUN.search(folded):
                if depth >= DEPTH_MAX:
                    raise Bad(TAMPERED, f"more than {DEPTH_MAX} folders within each other")
                with Folder(name, folder) as child:
                    keyless_folder(child, where, vault_id, report, depth + 1)
            elif not stat.S_ISREG(mode):
                report.add(where, FOREIGN, "not part of the vault")
            elif side:
                if base32(b2b(20, None, folder.read(name, SIDE_FILE_MAX))) != side.group(1):
                    raise Bad(DAMAGED, "the side file does not hold the name it should")
                report.add(where, OK)
            elif PIN_NAME.search(folded):
                pin = unbase32(PIN_NAME.search(folded).group(1))  # type: ignore[union-attr]
                report.add(where, OK if pin else DAMAGED, "its name is no base32")
            else:
                keyless_file(folder, name, is_ours, where, vault_id, report)
            if is_ours and folded[0] == "0":
                folder.stat(f"{folded}.name")
        except Bad as bad:
            report.add(where, bad.state, str(bad))
        except FileNotFoundError:
            report.add(where, DAMAGED, "its side file is missing")
        except OSError as error:
            report.add(where, DAMAGED, f"cannot be read: {error.strerror}")


def keyless_file(folder: Folder, name: str, is_ours: bool, where: str, vault_id: Optional[bytes], report: Report) -> None:
    with folder.open(name) as stream:
        raw = read_fully(stream, HEADER_SIZE)
        if not RUN.search(fold(name)) or raw[:8] != MAGIC and not is_ours:
            report.add(where, FOREIGN, "not part of the vault")
            return
        try:
            header = parse_header(raw, None, vault_id)
        except OfAnotherVault as bad:
            report.add(where, FOREIGN, str(bad))
            return
        records = Records(stream, header, None)
        for _ in records:
            pass
        report.add(where, *records.verdict())


# ------------------------------------------------------------------------------------------------------ main


def parse_arguments(argv: Optional[List[str]]) -> argparse.Namespace:
    secrets = argparse.ArgumentParser(add_help=False)
    group = secrets.add_argument_group("what opens the vault (asked for if nothing is given)")
    only_one = group.add_mutually_exclusive_group()
    only_one.add_argument("--key-file", metavar="F", help="file with the 64 digits of the vault key")
    only_one.add_argument("--password-file", metavar="F", help="file with a password (one newline at its end is dropped)")
    only_one.add_argument("--keyfile", metavar="F", help="the file of a keyfile slot")
    group.add_argument("--slot", type=int, metavar="ID", help="try this slot only")
    group.add_argument("--without-config", action="store_true",
                       help="coffer.json is lost or refused: go on with the 64 digits alone")
    secrets.add_argument("vault", metavar="VAULT", help="the folder with coffer.json")

    parser = argparse.ArgumentParser(prog="coffer_reader.py", description=(__doc__ or "").split("\n", 1)[0],
                                     epilog=EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, function: Any, summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, parents=[secrets], help=summary, description=summary, epilog=EXIT_CODES,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
        sub.set_defaults(function=function)
        return sub

    command("info", command_info, "what coffer.json says")
    sub = command("ls", command_ls, "list a directory")
    sub.add_argument("paths", metavar="PATH", nargs="*")
    sub.add_argument("-l", dest="long", action="store_true", help="with permissions, size, time and state")
    sub.add_argument("-R", dest="recursive", action="store_true", help="and all below it")
    command("cat", command_cat, "write a file to the standard output").add_argument("path", metavar="PATH")
    sub = command("extract", command_extract, "decrypt a tree into a new or empty folder")
    sub.add_argument("dest", metavar="DEST")
    sub.add_argument("paths", metavar="PATH", nargs="*", help="only these")
    sub.add_argument("--meta", choices=["fs", "header"], default="fs",
                     help="permissions and times from the ciphertext files (default), or from the headers inside them, "
                          "if copying the vault lost the former")
    sub.add_argument("--xattrs", action="store_true", help="also extended attributes named user.*")
    sub.add_argument("--salvage", action="store_true", help="of files that are not whole, write the parts that "
                     "authenticate to NAME.damaged")
    sub = command("verify", command_verify, "check everything")
    sub.add_argument("--keyless", action="store_true", help="only what can be checked without a key (accidents)")
    sub.add_argument("--json", action="store_true")
    sub = command("identify", command_identify, "say what a lone ciphertext file is")
    sub.add_argument("files", metavar="FILE", nargs="+")
    args, late = parser.parse_known_args(argv)
    # argparse takes no optional PATHs after options: `ls VAULT -l PATH` leaves PATH over.
    if late and (not hasattr(args, "paths") or any(word.startswith("-") for word in late)):
        parser.error(f"not understood: {' '.join(late)}")
    if late:
        args.paths += late
    return args


def main(argv: Optional[List[str]] = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    args = parse_arguments(argv)
    try:
        return args.function(args)
    except Failure as failure:
        warn(str(failure))
        return failure.exit_code
    except Bad as bad:
        warn(f"{bad.state}: {bad}")
        return EXIT_OF_STATE[bad.state] or EXIT_VAULT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_SYSTEM
    except OSError as error:
        warn(f"{error.filename or ''}: {error.strerror or error}".lstrip(": "))
        return EXIT_SYSTEM
    except KeyboardInterrupt:
        return EXIT_SYSTEM


if __name__ == "__main__":
    sys.exit(main())
