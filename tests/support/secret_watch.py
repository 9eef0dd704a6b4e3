#!/usr/bin/env python3
"""What a process tells others of itself: nothing that is secret.

    secret_watch.py PID SECRET_FILE...    exit code 1, with a line each: a secret is on its command line or in its environment,
                                          its memory can be swapped or dumped
    secret_watch.py --as-user PID         run as its own user: exit code 1 if memory or environment of the process can be read
    secret_watch.py --dump COMMAND...     starts the command, has it end by SIGSEGV; exit code 1: the kernel dumped core
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path


def exposed(pid: str, secret_files: list[str]) -> list[str]:
    process = Path("/proc") / pid
    found = []
    for secret_file in secret_files:
        secret = Path(secret_file).read_bytes().strip()
        for name in ("cmdline", "environ"):
            if secret in (process / name).read_bytes():
                found.append(f"{name} holds what is in {secret_file}")
    status = (process / "status").read_text()

    def field(name: str) -> str:
        match = re.search(rf"^{name}:\s*(\S+)", status, re.M)
        return match[1] if match else ""

    if int(field("VmLck") or 0) < 64:
        found.append(f"its keys are not locked in memory: VmLck {field('VmLck')} kB")
    if field("NoNewPrivs") != "1":
        found.append("it may gain privileges")
    if field("Seccomp") != "2":
        found.append("its system calls are not confined")
    if not re.search(r"^Max core file size\s+0\s+0\s", (process / "limits").read_text(), re.M):
        found.append("it may dump core")
    return found


def readable_by_its_user(pid: str) -> list[str]:
    found = []
    for name in ("mem", "environ", "maps", "auxv", "fd"):
        path = f"/proc/{pid}/{name}"
        try:
            if name == "fd":
                os.listdir(path)
            else:
                with open(path, "rb") as file:
                    if name != "mem":
                        file.read(1)
        except PermissionError:
            continue
        found.append(f"{path} can be read")
    return found


def dumped(command: list[str]) -> list[str]:
    child = os.spawnvp(os.P_NOWAIT, command[0], command)
    time.sleep(2)
    os.kill(child, signal.SIGSEGV)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        return [f"it did not end by the signal: {status}"]
    return ["it dumped core"] if os.WCOREDUMP(status) else []


def main(arguments: list[str]) -> int:
    if arguments[0] == "--as-user":
        found = readable_by_its_user(arguments[1])
    elif arguments[0] == "--dump":
        found = dumped(arguments[1:])
    else:
        found = exposed(arguments[0], arguments[1:])
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
