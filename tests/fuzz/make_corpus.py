#!/usr/bin/env python3
"""Writes the fuzzers' first inputs, tests/fuzz/corpus/*, from the golden vectors.

The fuzzers of sealed things seal the plaintext themselves, so most inputs are plaintexts.
"""

import json
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


def main() -> None:
    write("header", header_inputs())
    write("name", name_inputs())
    write("pin", pin_inputs())
    write("record", record_inputs())
    write("xattr", xattr_inputs())
    write("vault_key", vault_key_inputs())
    write("config", [case["text"].encode() for kind in ("accepted", "refused") for case in vectors("config", kind)])


if __name__ == "__main__":
    main()
