"""A tiny writer of vaults, for the reader's tests only. Like the reader it was written from docs/FORMAT.md alone.

It borrows the reader's stream cipher and base32 (checked against published vectors in test_reader.py), and takes
XChaCha20-Poly1305 and Argon2id from libsodium, which the reader does not use for the former.
"""
from __future__ import annotations

import json
import os
import stat
import struct
from typing import Any, Dict, List, Optional, Tuple

import nacl.bindings
import nacl.pwhash.argon2id
import xxhash
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from coffer_reader import b2b, base32, xchacha20

Context = Tuple[str, bytes]  # a ciphertext folder and the directory's id


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def xseal(key: bytes, nonce: bytes, ad: bytes, plain: bytes) -> bytes:
    return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, ad, nonce, key)


class Writer:
    def __init__(self, path: str, suite: int = 1, chunk: int = 4096, name_max: int = 200) -> None:
        self.path, self.suite, self.chunk, self.name_max = path, suite, chunk, name_max
        self.vault_key, self.vault_id = os.urandom(32), os.urandom(16)
        os.mkdir(path)
        self.root: Context = (path, b2b(16, self.sub("coffer directory ids"), b"root"))

    def sub(self, context: str) -> bytes:
        return b2b(32, self.vault_key, context.encode())

    # Section 3

    def config(self, slots: List[Dict[str, Any]] = [], **changes: Any) -> bytes:
        data = {"format": 0, "vault_id": self.vault_id.hex(), "suite": "aes-256-gcm", "chunk_size": self.chunk,
                "name_max": self.name_max, "key_epoch": 0, "generation": 1, "created": "2026-11-22T10:00:00Z",
                "features": [], "slots": slots}
        data.update(changes)
        return self.with_mac(json.dumps(data, indent=2)[:-2])

    def with_mac(self, body: str) -> bytes:
        """`body` is the JSON up to the last value before the mac."""
        zeroed = (body + ',\n  "mac": "' + "0" * 64 + '"\n}\n').encode()
        mac = b2b(32, self.sub("coffer config"), zeroed).hex().encode()
        return zeroed[:-68] + mac + zeroed[-4:]

    def write_config(self, raw: Optional[bytes] = None, copy: Optional[bytes] = None) -> None:
        raw = self.config() if raw is None else raw
        for name, content in (("coffer.json", raw), ("coffer-copy.json", raw if copy is None else copy)):
            put(os.path.join(self.path, name), content)

    def slot(self, number: int, kind: str, secret: bytes) -> Dict[str, Any]:
        data: Dict[str, Any] = {"id": number, "type": kind, "label": kind, "created": "2026-11-22T10:00:00Z"}
        passes = memory = 0
        if kind == "password":
            passes, memory, salt = 1, 8192, os.urandom(16)
            data.update(passes=passes, memory_kib=memory)
            kek = nacl.pwhash.argon2id.kdf(32, secret, salt, opslimit=passes, memlimit=memory * 1024)
        else:
            salt = os.urandom(32)
            kek = b2b(32, salt, b"coffer keyfile" + secret)
        nonce = os.urandom(24)
        ad = b"coffer slot" + self.vault_id + kind.encode() + b"\0" + u64(passes) + u64(memory) + salt
        data.update(salt=salt.hex(), nonce=nonce.hex(), wrapped=xseal(kek, nonce, ad, self.vault_key).hex())
        return data

    # Sections 5 and 6

    def cipher_name(self, directory_id: bytes, name: bytes, kind: int = 0) -> str:
        siv = b2b(16, self.sub("coffer names siv"), bytes([1, kind]) + directory_id + name)
        cipher = siv + xchacha20(self.sub("coffer names stream"), siv + bytes(8), name)
        return base32(cipher) + ["", "8", "9"][kind]

    def disk_name(self, where: Context, name: bytes, kind: int = 0) -> str:
        """The name on disk; a long one's side file is made."""
        cipher_name = self.cipher_name(where[1], name, kind)
        if len(cipher_name) <= self.name_max:
            return cipher_name
        short = "0" + base32(b2b(20, None, cipher_name.encode())) + ["", "8", "9"][kind]
        put(os.path.join(where[0], short + ".name"), cipher_name.encode())
        return short

    def derived(self, parent_id: bytes, name: bytes) -> bytes:
        return b2b(16, self.sub("coffer directory ids"), parent_id + self.cipher_name(parent_id, name).encode())

    def mkdir(self, where: Context, name: bytes) -> Context:
        path = os.path.join(where[0], self.disk_name(where, name))
        os.mkdir(path)
        return path, self.derived(where[1], name)

    def pin(self, folder: str, keeps: bytes, leaves: bytes, goes_to: bytes, when: int = 1) -> str:
        plain = keeps + leaves + goes_to + struct.pack("<q", when)
        siv = b2b(16, self.sub("coffer names siv"), bytes([2, 0]) + bytes(16) + plain)
        name = "dir." + base32(siv + xchacha20(self.sub("coffer names stream"), siv + bytes(8), plain)) + ".coffer"
        path = os.path.join(folder, name)
        put(path, name.encode())
        return path

    # Section 4

    def cipher_file(self, plain: bytes, parent: bytes, name: bytes, kind: int = 0, mode: int = stat.S_IFREG | 0o640,
                    file_id: Optional[bytes] = None, tweak: Any = None) -> bytes:
        """`tweak(fields)` may change the fields of the inner header before they are sealed."""
        file_id = file_id or os.urandom(16)

        def key(label: str) -> bytes:
            return b2b(32, self.sub("coffer files"), label.encode() + bytes([self.suite]) + file_id)

        records, content_sum, keyless = [], 0, 0
        for i in range(0, -(-len(plain) // self.chunk)):
            chunk = plain[i * self.chunk:(i + 1) * self.chunk]
            nonce_size = 12 if self.suite == 1 else 24
            if not any(chunk):
                records.append(bytes(nonce_size + len(chunk) + 24))
                continue
            nonce = os.urandom(nonce_size)
            sealed = AESGCM(key("chunk")).encrypt(nonce, chunk, u64(i)) if self.suite == 1 else \
                xseal(key("chunk"), nonce, u64(i), chunk)
            own_sum = xxhash.xxh3_64_intdigest(nonce + sealed, seed=i)
            records.append(nonce + sealed + u64(own_sum))
            content_sum += int.from_bytes(b2b(16, key("csum."), u64(i) + sealed[-16:]), "little")
            keyless += xxhash.xxh3_64_intdigest(u64(i) + u64(own_sum))
        body = b"".join(records)
        fields = {"size": len(plain), "csum": content_sum % 2**128, "version": 3, "seals": len(records), "mode": mode,
                  "rdev": 0, "mtime": 1700000000, "birth": 1600000000, "kind": kind, "name": name, "parent": parent,
                  "rest": bytes(17), "length": 512 + len(body), "flags": 0, "keyless": keyless % 2**64}
        if tweak:
            tweak(fields)
        inner = u64(fields["size"]) + fields["csum"].to_bytes(16, "little") + u64(fields["version"]) + bytes(16) + \
            u64(fields["seals"]) + struct.pack("<III", fields["mode"], 1000, 1000) + u64(fields["rdev"]) + \
            struct.pack("<qIqI", fields["mtime"], 5, fields["birth"], 6) + \
            bytes([fields["kind"], len(fields["name"]), 0, 0]) + fields["parent"] + \
            fields["name"].ljust(255, b"\0") + fields["rest"]
        assert len(inner) == 392
        outer = bytes.fromhex("c7434f46460d0a1a") + struct.pack(
            "<HBBHH", 0, self.suite, self.chunk.bit_length() - 1, self.name_max, fields["flags"]) + self.vault_id + \
            file_id + bytes(8) + u64(fields["length"]) + u64(fields["keyless"])
        nonce = os.urandom(24)
        head = outer + nonce + xseal(key("head."), nonce, outer, inner)
        return head + u64(xxhash.xxh3_64_intdigest(head)) + body

    def add(self, where: Context, name: bytes, plain: bytes, kind: int = 0, mode: int = stat.S_IFREG | 0o640,
            tweak: Any = None, file_id: Optional[bytes] = None) -> str:
        """Returns the path of the ciphertext file."""
        path = os.path.join(where[0], self.disk_name(where, name, kind))
        put(path, self.cipher_file(plain, where[1], name, kind, mode, file_id, tweak))
        return path

    # Section 7

    def xattr(self, name: bytes, value: bytes, owner: bytes) -> Tuple[str, bytes]:
        h = b2b(16, self.sub("coffer xattr names"), name)
        nonce = os.urandom(24)
        sealed = xseal(self.sub("coffer xattr values"), nonce, owner + h, bytes([len(name)]) + name + value)
        return "user.coffer." + base32(h), nonce + sealed


def put(path: str, content: bytes) -> None:
    with open(path, "wb") as stream:
        stream.write(content)


def get(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()
