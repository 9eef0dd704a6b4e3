"""Contents, tampering, extraction and opening: scripts/coffer_reader.py against vaults made by vault_writer.py.

    /usr/bin/python3 -m unittest discover -s tests/reader      (needs python3-cryptography, -nacl, -xxhash)
"""
from __future__ import annotations

import os
import shutil
import stat
import struct
import subprocess
import sys
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import nacl.bindings  # noqa: E402
import xxhash  # noqa: E402

from vault_case import READER, VaultTest, reader  # noqa: E402
from vault_writer import Writer, get, put, u64  # noqa: E402

CHUNK = 4096
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 500)


class Primitives(unittest.TestCase):
    def test_hchacha20_vector_of_the_draft(self) -> None:
        subkey = reader.hchacha20(bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927"))
        self.assertEqual(subkey.hex(), "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc")

    def test_xchacha20_vector_of_the_draft(self) -> None:
        key = bytes(range(0x80, 0xA0))
        nonce = bytes(range(0x40, 0x57)) + b"\x58"
        stream = reader.xchacha20(key, nonce, bytes(304))  # draft-irtf-cfrg-xchacha-03, A.3.2.1, counter 0
        plain = b"The dhole (pronounced \"dole\") is also known as the Asiatic wild dog"
        self.assertEqual(bytes(a ^ b for a, b in zip(plain, stream))[:16].hex(), "4559abba4e48c16102e8bb2c05e6947f")

    def test_xchacha20_poly1305_is_libsodiums(self) -> None:
        key, nonce = os.urandom(32), os.urandom(24)
        sealed = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(b"plain", b"ad", nonce, key)
        self.assertEqual(reader.xchacha20_open(key, nonce, sealed, b"ad"), b"plain")
        self.assertIsNone(reader.xchacha20_open(key, nonce, sealed, b"AD"))

    def test_base32_refuses_what_is_not_canonical(self) -> None:
        self.assertEqual(reader.unbase32("ae"), b"\x01")
        for text in ("af", "a", "aaa", "aaaaaa", "AE", "a1", "ae======", "äe"):
            self.assertIsNone(reader.unbase32(text), text)

    def test_sizes_worked_in_the_format(self) -> None:
        for plain, cipher in ((0, 512), (1, 549), (16383, 16931), (16384, 16932), (16385, 16969), (33268, 33888)):
            self.assertEqual(reader.cipher_size(plain, 16384, 36), cipher)
            self.assertEqual(reader.plain_size(cipher, 16384, 36), plain)
        for cipher in (0, 511, 513, 548, 16932 + 36):
            self.assertIsNone(reader.plain_size(cipher, 16384, 36))


class Contents(VaultTest):
    def test_boundary_sizes_in_both_suites(self) -> None:
        for suite in (1, 2):
            self.vault.suite = suite
            for size in SIZES:
                self.vault.add(self.vault.root, f"{suite}-{size}".encode(), os.urandom(size))
                self.vault.add(self.vault.root, f"z{suite}-{size}".encode(), bytes(size))
        self.assertEqual(self.states(), {})
        self.assertEqual(self.states("--keyless"), {})
        for suite in (1, 2):
            for size in SIZES:
                self.assertEqual(len(self.cat(f"{suite}-{size}")), size)
                self.assertEqual(self.cat(f"z{suite}-{size}"), bytes(size))

    def test_content_comes_back(self) -> None:
        for suite, chunk in ((1, 4096), (2, 16384), (1, 1 << 20)):
            self.vault.suite, self.vault.chunk = suite, chunk
            plain = os.urandom(chunk) + bytes(2 * chunk) + os.urandom(chunk) + bytes(100)
            self.vault.add(self.vault.root, b"f%d%d" % (suite, chunk), plain)
            self.assertEqual(self.cat(f"f{suite}{chunk}"), plain)
        self.assertEqual(self.states(), {})

    def test_a_file_that_is_a_gap_below_is_read_fast_and_extracted_sparse(self) -> None:
        size = 1 << 32
        path = self.vault.add(self.vault.root, b"gap", b"", tweak=lambda f: f.update(
            size=size, length=reader.cipher_size(size, CHUNK, 36)))
        os.truncate(path, reader.cipher_size(size, CHUNK, 36))
        self.assertEqual(self.states(), {})
        code, dest, _ = self.extract()
        status = os.stat(os.path.join(dest, "gap"))
        self.assertEqual((code, status.st_size), (0, size))
        self.assertLess(status.st_blocks, 100)

    def test_holes_among_records(self) -> None:
        plain = bytes(3 * CHUNK) + b"x" + bytes(CHUNK - 1) + bytes(5 * CHUNK) + b"end"
        self.vault.add(self.vault.root, b"holes", plain)
        self.assertEqual(self.cat("holes"), plain)
        _, dest, _ = self.extract()
        self.assertEqual(get(os.path.join(dest, "holes")), plain)

    def test_works_without_xxhash(self) -> None:
        path = self.vault.add(self.vault.root, b"f", os.urandom(3 * CHUNK))
        with mock.patch.object(reader, "xxhash", None):
            report = self.verify()
            self.assertEqual((report["worst"], report["record_sums_checked"]), ("ok", False))
            self.assertIn(b"not checked", self.run_reader("verify")[1])
            self.assertEqual(self.run_reader("verify", "--keyless")[0], reader.EXIT_SYSTEM)
            raw = bytearray(get(path))
            raw[700] ^= 1
            put(path, bytes(raw))
            self.assertEqual(self.states(), {"f": "damaged"})
            self.refuses("f", 12)


class Tampering(VaultTest):
    """Every kind of change to a file is seen, named rightly, and nothing false is served."""

    def setUp(self) -> None:
        super().setUp()
        self.plain = os.urandom(4 * CHUNK + 77)
        self.file_id = os.urandom(16)
        self.path = self.vault.add(self.vault.root, b"f", self.plain, file_id=self.file_id)
        self.raw = get(self.path)
        self.stride = CHUNK + 36

    def record(self, raw: bytes, index: int) -> bytes:
        return raw[512 + index * self.stride:512 + (index + 1) * self.stride]

    def with_record(self, index: int, record: bytes) -> bytes:
        at = 512 + index * self.stride
        return self.raw[:at] + record + self.raw[at + len(record):]

    def expect(self, raw: bytes, state: str, keyless: str) -> None:
        put(self.path, raw)
        self.assertEqual(self.states(), {"f": state})
        self.refuses("f", reader.EXIT_OF_STATE[state])
        code, dest, errors = self.extract()
        self.assertEqual((code, os.listdir(dest)), (reader.EXIT_OF_STATE[state], []))
        self.assertIn(state, errors)
        found = list(self.states("--keyless").values())
        self.assertEqual(found, [keyless] if keyless != "ok" else [])

    def flip(self, at: int) -> bytes:
        return self.raw[:at] + bytes([self.raw[at] ^ 1]) + self.raw[at + 1:]

    def resummed(self, raw: bytes) -> bytes:
        """The header's sum made right again."""
        return raw[:504] + u64(xxhash.xxh3_64_intdigest(raw[:504])) + raw[512:]

    def test_bit_rot_in_a_record(self) -> None:
        self.expect(self.flip(512 + 2 * self.stride + 100), "damaged", "damaged")

    def test_bit_rot_in_the_header(self) -> None:
        for at in (20, 60, 80, 100, 490):
            put(self.path, self.flip(at))
            self.assertIn(self.states()["f"], ("damaged", "incomplete"), at)
            self.refuses("f", 12)
        self.expect(self.flip(300), "damaged", "damaged")

    def test_forged_record(self) -> None:
        body = b"\1" + self.record(self.raw, 1)[1:-8]
        raw = self.with_record(1, body + u64(xxhash.xxh3_64_intdigest(body, seed=1)))
        put(self.path, raw)
        self.assertEqual(self.states(), {"f": "tampered"})
        self.refuses("f", 13)

    def test_forged_header(self) -> None:
        self.expect(self.resummed(self.flip(300)), "tampered", "ok")

    def test_swapped_records(self) -> None:
        raw = self.with_record(0, self.record(self.raw, 1) + self.record(self.raw, 0))
        self.expect(raw, "damaged", "damaged")

    def test_a_record_of_an_older_version(self) -> None:
        old = self.vault.cipher_file(os.urandom(len(self.plain)), self.vault.root[1], b"f", file_id=self.file_id)
        self.expect(self.with_record(2, self.record(old, 2)), "incomplete", "incomplete")

    def test_a_zeroed_record(self) -> None:
        self.expect(self.with_record(2, bytes(self.stride)), "incomplete", "incomplete")

    def test_content_sum_alone_wrong(self) -> None:
        self.expect(self.vault.cipher_file(self.plain, self.vault.root[1], b"f",
                                           tweak=lambda f: f.update(csum=f["csum"] ^ 1)), "tampered", "ok")

    def test_lengths(self) -> None:
        for raw in (b"", self.raw[:100], self.raw[:512], self.raw[:-1], self.raw[:512 + self.stride],
                    self.raw + b"\0", self.raw + bytes(self.stride), bytes(512)):
            put(self.path, raw)
            self.assertEqual(self.states(), {"f": "incomplete"}, len(raw))
            self.refuses("f", 11)
        self.assertEqual(list(self.states("--keyless").values()), ["incomplete"])

    def test_no_header_at_all(self) -> None:
        self.expect(os.urandom(5000), "damaged", "damaged")

    def test_file_of_another_vault(self) -> None:
        other = Writer(os.path.join(self.tmp, "other"))
        self.expect(other.cipher_file(b"x", self.vault.root[1], b"f"), "tampered", "foreign")

    def test_wrong_sum_beside_right_tags_is_damage_but_readable(self) -> None:
        for at in (506, 512 + self.stride - 1):
            put(self.path, self.flip(at))
            self.assertEqual(self.states(), {"f": "damaged"})
            self.assertEqual(self.cat("f"), self.plain)

    def test_fields_a_reader_must_refuse(self) -> None:
        for change in ({"rest": bytes(16) + b"\1"}, {"flags": 1}, {"size": 1}, {"name": b"a/b"}, {"name": b".."},
                       {"kind": 3}, {"mode": stat.S_IFDIR}, {"name": b""}):
            raw = self.vault.cipher_file(b"plain", self.vault.root[1], b"f", tweak=lambda f: f.update(change))
            self.expect(raw, "tampered", "tampered" if "flags" in change else "ok")

    def test_salvage(self) -> None:
        put(self.path, self.flip(512 + 2 * self.stride + 100))
        code, dest, errors = self.extract("--salvage")
        self.assertEqual((code, os.listdir(dest)), (12, ["f.damaged"]))
        got = get(os.path.join(dest, "f.damaged"))
        self.assertEqual(got, self.plain[:2 * CHUNK] + bytes(CHUNK) + self.plain[3 * CHUNK:])
        self.assertIn("4096 bytes", errors)

    def test_vault_files_that_are_links_or_pipes_are_not_followed(self) -> None:
        secret = os.path.join(self.tmp, "secret")
        shutil.move(self.path, secret)
        os.symlink(secret, self.path)
        os.mkfifo(os.path.join(self.vault.path, self.vault.cipher_name(self.vault.root[1], b"pipe")))
        os.symlink(self.tmp, os.path.join(self.vault.path, self.vault.cipher_name(self.vault.root[1], b"dir")))
        self.assertEqual(set(self.states().values()), {"tampered"})
        self.assertEqual(self.names(), [])


class Extracting(VaultTest):
    def test_modes_times_links_and_specials(self) -> None:
        path = self.vault.add(self.vault.root, b"f", b"f")
        os.chmod(path, 0o4751)
        os.utime(path, ns=(1, 10**18 + 1))
        sub = self.vault.mkdir(self.vault.root, b"d")
        self.vault.add(sub, b"g", b"g")
        os.utime(sub[0], ns=(1, 10**18))
        os.chmod(sub[0], 0o750)
        self.vault.add(self.vault.root, b"l", b"../else\xffwhere", 1, stat.S_IFLNK | 0o777)
        self.vault.add(self.vault.root, b"p", b"", 2, stat.S_IFIFO | 0o644)
        self.vault.add(self.vault.root, b"s", b"", 2, stat.S_IFSOCK | 0o644)
        self.assertEqual(self.states(), {})
        self.assertIn(b"l -> ../else\\udcffwhere", self.run_reader("ls", "-l")[1])
        code, dest, errors = self.extract()
        self.assertEqual(code, reader.EXIT_DEST)
        self.assertIn("s: special file not made", errors)
        status = os.stat(os.path.join(dest, "f"))
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_mtime_ns), (0o751, 10**18 + 1))
        status = os.stat(os.path.join(dest, "d"))
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_mtime_ns), (0o750, 10**18))
        self.assertEqual(os.readlink(os.path.join(dest, "l")), "../else\udcffwhere")
        self.assertTrue(stat.S_ISFIFO(os.lstat(os.path.join(dest, "p")).st_mode))

    def test_metadata_of_the_header(self) -> None:
        self.vault.add(self.vault.root, b"f", b"f")
        _, dest, _ = self.extract("--meta", "header")
        status = os.stat(os.path.join(dest, "f"))
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_mtime_ns), (0o640, 1700000000 * 10**9 + 5))

    def test_one_path(self) -> None:
        sub = self.vault.mkdir(self.vault.mkdir(self.vault.root, b"a"), b"b")
        self.vault.add(sub, b"f", b"f")
        self.vault.add(self.vault.root, b"not", b"f")
        code, dest, _ = self.extract("a/b/f")
        self.assertEqual((code, os.listdir(dest), get(os.path.join(dest, "a/b/f"))), (0, ["a"], b"f"))

    def test_destination_is_kept(self) -> None:
        self.vault.add(self.vault.root, b"f", b"f")
        dest = os.path.join(self.tmp, "dest")
        os.mkdir(dest)
        put(os.path.join(dest, "mine"), b"")
        self.assertEqual(self.extract()[0], reader.EXIT_DEST)
        os.remove(os.path.join(dest, "mine"))
        os.rename(dest, dest + "2")
        os.symlink(dest + "2", dest)
        self.assertEqual(self.extract()[0], reader.EXIT_DEST)
        self.assertEqual(os.listdir(dest + "2"), [])

    def test_names_windows_cannot_have(self) -> None:
        for name in (b"a:b", b"nul", b"COM1.txt", b"x.", b"x ", b"\xff", b"a\\b", b"a\nb"):
            with self.assertRaises(ValueError):
                reader.destination_name(name, "nt")
        self.assertEqual(reader.destination_name("ü (conflict, 1)".encode(), "nt"), "ü (conflict, 1)")

    def _set_xattr(self, path: str, name: str, value: bytes) -> None:
        try:
            os.setxattr(path, name, value)
        except OSError:
            self.skipTest("no user attributes on this file system")

    def test_true_mode_and_attributes(self) -> None:
        file_id = os.urandom(16)
        path = self.vault.add(self.vault.root, b"f", b"f", file_id=file_id)
        sub = self.vault.mkdir(self.vault.root, b"d")
        self._set_xattr(path, *self.vault.xattr(b"coffer.mode", struct.pack("<I", 0o444), file_id))
        self._set_xattr(path, *self.vault.xattr(b"user.colour", b"red", file_id))
        self._set_xattr(sub[0], *self.vault.xattr(b"coffer.mode", struct.pack("<I", 0o050), sub[1]))
        os.chmod(path, 0o1644)
        os.chmod(sub[0], 0o1750)
        self.assertEqual(self.states(), {})
        code, dest, errors = self.extract("--xattrs")
        self.assertEqual((code, errors), (0, ""))
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(dest, "f")).st_mode), 0o444)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(dest, "d")).st_mode), 0o050)
        self.assertEqual(os.getxattr(os.path.join(dest, "f"), "user.colour"), b"red")
        self.assertEqual(os.listxattr(os.path.join(dest, "f")), ["user.colour"])

    def test_attribute_of_another_file(self) -> None:
        path = self.vault.add(self.vault.root, b"f", b"f")
        self._set_xattr(path, *self.vault.xattr(b"user.colour", b"red", os.urandom(16)))
        self.assertEqual(self.states(), {"f": "damaged"})

    def test_identify(self) -> None:
        path = self.vault.add(self.vault.root, b"f", b"12345")
        lone = os.path.join(self.tmp, "lone")
        shutil.move(path, lone)
        code, out, _ = self.run_reader("identify", lone)
        self.assertEqual(code, 0)
        for line in ("name       f", "size       5", "version    3", f"parent id  {self.vault.root[1].hex()}"):
            self.assertIn(line, out.decode())
        put(lone, b"no")
        self.assertEqual(self.run_reader("identify", lone)[0], 11)


class Opening(VaultTest):
    def test_slots(self) -> None:
        secret = os.path.join(self.tmp, "secret")
        self.vault.add(self.vault.root, b"f", b"f")
        self.vault.write_config(self.vault.config([
            self.vault.slot(1, "password", b"wrong"), self.vault.slot(2, "password", "pä ss".encode()),
            self.vault.slot(7, "keyfile", bytes(range(40)))]))
        put(secret, "pä ss\n".encode())
        self.assertEqual(self.run_reader("ls", secrets=["--password-file", secret])[:2], (0, b"f\n"))
        self.assertEqual(self.run_reader("ls", secrets=["--password-file", secret, "--slot", "1"])[0], reader.EXIT_KEY)
        put(secret, "pä ss\r\n".encode())  # only the newline goes
        self.assertEqual(self.run_reader("ls", secrets=["--password-file", secret])[0], reader.EXIT_KEY)
        put(secret, bytes(range(40)))
        self.assertEqual(self.run_reader("ls", secrets=["--keyfile", secret])[:2], (0, b"f\n"))
        with mock.patch("getpass.getpass", side_effect=["pä ss"]):
            self.assertEqual(self.run_reader("ls", secrets=[])[0], 0)
        with mock.patch("getpass.getpass", side_effect=["", self.vault.vault_key.hex()]):
            self.assertEqual(self.run_reader("ls", secrets=[])[0], 0)
        put(secret, b"no")
        self.assertEqual(self.run_reader("ls", secrets=["--password-file", secret])[0], reader.EXIT_KEY)
        self.assertEqual(self.run_reader("ls", secrets=["--keyfile", secret])[0], reader.EXIT_KEY)

    def test_how_the_digits_may_be_written(self) -> None:
        digits = self.vault.vault_key.hex()
        for text in (digits.upper(), ":".join(digits), "\t- ".join(digits) + "\r\n"):
            put(self.key_file, text.encode())
            self.assertEqual(self.run_reader("ls")[0], 0, text)
        for text in (digits + "\x0b", digits + "\f", digits + "\u00a0", digits + "0", digits[1:]):
            put(self.key_file, text.encode())
            self.assertEqual(self.run_reader("ls")[0], reader.EXIT_KEY, text)

    def test_info(self) -> None:
        code, out, _ = self.run_reader("info", secrets=[])
        self.assertEqual(code, 0)
        self.assertIn(b"not authenticated", out)
        self.assertNotIn(b"chunk size", out)
        self.assertIn(b"chunk size  4096", self.run_reader("info")[1])

    def refused(self, raw: bytes, exit_code: int = reader.EXIT_VAULT) -> None:
        self.vault.write_config(raw)
        code, _, errors = self.run_reader("ls")
        self.assertEqual((code, errors.count("\n")), (exit_code, 1), errors)

    def test_refusals(self) -> None:
        good = self.vault.config()
        slot = self.vault.slot(1, "password", b"x")
        keyfile = self.vault.slot(1, "keyfile", bytes(32))
        for change in ({"format": 1}, {"format": True}, {"format": "0"}, {"extra": 1}, {"features": ["new"]},
                       {"vault_id": "AB" * 16}, {"suite": "aegis-256"}, {"chunk_size": 5000}, {"chunk_size": 2048},
                       {"chunk_size": 16384.0}, {"name_max": 131}, {"name_max": 256}, {"key_epoch": 2**32},
                       {"generation": -1}, {"created": "yesterday"}, {"slots": [slot, slot]}, {"slots": [slot] * 65},
                       {"slots": [dict(slot, type="escrow")]}, {"slots": [dict(slot, passes=65)]},
                       {"slots": [dict(slot, passes=0)]}, {"slots": [dict(slot, memory_kib=8191)]},
                       {"slots": [dict(slot, memory_kib=4194305)]}, {"slots": [dict(slot, label="é" * 33)]},
                       {"created": "2026-11-22T10:00:00+00:00"}, {"created": "2026-13-22T10:00:00Z"},
                       {"created": "2026-11-22T10:00:00.1234567890Z"},
                       {"created": "2026-11-22T10:00:00Z\n"}, {"created": "２026-11-22T10:00:00Z"},
                       {"slots": [dict(slot, label="a\nb")]}, {"slots": [dict(slot, label="a\x7f")]},
                       {"slots": [dict(slot, label="a\x00")]}, {"slots": [dict(slot, label="\ud800")]},
                       {"slots": [dict(keyfile, passes=1)]}, {"slots": [dict(slot, more=1)]}, {"slots": {}}):
            with self.subTest(change):
                self.refused(self.vault.config(**change))
        body = good.decode().rsplit(',\n  "mac"', 1)[0]
        self.refused(self.vault.with_mac(body.replace('"key_epoch": 0', '"key_epoch": -0')))
        self.refused(self.vault.with_mac(body.replace('"generation": 1', '"generation": 1e0')))
        self.refused(self.vault.with_mac(body + ',\n  "format": 0'))
        self.refused(self.vault.with_mac("[" * 100000))
        self.refused(good + b"\n")
        self.refused(good.replace(b"\n}\n", b"\n}\r\n"))
        self.refused(good + b" " * (1 << 20))
        self.refused(b"")
        self.refused(b"\xff" + good[1:])
        self.refused(good.replace(b"4096", b"8192"), reader.EXIT_KEY)  # the mac
        self.refused(self.vault.config(generation=2)[:-68] + good[-68:], reader.EXIT_KEY)

    def test_password_opens_but_mac_is_wrong(self) -> None:
        secret = os.path.join(self.tmp, "secret")
        put(secret, b"x")
        raw = self.vault.config([self.vault.slot(1, "password", b"x")])
        self.vault.write_config(raw.replace(b"4096", b"8192"))
        self.assertEqual(self.run_reader("ls", secrets=["--password-file", secret])[0], reader.EXIT_VAULT)

    def test_the_copy_stands_in(self) -> None:
        self.vault.add(self.vault.root, b"f", b"f")
        good, newer = self.vault.config(), self.vault.config(generation=2)
        for bad in (b"", good.replace(b"4096", b"8192"), good[:100]):
            self.vault.write_config(bad, copy=good)
            self.assertEqual(self.run_reader("ls")[:2], (0, b"f\n"))
            self.assertIn(self.states()["coffer.json"], ("damaged", "tampered"))
        self.vault.write_config(good, copy=newer)
        self.assertEqual(self.states(), {"coffer.json": "incomplete"})
        self.assertEqual(self.states("--keyless"), {"coffer-copy.json": "incomplete"})
        os.remove(os.path.join(self.vault.path, "coffer.json"))
        self.assertEqual(self.run_reader("ls")[0], 0)

    def test_without_config(self) -> None:
        self.vault.add(self.vault.root, b"f", b"f")
        for name in ("coffer.json", "coffer-copy.json"):
            os.remove(os.path.join(self.vault.path, name))
        self.assertEqual(self.run_reader("ls")[0], reader.EXIT_VAULT)
        self.assertEqual(self.run_reader("ls", "--without-config")[:2], (0, b"f\n"))
        self.assertEqual(self.run_reader("verify", "--without-config")[0], 0)

    def test_no_vault(self) -> None:
        self.vault.path = os.path.join(self.tmp, "nowhere")
        self.assertEqual(self.run_reader("ls")[0], reader.EXIT_VAULT)

    def test_as_a_program(self) -> None:
        self.vault.add(self.vault.root, b"f", b"content")
        run = subprocess.run([sys.executable, READER, "cat", self.vault.path, "f", "--key-file", self.key_file],
                             capture_output=True, check=True)
        self.assertEqual(run.stdout, b"content")
        run = subprocess.run([sys.executable, READER, "--help"], capture_output=True, check=True)
        self.assertIn(b"exit codes", run.stdout)


if __name__ == "__main__":
    unittest.main()
