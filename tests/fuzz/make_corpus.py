#!/usr/bin/env python3
"""Writes the fuzzers' first inputs, tests/fuzz/corpus/*, from the golden vectors and from what the kernel says.

The fuzzers of sealed things seal the plaintext themselves, so most inputs are plaintexts.
"""

import json
import random
import struct
from pathlib import Path
from typing import Any, Dict, List

HERE = Path(__file__).resolve().parent


def vectors(name: str, kind: str = "accepted") -> List[Dict[str, Any]]:
    cases: List[Dict[str, Any]] = json.loads((HERE.parent / "vectors" / f"{name}.json").read_text())[kind]
    return cases


def write(corpus: str, inputs: List[bytes]) -> None:
    folder = HERE / "corpus" / corpus
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("vector-*"):
        old.unlink()
    for number, data in enumerate(dict.fromkeys(inputs)):
        (folder / f"vector-{number:02}").write_bytes(data)


def header_inputs() -> List[bytes]:
    inputs = []
    for case in vectors("headers"):
        f = case["fields"]
        times = b"".join(t[0].to_bytes(8, "little", signed=True) + t[1].to_bytes(4, "little") for t in (f["mtime"], f["birth"]))
        name = bytes.fromhex(f["name"])
        secret = f["plain_size"].to_bytes(8, "little") + int(f["content_sum"], 16).to_bytes(16, "little")
        secret += f["version"].to_bytes(8, "little") + bytes.fromhex(f["writer"]) + f["seals"].to_bytes(8, "little")
        secret += b"".join(f[key].to_bytes(4, "little") for key in ("mode", "uid", "gid")) + f["rdev"].to_bytes(8, "little")
        secret += times + bytes([f["kind"], len(name), 0, 0]) + bytes.fromhex(f["parent"]) + name.ljust(255, b"\0")
        sealed = bytes.fromhex(case["header"])
        inputs.append(sealed[:96] + secret.ljust(392, b"\0") + sealed[488:])
    return inputs + [bytes.fromhex(vectors("headers")[0]["header"])]


def name_inputs() -> List[bytes]:
    inputs = []
    for case in vectors("names")[:48:5]:
        kind, text = bytes([case["kind"]]), case["ciphertext_name"]
        inputs += [kind + bytes.fromhex(case["name"]), kind + text.encode()]
        inputs += [kind + form.format(text).encode() for form in ("Copy of {} (1)", "{}-LAPTOP", "{}.sync-conflict-20261122-101500-ABCDEFG.")]
        inputs += [kind + case["short_form"].encode(), kind + case["short_form"].encode() + b".name"]
    return inputs


def pin_inputs() -> List[bytes]:
    inputs = []
    for case in vectors("pins")[:5]:
        ids = b"".join(bytes.fromhex(case[key]) for key in ("id", "from", "to"))
        inputs += [ids + int(case["time_ns"]).to_bytes(8, "little", signed=True), case["name"].encode(), case["name"][4:-7].upper().encode()]
    return inputs


def record_inputs() -> List[bytes]:
    return [case["index"].to_bytes(8, "little") + bytes(8) + bytes.fromhex(case["record"])
            for kind in ("accepted", "refused") for case in vectors("records", kind) if "record" in case]


def xattr_inputs() -> List[bytes]:
    inputs = []
    for case in vectors("xattrs"):
        name, value = bytes.fromhex(case["name"]), bytes.fromhex(case["value"])[:100]
        inputs += [bytes([len(name)]) + name + value, case["stored_name"].encode() + bytes.fromhex(case["sealed"])[:200]]
    return inputs


def vault_key_inputs() -> List[bytes]:
    inputs = []
    for case in vectors("keys"):
        text = case["text"]
        inputs += [text.encode(), text.upper().replace(" ", "-").encode(), text.replace(" ", "").encode() + b"\r\n", text[:-1].encode()]
    return inputs


def side_file_inputs() -> List[bytes]:
    inputs = []
    for case in vectors("names")[:48:5]:
        kind = bytes([case["kind"]])
        inputs += [kind + bytes.fromhex(case["name"]), kind + case["ciphertext_name"].encode()]
    return inputs


def known_good_inputs() -> List[bytes]:
    records = [struct.pack("<QQQqQQ", kind, 64769, 1234 + kind, 10**18, 10**18 + 5, 555) for kind in (1, 2, 3)]
    return [b"".join(records), records[0] * 3, b"coffer-known-1\n\0" + records[0] + bytes(8)]


def control_inputs() -> List[bytes]:
    lines = [
        '{"request":"status"}',
        '{"request":"await_end"}',
        '{"ended":true}',
        '{"ended":true,"error":{"code":19,"message":"no room","hint":"make some"}}',
        '{"error":"unknown request"}',
        '{"mount_point":"/mnt","vault":"/v","pid":77,"read_only":false,"dirty_files":3,"log":null,"warnings":["one"]}',
        '{"a":[[[[[[[[[[1]]]]]]]]]],"b":-1.5e300,"c":"\\ud83d\\ude00"}',
    ]
    return [line.encode() for line in lines]


def mountinfo_inputs() -> List[bytes]:
    lines = [
        "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
        "613 29 0:61 / /home/ann/Cof\\040fer\\134 rw,nosuid,nodev,relatime shared:345 - fuse.coffer /home/ann/va\\011ult rw",
        "22 28 0:20 / /sys rw - sysfs sysfs rw",
    ]
    return [line.encode() for line in lines] + ["\n".join(lines).encode()]


def wire_inputs() -> List[bytes]:
    inputs = []
    arguments = {
        4: struct.pack("<IIQ", 1 << 11, 0, 1) + bytes(72),  # SETATTR that kills suid
        14: struct.pack("<II", 0o2, 1),  # OPEN
        15: struct.pack("<QQIIQII", 1, 0, 4096, 0, 0, 0, 0),  # READ
        16: struct.pack("<QQIIQII", 1, 0, 3, 1 << 2, 0, 0, 0) + b"abc",  # WRITE
        21: struct.pack("<IIII", 3, 0, 1, 0) + b"user.a\0abc",  # SETXATTR, the long form
        26: struct.pack("<IIII", 7, 38, 65536, 0xFFFFFFFF) + bytes(48),  # INIT
        35: struct.pack("<IIII", 0o102, 0o644, 0o22, 1) + b"name\0",  # CREATE
    }
    for opcode, rest in arguments.items():
        inputs.append(struct.pack("<IIQQIIIHH", 40 + len(rest), opcode, 7, 1, 0, 0, 99, 0, 0) + rest)
    return inputs + [bytes(20), bytes(64)]


def operations_inputs() -> List[bytes]:
    return [bytes([variant]) + random.Random(variant).randbytes(1500) for variant in range(0, 128, 9)]


def main() -> None:
    write("side_file", side_file_inputs())
    write("known_good", known_good_inputs())
    write("control", control_inputs())
    write("mountinfo", mountinfo_inputs())
    write("wire", wire_inputs())
    write("operations", operations_inputs())
    write("header", header_inputs())
    write("name", name_inputs())
    write("pin", pin_inputs())
    write("record", record_inputs())
    write("xattr", xattr_inputs())
    write("vault_key", vault_key_inputs())
    write("config", [case["text"].encode() for kind in ("accepted", "refused") for case in vectors("config", kind)])


if __name__ == "__main__":
    main()
