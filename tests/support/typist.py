#!/usr/bin/env python3
"""Runs a program on a terminal of its own and types at its prompts.

    typist.py ANSWER... -- COMMAND...

Each ANSWER is typed, with a newline, once the program has printed something that ends in ": " and says no more. "^C" is
the key, "^D" too. What appears on the terminal goes to standard output; the exit code is the program's. It is 99, with a
line on standard error, if an answer that begins with "secret" shows on the terminal (the program must not echo secrets),
if echo stays off when the program has ended, or if it asks more or less often than there are answers.
"""

from __future__ import annotations

import os
import pty
import select
import sys
import termios
import time

PATIENCE = 120.0
QUIET = 0.15


def fail(why: str) -> None:
    print(f"typist: {why}", file=sys.stderr)
    sys.exit(99)


def read_some(terminal: int, timeout: float) -> bytes | None:
    """What came within `timeout`: b"" for nothing, None at the end."""
    ready, _, _ = select.select([terminal], [], [], timeout)
    if not ready:
        return b""
    try:
        return os.read(terminal, 65536) or None
    except OSError:  # EIO: nobody has the terminal open any more
        return None


def has_echo(terminal: int) -> bool:
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


def main(arguments: list[str]) -> int:
    split = arguments.index("--")
    answers, command = arguments[:split], arguments[split + 1 :]
    # The slave end is held open, so that the terminal's state can be looked at afterwards.
    terminal, slave = pty.openpty()
    child = os.fork()
    if child == 0:
        os.close(terminal)
        os.login_tty(slave) if hasattr(os, "login_tty") else take_terminal(slave)
        os.execvp(command[0], command)
    output = b""
    since_answer = b""
    deadline = time.monotonic() + PATIENCE
    status = None
    while status is None:
        if time.monotonic() > deadline:
            os.kill(child, 9)
            fail(f"the program does not end; it said: {output.decode(errors='replace')}")
        piece = read_some(terminal, QUIET)
        if piece:
            output += piece
            since_answer += piece
            continue
        pid, ended = os.waitpid(child, os.WNOHANG)
        if pid:
            status = ended
        elif since_answer.endswith(b": "):
            if not answers:
                os.kill(child, 9)
                fail(f"asked more often than there are answers: {output.decode(errors='replace')}")
            answer = answers.pop(0)
            if answer.startswith("secret") and has_echo(slave):
                fail("echo is on while a secret is asked for")
            os.write(terminal, {"^C": b"\x03", "^D": b"\x04"}.get(answer, answer.encode() + b"\n"))
            since_answer = b""
    while piece := read_some(terminal, QUIET):
        output += piece
    sys.stdout.buffer.write(output.replace(b"\r\n", b"\n"))
    sys.stdout.flush()
    if answers:
        fail(f"never asked for: {answers}")
    if not has_echo(slave):
        fail("the terminal is left without echo")
    return os.waitstatus_to_exitcode(status) % 256


def take_terminal(slave: int) -> None:
    import fcntl

    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for standard in (0, 1, 2):
        os.dup2(slave, standard)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
