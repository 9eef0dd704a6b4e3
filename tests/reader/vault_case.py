"""A fresh vault for each test, and the reader's commands run on it."""
from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import unittest
from typing import Any, Dict, List, Optional, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
READER = os.path.join(HERE, "..", "..", "scripts", "coffer_reader.py")
sys.path[:0] = [HERE, os.path.dirname(READER)]

import coffer_reader as reader  # noqa: E402
from vault_writer import Writer, put  # noqa: E402


class VaultTest(unittest.TestCase):
    def setUp(self) -> None:
        self.tmp = tempfile.mkdtemp(prefix="coffer-reader-")
        self.addCleanup(self._remove)
        self.vault = Writer(os.path.join(self.tmp, "vault"))
        self.vault.write_config()
        self.key_file = os.path.join(self.tmp, "key")
        digits = self.vault.vault_key.hex().upper()
        put(self.key_file, " - ".join(digits[i:i + 4] for i in range(0, 64, 4)).encode() + b"\n")

    def _remove(self) -> None:
        for folder, _, _ in os.walk(self.tmp):
            os.chmod(folder, 0o700)
        shutil.rmtree(self.tmp)

    def run_reader(self, command: str, *args: str, secrets: Optional[List[str]] = None) -> Tuple[int, bytes, str]:
        """Exit code, standard output, standard error."""
        raw, errors = io.BytesIO(), io.StringIO()
        out = io.TextIOWrapper(raw, "utf-8", write_through=True)
        given = ["--key-file", self.key_file] if secrets is None else secrets
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            code = reader.main([command, self.vault.path, *given, *args])
        out.flush()
        return code, raw.getvalue(), errors.getvalue()

    def verify(self, *args: str) -> Dict[str, Any]:
        code, out, _ = self.run_reader("verify", "--json", *args)
        report = json.loads(out)
        self.assertEqual(code, reader.EXIT_OF_STATE[report["worst"]])
        return report

    def states(self, *args: str) -> Dict[str, str]:
        """Of everything that is not ok."""
        return {finding["path"]: finding["state"] for finding in self.verify(*args)["findings"]}

    def cat(self, path: str) -> bytes:
        code, out, errors = self.run_reader("cat", path)
        self.assertEqual((code, errors), (0, ""))
        return out

    def refuses(self, path: str, exit_code: int) -> str:
        """cat serves nothing."""
        code, out, errors = self.run_reader("cat", path)
        self.assertEqual((code, out), (exit_code, b""))
        self.assertEqual(errors.count("\n"), 1)
        return errors

    def names(self, path: str = "") -> List[str]:
        return self.run_reader("ls", *([path] if path else []))[1].decode().splitlines()

    def extract(self, *args: str) -> Tuple[int, str, str]:
        dest = os.path.join(self.tmp, "dest")
        code, _, errors = self.run_reader("extract", dest, *args)
        return code, dest, errors
