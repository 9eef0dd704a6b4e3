#!/usr/bin/python3
"""Golden vectors for everything docs/FORMAT.md derives, computed from that page alone.

    scripts/make_vectors.py            writes tests/vectors/*.json
    scripts/make_vectors.py --check    computes them again and compares; exit code 1 where they differ

Shares no code with the program or with coffer_reader.py: BLAKE2b is Python's own, AES-GCM, ChaCha20 and Poly1305 are the
`cryptography` package's, HChaCha20 stands below, XXH3 is python3-xxhash's; only Argon2id is libsodium's here, too
(python3-nacl). It runs under Debian's Python, whose packages scripts/install-deps installs. Exit code 77: they are missing.

Binary values are hexadecimal. Long plaintexts are given as {"size", "seed"} of pattern(). In each file, `refused` holds
what a reader must not accept though most of it was made with the true keys, and `why`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import stat
import struct
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

try:
    import nacl.pwhash.argon2id
    import xxhash
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
except ImportError as missing:
    print(f"{missing}: scripts/install-deps test", file=sys.stderr)
    sys.exit(77)

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "vectors"
Vector = Dict[str, Any]

# --- Primitives (FORMAT.md, head)


def b2b(size: int, key: Optional[bytes], message: bytes) -> bytes:
    return hashlib.blake2b(message, digest_size=size, key=key or b"").digest()


def base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def u16(value: int) -> bytes:
    return struct.pack("<H", value)


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def i64(value: int) -> bytes:
    return struct.pack("<q", value)


def xxh3(data: bytes, seed: int = 0) -> int:
    return int(xxhash.xxh3_64_intdigest(data, seed=seed))


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right))


def quarter_round(x: List[int], a: int, b: int, c: int, d: int) -> None:
    def step(to: int, add: int, mixed: int, bits: int) -> None:
        x[to] = (x[to] + x[add]) & 0xFFFFFFFF
        x[mixed] ^= x[to]
        x[mixed] = (x[mixed] << bits | x[mixed] >> (32 - bits)) & 0xFFFFFFFF

    step(a, b, d, 16)
    step(c, d, b, 12)
    step(a, b, d, 8)
    step(c, d, b, 7)


def hchacha20(key: bytes, nonce16: bytes) -> bytes:
    """draft-irtf-cfrg-xchacha-03, section 2.2."""
    x = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce16))
    for _ in range(10):
        for column in range(4):
            quarter_round(x, column, column + 4, column + 8, column + 12)
        for diagonal in range(4):
            quarter_round(x, diagonal, (diagonal + 1) % 4 + 4, (diagonal + 2) % 4 + 8, (diagonal + 3) % 4 + 12)
    return struct.pack("<8I", *x[:4], *x[12:])


def xchacha20_stream(key: bytes, nonce24: bytes, size: int) -> bytes:
    counter_and_nonce = bytes(8) + nonce24[16:]
    cipher = Cipher(algorithms.ChaCha20(hchacha20(key, nonce24[:16]), counter_and_nonce), mode=None)
    return cipher.encryptor().update(bytes(size))


def xchacha20_poly1305(key: bytes, nonce24: bytes, ad: bytes, plain: bytes) -> bytes:
    return ChaCha20Poly1305(hchacha20(key, nonce24[:16])).encrypt(bytes(4) + nonce24[16:], plain, ad)


def pattern(size: int, seed: int) -> bytes:
    """As in tests/crypto/support.h: a linear congruential generator's high bytes."""
    data, state = bytearray(), seed
    for _ in range(size):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        data.append(state >> 24)
    return bytes(data)


# --- Keys (section 2)

CONTEXTS = ["coffer names siv", "coffer names stream", "coffer directory ids", "coffer files", "coffer xattr names",
            "coffer xattr values", "coffer config", "coffer ledger", "coffer local state"]
VAULT_KEYS = [bytes(range(32)), pattern(32, 99)]
VK = VAULT_KEYS[0]
VAULT_ID = bytes(range(0x10, 0x20))
FILE_ID = bytes(range(0x20, 0x30))
SUITES = {1: (12, 36), 2: (24, 48)}  # nonce, overhead


def subkey(vault_key: bytes, context: str) -> bytes:
    return b2b(32, vault_key, context.encode())


def file_key(vault_key: bytes, label: str, suite: int, file_id: bytes) -> bytes:
    return b2b(32, subkey(vault_key, "coffer files"), label.encode() + bytes([suite]) + file_id)


def key_vectors() -> Vector:
    def one(vault_key: bytes) -> Vector:
        digits = vault_key.hex()
        files = [{"suite": suite, "file_id": file_id.hex(),
                  "keys": {label: file_key(vault_key, label, suite, file_id).hex() for label in ("chunk", "csum.", "head.")}}
                 for suite in SUITES for file_id in (FILE_ID, bytes(16), b"\xff" * 16)]
        return {"vault_key": digits, "text": " ".join(digits[i:i + 4] for i in range(0, 64, 4)),
                "subkeys": {context: subkey(vault_key, context).hex() for context in CONTEXTS}, "files": files}

    return {"accepted": [one(vault_key) for vault_key in VAULT_KEYS]}


# --- Names (section 5) and directory ids (section 6)


def siv_encrypt(vault_key: bytes, purpose: int, kind: int, directory: bytes, plain: bytes) -> bytes:
    siv = b2b(16, subkey(vault_key, "coffer names siv"), bytes([purpose, kind]) + directory + plain)
    return siv + xor(plain, xchacha20_stream(subkey(vault_key, "coffer names stream"), siv + bytes(8), len(plain)))


def ciphertext_name(vault_key: bytes, directory: bytes, kind: int, name: bytes) -> str:
    return base32(siv_encrypt(vault_key, 1, kind, directory, name)) + ["", "8", "9"][kind]


def short_form(cipher_name: str) -> str:
    suffix = cipher_name[-1] if cipher_name[-1:] in ("8", "9") else ""
    return "0" + base32(b2b(20, None, cipher_name.encode())) + suffix


def root_id(vault_key: bytes) -> bytes:
    return b2b(16, subkey(vault_key, "coffer directory ids"), b"root")


def derived_id(vault_key: bytes, parent: bytes, cipher_name: str) -> bytes:
    return b2b(16, subkey(vault_key, "coffer directory ids"), parent + cipher_name.encode())


PLAIN_NAMES = ["a", "...", "report.odt", "\u00dcberraschung.txt", "U\u0308berraschung.txt", "\u65e5\u672c\u8a9e" * 12,
               "\U0001f511 keys", "line\nbreak", "x" * 109, "x" * 110, "x" * 143, "x" * 144, "x" * 255, "\u4e2d" * 85]
RAW_NAMES = [name.encode() for name in PLAIN_NAMES] + [b"\xff\xfe not UTF-8", bytes(range(1, 47)) + bytes(range(48, 256))]


def name_vectors() -> Vector:
    def one(vault_key: bytes, directory: bytes, kind: int, name: bytes) -> Vector:
        full = ciphertext_name(vault_key, directory, kind, name)
        return {"vault_key": vault_key.hex(), "directory": directory.hex(), "kind": kind, "name": name.hex(),
                "text": name.decode(errors="backslashreplace"), "ciphertext_name": full, "short_form": short_form(full),
                "entry_name": {str(most): full if len(full) <= most else short_form(full) for most in (132, 200, 255)},
                "derived_id": derived_id(vault_key, directory, full).hex()}

    accepted = []
    for vault_key in VAULT_KEYS:
        root = root_id(vault_key)
        child = derived_id(vault_key, root, ciphertext_name(vault_key, root, 0, b"folder"))
        accepted += [one(vault_key, root, kind, name) for kind in range(3) for name in RAW_NAMES]
        accepted += [one(vault_key, child, 0, name) for name in RAW_NAMES[:3]]
    good = ciphertext_name(VK, root_id(VK), 0, b"a")
    refused = [{"why": f"the name {name!r:.20}", "ciphertext_name": ciphertext_name(VK, root_id(VK), 0, name)}
               for name in (b"", b".", b"..", b"/", b"a/b", b"a\0b", b"x" * 256)]
    refused += [{"why": "non-zero padding bits", "ciphertext_name": good[:-1] + chr(ord(good[-1]) + 1)},
                {"why": "upper case, which callers fold", "ciphertext_name": good.upper()},
                {"why": "a symbolic link's suffix on a file's name", "ciphertext_name": good + "8"},
                {"why": "two suffixes", "ciphertext_name": ciphertext_name(VK, root_id(VK), 2, b"a") + "9"},
                {"why": "shorter than a synthetic IV", "ciphertext_name": good[:16]},
                {"why": "another directory's", "ciphertext_name": ciphertext_name(VK, bytes(16), 0, b"a")},
                {"why": "another vault's", "ciphertext_name": ciphertext_name(VAULT_KEYS[1], root_id(VK), 0, b"a")},
                {"why": "a pin", "ciphertext_name": base32(siv_encrypt(VK, 2, 0, root_id(VK), b"a"))}]
    for case in refused:
        case.update({"vault_key": VK.hex(), "directory": root_id(VK).hex()})
    return {"roots": {vault_key.hex(): root_id(vault_key).hex() for vault_key in VAULT_KEYS},
            "accepted": accepted, "refused": refused}


def pin_vectors() -> Vector:
    def pin_name(vault_key: bytes, plain: bytes, purpose: int = 2, kind: int = 0, directory: bytes = bytes(16)) -> str:
        return "dir." + base32(siv_encrypt(vault_key, purpose, kind, directory, plain)) + ".coffer"

    accepted = []
    for vault_key in VAULT_KEYS:
        for time in (0, 1795343700123456789, -1, -2 ** 63, 2 ** 63 - 1):
            ids = [pattern(16, seed) for seed in (1, 2, 3)]
            accepted.append({"vault_key": vault_key.hex(), "id": ids[0].hex(), "from": ids[1].hex(), "to": ids[2].hex(),
                             "time_ns": str(time), "name": pin_name(vault_key, b"".join(ids) + i64(time))})
    plain = pattern(56, 5)
    good = pin_name(VK, plain)
    refused = [{"why": "another vault's", "name": pin_name(VAULT_KEYS[1], plain)},
               {"why": "a name of 56 bytes", "name": pin_name(VK, plain, purpose=1)},
               {"why": "of a kind", "name": pin_name(VK, plain, kind=1)},
               {"why": "of a directory", "name": pin_name(VK, plain, directory=bytes(15) + b"\1")},
               {"why": "55 bytes", "name": pin_name(VK, plain[:55])},
               {"why": "57 bytes", "name": pin_name(VK, plain + b"\0")},
               {"why": "non-zero padding bits", "name": good[:-8] + chr(ord(good[-8]) + 1) + ".coffer"}]
    for case in refused:
        case["vault_key"] = VK.hex()
    return {"accepted": accepted, "refused": refused}


# --- Records and sums (sections 4.2 to 4.4)


def seal_record(suite: int, file_id: bytes, index: int, nonce: bytes, plain: bytes, vault_key: bytes = VK) -> bytes:
    key = file_key(vault_key, "chunk", suite, file_id)
    if suite == 1:
        sealed = AESGCM(key).encrypt(nonce, plain, u64(index))
    else:
        sealed = xchacha20_poly1305(key, nonce, u64(index), plain)
    return with_record_sum(nonce + sealed, index)


def with_record_sum(body: bytes, index: int) -> bytes:
    return body + u64(xxh3(body, seed=index))


def content_term(suite: int, file_id: bytes, index: int, record: bytes) -> int:
    return int.from_bytes(b2b(16, file_key(VK, "csum.", suite, file_id), u64(index) + record[-24:-8]), "little")


def keyless_term(index: int, record: bytes) -> int:
    return xxh3(u64(index) + record[-8:])


def hex128(value: int) -> str:
    return f"{value % 2 ** 128:032x}"


def hex64(value: int) -> str:
    return f"{value % 2 ** 64:016x}"


def record_vectors() -> Vector:
    accepted, refused = [], []
    sizes = [1, 15, 16, 17, 500, 4095, 4096, 16383, 16384, 1048575, 1048576]
    indexes = [0, 1, 2, 255, 2 ** 32, 2 ** 50]
    for suite, (nonce_size, overhead) in SUITES.items():
        for number, size in enumerate(sizes):
            index, nonce, plain = indexes[number % len(indexes)], pattern(nonce_size, size), pattern(size, size + 1)
            record = seal_record(suite, FILE_ID, index, nonce, plain)
            assert len(record) == size + overhead
            case = {"suite": suite, "vault_key": VK.hex(), "file_id": FILE_ID.hex(), "index": index, "nonce": nonce.hex(),
                    "plain": {"size": size, "seed": size + 1}, "record_blake2b": b2b(32, None, record).hex(),
                    "content_term": hex128(content_term(suite, FILE_ID, index, record)),
                    "keyless_term": hex64(keyless_term(index, record))}
            if size <= 500:
                case["record"] = record.hex()
            accepted.append(case)
        refused += refused_records(suite, nonce_size)
    return {"accepted": accepted, "refused": refused}


def refused_records(suite: int, nonce_size: int) -> List[Vector]:
    nonce, plain = pattern(nonce_size, 1), pattern(20, 2)
    good = seal_record(suite, FILE_ID, 7, nonce, plain)
    flipped = bytearray(good[:-8])
    flipped[nonce_size] ^= 1
    cases = {"a hole": bytes(len(good)),
             "of chunk 8": with_record_sum(seal_record(suite, FILE_ID, 8, nonce, plain)[:-8], 7),
             "of another file": seal_record(suite, bytes(16), 7, nonce, plain),
             "of another vault": seal_record(suite, FILE_ID, 7, nonce, plain, VAULT_KEYS[1]),
             "one bit changed and the sum put right": with_record_sum(bytes(flipped), 7),
             "one bit of the sum changed": good[:-1] + bytes([good[-1] ^ 1]),
             "the sum without its seed": good[:-8] + u64(xxh3(good[:-8]))}
    return [{"why": why, "suite": suite, "vault_key": VK.hex(), "file_id": FILE_ID.hex(), "index": 7, "record": record.hex()}
            for why, record in cases.items()]


def sum_vectors() -> Vector:
    """Whole files of some records with a hole among them."""
    accepted = []
    for suite, (nonce_size, _) in SUITES.items():
        for count in (0, 1, 5, 40):
            content = keyless = 0
            trailers = []
            for index in range(count):
                if index == 3:
                    trailers.append("")  # a hole
                    continue
                record = seal_record(suite, FILE_ID, index, pattern(nonce_size, index), pattern(50, index))
                trailers.append(record[-24:].hex())
                content += content_term(suite, FILE_ID, index, record)
                keyless += keyless_term(index, record)
            accepted.append({"suite": suite, "vault_key": VK.hex(), "file_id": FILE_ID.hex(), "trailers": trailers,
                             "content_sum": hex128(content), "keyless_sum": hex64(keyless)})
    return {"accepted": accepted}


def cipher_length(suite: int, chunk: int, plain: int) -> int:
    overhead = SUITES[suite][1]
    return 512 + plain // chunk * (chunk + overhead) + (plain % chunk + overhead if plain % chunk else 0)


def geometry_vectors() -> Vector:
    accepted, refused = [], []
    for suite, (_, overhead) in SUITES.items():
        for chunk in (4096, 16384, 1048576):
            for plain in (0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 2 * chunk + 500, 5 * 2 ** 30 + 3, 2 ** 40, 2 ** 62):
                accepted.append({"suite": suite, "chunk_size": chunk, "plain_size": plain,
                                 "cipher_length": cipher_length(suite, chunk, plain)})
            for extra in (1, overhead):
                refused += [{"suite": suite, "chunk_size": chunk, "cipher_length": base + extra}
                            for base in (512, 512 + chunk + overhead, 512 + 1000 * (chunk + overhead))]
            refused.append({"suite": suite, "chunk_size": chunk, "cipher_length": 511})
    return {"accepted": accepted, "refused": refused}


# --- Headers (section 4.1)


def header_fields(**changes: Any) -> Vector:
    fields: Vector = {
        "format": 0, "suite": 1, "log2_chunk_size": 14, "name_max": 200, "flags": 0, "vault_id": VAULT_ID, "file_id": FILE_ID,
        "key_epoch": 0, "reserved": 0, "keyless_sum": 0x0123456789ABCDEF, "plain_size": 33268, "content_sum": 2 ** 127 + 12345,
        "version": 1, "writer": pattern(16, 7), "seals": 3, "mode": stat.S_IFREG | 0o644, "uid": 1000, "gid": 1000, "rdev": 0,
        "mtime": (1795343700, 123456789), "birth": (1795343600, 0), "kind": 0, "reserved2": 0, "parent": pattern(16, 8),
        "name": b"report.odt", "padding": bytes(17)}
    fields.update(changes)
    if "cipher_length" not in fields:
        fields["cipher_length"] = cipher_length(fields["suite"], 1 << fields["log2_chunk_size"], fields["plain_size"])
    return fields


def header_secret(f: Vector) -> bytes:
    """The 392 encrypted bytes."""
    times = b"".join(i64(seconds) + u32(nanoseconds) for seconds, nanoseconds in (f["mtime"], f["birth"]))
    secret = u64(f["plain_size"]) + f["content_sum"].to_bytes(16, "little") + u64(f["version"]) + f["writer"] + u64(f["seals"])
    secret += u32(f["mode"]) + u32(f["uid"]) + u32(f["gid"]) + u64(f["rdev"]) + times
    secret += bytes([f["kind"], f.get("name_length", len(f["name"]))]) + u16(f["reserved2"]) + f["parent"]
    secret += f["name"].ljust(255, b"\0") + f["padding"]
    assert len(secret) == 392
    return secret


def seal_header(f: Vector, nonce: bytes, vault_key: bytes = VK, magic: bytes = b"\xc7COFF\r\n\x1a") -> bytes:
    clear = magic + u16(f["format"]) + bytes([f["suite"], f["log2_chunk_size"]]) + u16(f["name_max"]) + u16(f["flags"])
    clear += f["vault_id"] + f["file_id"] + u32(f["key_epoch"]) + u32(f["reserved"]) + u64(f["cipher_length"])
    clear += u64(f["keyless_sum"])
    assert len(clear) == 72
    key = file_key(vault_key, "head.", f["suite"], f["file_id"])
    header = clear + nonce + xchacha20_poly1305(key, nonce, clear, header_secret(f))
    assert len(header) == 504
    return header + u64(xxh3(header))


def plain_json(fields: Vector) -> Vector:
    """Bytes as hexadecimal, numbers as they are, but those beyond 64 bits as text."""
    def one(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.hex()
        return hex128(value) if isinstance(value, int) and value >= 2 ** 64 else value

    return {key: one(value) for key, value in fields.items()}


ACCEPTED_HEADERS: List[Vector] = [
    {}, {"plain_size": 0}, {"plain_size": 2 ** 62, "version": 2 ** 64 - 1, "seals": 2 ** 64 - 1, "key_epoch": 2 ** 32 - 1},
    {"suite": 2, "log2_chunk_size": 12, "plain_size": 2 * 4096 + 500, "name_max": 132},
    {"suite": 2, "log2_chunk_size": 20, "plain_size": 2 ** 20, "name_max": 255},
    {"name": b"x" * 255, "uid": 2 ** 32 - 1, "gid": 0}, {"name": "\u00dcberraschung \U0001f511".encode()}, {"name": b"\xff"},
    {"kind": 1, "mode": stat.S_IFLNK | 0o777, "plain_size": 1}, {"kind": 1, "mode": stat.S_IFLNK | 0o777, "plain_size": 4095},
    {"kind": 2, "mode": stat.S_IFBLK | 0o660, "rdev": 8 << 32 | 17, "plain_size": 0},
    {"kind": 2, "mode": stat.S_IFCHR | 0o666, "rdev": (2 ** 32 - 1) << 32 | 2 ** 20, "plain_size": 0},
    {"kind": 2, "mode": stat.S_IFIFO | 0o600, "plain_size": 0}, {"kind": 2, "mode": stat.S_IFSOCK | 0o700, "plain_size": 0},
    {"mode": stat.S_IFREG | 0o7777, "mtime": (-2 ** 63, 999999999), "birth": (2 ** 63 - 1, 0)},
    {"content_sum": 2 ** 128 - 1, "keyless_sum": 2 ** 64 - 1}]

# (error, why, fields)
REFUSED_HEADERS: List[Any] = [
    ("newer", "format 1", {"format": 1}), ("newer", "a flag", {"flags": 0x8000}), ("newer", "suite 3", {"suite": 3}),
    ("forged", "reserved in clear", {"reserved": 1}), ("forged", "chunk of 2 KiB", {"log2_chunk_size": 11}),
    ("forged", "chunk of 2 MiB", {"log2_chunk_size": 21}), ("forged", "name_max 131", {"name_max": 131}),
    ("forged", "name_max 256", {"name_max": 256}), ("forged", "a length no file has", {"cipher_length": 513}),
    ("forged", "a length shorter than a header", {"cipher_length": 0}),
    ("forged", "plain size and length disagree", {"plain_size": 33267, "cipher_length": 33888}),
    ("forged", "reserved", {"reserved2": 0x0100}), ("forged", "padding", {"padding": bytes(16) + b"\1"}),
    ("forged", "no name", {"name": b""}), ("forged", "name .", {"name": b"."}), ("forged", "name ..", {"name": b".."}),
    ("forged", "name with /", {"name": b"../x"}), ("forged", "name with NUL", {"name": b"a\0b"}),
    ("forged", "name longer than its length", {"name": b"report.odt", "name_length": 6}),
    ("forged", "name shorter than its length", {"name": b"report", "name_length": 10}),
    ("forged", "kind 3", {"kind": 3}), ("forged", "kind 1 but a regular file", {"kind": 1}),
    ("forged", "a symbolic link to nothing", {"kind": 1, "mode": stat.S_IFLNK | 0o777, "plain_size": 0}),
    ("forged", "a target too long", {"kind": 1, "mode": stat.S_IFLNK | 0o777, "plain_size": 4096}),
    ("forged", "a pipe with content", {"kind": 2, "mode": stat.S_IFIFO | 0o600, "plain_size": 1}),
    ("forged", "a regular file as special", {"kind": 2, "plain_size": 0}),
    ("forged", "a directory", {"mode": stat.S_IFDIR | 0o755, "plain_size": 0}),
    ("forged", "a device number without a device", {"rdev": 1}),
    ("forged", "a full second of nanoseconds", {"mtime": (0, 10 ** 9)}),
    ("other vault", "another vault's id", {"vault_id": bytes(16)})]


def header_vectors() -> Vector:
    nonce = pattern(24, 24)
    accepted = []
    for changes in ACCEPTED_HEADERS:
        fields = header_fields(**changes)
        accepted.append({"vault_key": VK.hex(), "nonce": nonce.hex(), "fields": plain_json(fields),
                         "header": seal_header(fields, nonce).hex()})
    refused = []
    for error, why, changes in REFUSED_HEADERS:
        sums = {1: (12, 36), 2: (24, 48), 3: (32, 56)}
        fields = dict(header_fields(), **changes)
        if "cipher_length" not in changes:
            overhead, chunk, plain = sums[fields["suite"]][1], 1 << fields["log2_chunk_size"], fields["plain_size"]
            whole, last = divmod(plain, chunk)
            fields["cipher_length"] = 512 + whole * (chunk + overhead) + (last + overhead if last else 0)
        refused.append({"why": why, "error": error, "header": seal_header(fields, nonce).hex()})
    good = seal_header(header_fields(), nonce)
    refused += [{"why": "no magic", "error": "not ours", "header": seal_header(header_fields(), nonce, magic=bytes(8)).hex()},
                {"why": "another vault's key", "error": "forged",
                 "header": seal_header(header_fields(), nonce, VAULT_KEYS[1]).hex()},
                {"why": "an accident", "error": "damaged", "header": (good[:100] + b"\0" + good[101:]).hex()},
                {"why": "zeros", "error": "not ours", "header": bytes(512).hex()}]
    for case in refused:
        case.update({"vault_key": VK.hex(), "vault_id": VAULT_ID.hex()})
    return {"accepted": accepted, "refused": refused}


# --- Extended attributes (section 7)


def xattr_hash(vault_key: bytes, name: bytes) -> bytes:
    return b2b(16, subkey(vault_key, "coffer xattr names"), name)


def xattr_vectors() -> Vector:
    nonce, owner = pattern(24, 30), FILE_ID

    def seal(hashed: bytes, plain: bytes) -> str:
        return (nonce + xchacha20_poly1305(subkey(VK, "coffer xattr values"), nonce, owner + hashed, plain)).hex()

    def stored(hashed: bytes) -> str:
        return "user.coffer." + base32(hashed)

    accepted = []
    for name in (b"user.a", b"x", b"user." + b"n" * 250, "user.\u00fc".encode(), b"security.selinux", b"coffer.mode"):
        for value in (b"", b"v", u32(0o400), pattern(4096, 3)):
            hashed = xattr_hash(VK, name)
            accepted.append({"vault_key": VK.hex(), "owner": owner.hex(), "name": name.hex(), "value": value.hex(),
                             "nonce": nonce.hex(), "stored_name": stored(hashed),
                             "sealed": seal(hashed, bytes([len(name)]) + name + value)})
    a, b = xattr_hash(VK, b"user.a"), xattr_hash(VK, b"user.b")
    refused = [{"why": "another attribute's value under its own hash", "stored_name": stored(b), "sealed": seal(b, b"\6user.av")},
               {"why": "no name", "stored_name": stored(a), "sealed": seal(a, b"\0v")},
               {"why": "nothing", "stored_name": stored(a), "sealed": seal(a, b"")},
               {"why": "shorter than its name", "stored_name": stored(a), "sealed": seal(a, b"\7user.a")},
               {"why": "bound to another name", "stored_name": stored(a), "sealed": seal(b, b"\6user.av")},
               {"why": "stored name in upper case", "stored_name": stored(a).upper(), "sealed": seal(a, b"\6user.av")}]
    for case in refused:
        case.update({"vault_key": VK.hex(), "owner": owner.hex()})
    return {"accepted": accepted, "refused": refused}


# --- Slots and coffer.json (section 3)


def slot_key(slot: Vector, secret: bytes) -> bytes:
    salt = bytes.fromhex(slot["salt"])
    if slot["type"] == "keyfile":
        return b2b(32, salt, b"coffer keyfile" + secret)
    return bytes(nacl.pwhash.argon2id.kdf(32, secret, salt, opslimit=slot["passes"], memlimit=slot["memory_kib"] * 1024))


def make_slot(slot_id: int, kind: str, secret: bytes, label: str, **cost: int) -> Vector:
    slot: Vector = {"id": slot_id, "type": kind, "label": label, "created": "2026-11-22T10:15:00Z", **cost,
                    "salt": pattern(16 if kind == "password" else 32, slot_id).hex(), "nonce": pattern(24, slot_id + 1).hex()}
    ad = b"coffer slot" + VAULT_ID + kind.encode() + b"\0" + u64(cost.get("passes", 0)) + u64(cost.get("memory_kib", 0))
    ad += bytes.fromhex(slot["salt"])
    slot["wrapped"] = xchacha20_poly1305(slot_key(slot, secret), bytes.fromhex(slot["nonce"]), ad, VK).hex()
    return slot


SECRETS = {1: b"correct horse battery staple", 2: b"", 3: "\u00dcml\u00e4ut \U0001f511".encode(), 4: bytes(32),
           5: pattern(1000, 9)}


def make_slots() -> List[Vector]:
    return [make_slot(1, "password", SECRETS[1], "Anna", passes=1, memory_kib=8192),
            make_slot(2, "password", SECRETS[2], "", passes=3, memory_kib=8192),
            make_slot(3, "password", SECRETS[3], "B\u00fcro \"2\" \\ \U0001f511", passes=2, memory_kib=12345),
            make_slot(4, "keyfile", SECRETS[4], "stick"), make_slot(5, "keyfile", SECRETS[5], "x" * 64)]


def slot_vectors() -> Vector:
    slots = make_slots()
    return {"accepted": [{"vault_key": VK.hex(), "vault_id": VAULT_ID.hex(), "secret": SECRETS[slot["id"]].hex(), "slot": slot}
                         for slot in slots]}


def with_mac(text: str) -> str:
    """`text` ends as section 3 says, with any 64 digits."""
    zeroed = text[:-68] + "0" * 64 + text[-4:]
    return text[:-68] + b2b(32, subkey(VK, "coffer config"), zeroed.encode()).hex() + text[-4:]


def config_text(**changes: Any) -> str:
    config: Vector = {
        "format": 0, "vault_id": VAULT_ID.hex(), "suite": "aes-256-gcm", "chunk_size": 16384, "name_max": 200, "key_epoch": 0,
        "generation": 1, "created": "2026-11-22T10:15:00Z", "features": [], "slots": []}
    config.update(changes)
    config["mac"] = "0" * 64
    return with_mac(json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def config_vectors() -> Vector:
    full = {"suite": "xchacha20-poly1305", "chunk_size": 1048576, "name_max": 143, "key_epoch": 7,
            "generation": 2 ** 64 - 1, "slots": make_slots()}
    accepted = [config_text(), config_text(**full)]
    # Not as Coffer writes it, but the same values: other order, no spaces.
    data = json.loads(accepted[1])
    del data["mac"]
    compact = json.dumps(dict(reversed(list(data.items()))), separators=(",", ":"))
    other_form = with_mac(compact[:-1] + ',"mac": "' + "0" * 64 + '"\n}\n')
    refused = [("forged", "another generation, the old mac", accepted[0].replace('"generation": 1', '"generation": 2')),
               ("newer", "format 1", config_text(format=1)),
               ("unknown feature", "a feature", config_text(features=["holes"])),
               ("unknown feature", "a key", config_text(surprise=1)),
               ("unknown feature", "an escrow slot", config_text(slots=[dict(make_slots()[0], type="escrow")])),
               ("malformed", "a key twice", with_mac(accepted[0].replace('"suite"', '"format": 0, "suite"'))),
               ("malformed", "a cost of hours", config_text(slots=[dict(make_slots()[0], passes=65)])),
               ("malformed", "a cost of 8 GiB", config_text(slots=[dict(make_slots()[0], memory_kib=8388608)])),
               ("malformed", "a slot id twice", config_text(slots=[make_slots()[0], make_slots()[0]])),
               ("truncated", "the last byte missing", accepted[0][:-1]),
               ("not config", "nothing where the mac must be", accepted[0].replace('"mac"', '"Mac"'))]
    return {"vault_key": VK.hex(), "accepted": [{"text": text, "canonical": True} for text in accepted] +
            [{"text": other_form, "canonical": False, "same_as": 1}],
            "refused": [{"error": error, "why": why, "text": text} for error, why, text in refused]}


# --- Files

FILES: Dict[str, Callable[[], Vector]] = {
    "keys": key_vectors, "names": name_vectors, "pins": pin_vectors, "records": record_vectors, "sums": sum_vectors,
    "geometry": geometry_vectors, "headers": header_vectors, "xattrs": xattr_vectors, "slots": slot_vectors,
    "config": config_vectors}


def main(arguments: List[str]) -> int:
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    # draft-irtf-cfrg-xchacha-03, section 2.2.1: the one primitive that is home-made.
    known = hchacha20(bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927"))
    assert known.hex() == "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"
    differing = 0
    for name, make in FILES.items():
        path = FOLDER / f"{name}.json"
        text = json.dumps(make(), indent=1, ensure_ascii=True) + "\n"
        if not arguments:
            path.write_text(text)
        elif not path.is_file() or path.read_text() != text:
            print(f"{path} differs from what docs/FORMAT.md gives")
            differing += 1
    print(f"{len(FILES)} files, {differing} differ" if arguments else f"{len(FILES)} files written")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
