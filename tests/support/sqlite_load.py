#!/usr/bin/env python3
"""A write load on an SQLite database: two writing processes and one that reads; then PRAGMA integrity_check and the sums.

    sqlite_load.py DATABASE --journal wal|delete|truncate|persist [--seconds N]
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sqlite3
import sys
import time


def connect(path: str, journal: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    mode = connection.execute(f"PRAGMA journal_mode={journal}").fetchone()[0]
    if mode != journal:
        sys.exit(f"{path}: journal mode is {mode}, not {journal}")
    return connection


def writer(path: str, journal: str, who: int, seconds: float, done: multiprocessing.Queue[tuple[int, int]]) -> None:
    connection = connect(path, journal)
    rng = random.Random(who)
    end = time.monotonic() + seconds
    rows = 0
    while time.monotonic() < end:
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(rng.randrange(1, 50)):
            connection.execute("INSERT INTO entries (writer, number, filling) VALUES (?, ?, ?)", (who, rows, rng.randbytes(rng.randrange(2000))))
            connection.execute("UPDATE sums SET rows = rows + 1 WHERE writer = ?", (who,))
            rows += 1
        if rng.randrange(5) == 0:
            connection.execute("DELETE FROM entries WHERE writer = ? AND number % 7 = 0", (who,))
        if rng.randrange(10) == 0:  # as if it had never been
            connection.execute("ROLLBACK")
            rows = connection.execute("SELECT rows FROM sums WHERE writer = ?", (who,)).fetchone()[0]
        else:
            connection.execute("COMMIT")
    connection.close()
    done.put((who, rows))


def reader(path: str, journal: str, seconds: float) -> None:
    connection = connect(path, journal)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        connection.execute("BEGIN")
        total = connection.execute("SELECT sum(rows) FROM sums").fetchone()[0]
        kept = connection.execute("SELECT count(*) FROM entries").fetchone()[0]
        connection.execute("COMMIT")
        if kept > total:
            sys.exit(f"{path}: a reader saw {kept} entries of {total}")
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database")
    parser.add_argument("--journal", required=True)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    connection = connect(options.database, options.journal)
    connection.execute("CREATE TABLE entries (id INTEGER PRIMARY KEY, writer INT, number INT, filling BLOB)")
    connection.execute("CREATE INDEX by_number ON entries (writer, number)")
    connection.execute("CREATE TABLE sums (writer INT PRIMARY KEY, rows INT)")
    connection.execute("INSERT INTO sums VALUES (0, 0), (1, 0)")
    connection.close()

    done: multiprocessing.Queue[tuple[int, int]] = multiprocessing.Queue()
    arguments = (options.database, options.journal)
    processes = [multiprocessing.Process(target=writer, args=(*arguments, who, options.seconds, done)) for who in (0, 1)]
    processes.append(multiprocessing.Process(target=reader, args=(*arguments, options.seconds)))
    for process in processes:
        process.start()
    counts = dict(done.get(timeout=options.seconds + 120) for _ in range(2))
    for process in processes:
        process.join()
        if process.exitcode != 0:
            sys.exit(f"{options.database}: a process ended with {process.exitcode}")

    connection = connect(options.database, options.journal)
    verdict = connection.execute("PRAGMA integrity_check").fetchall()
    if verdict != [("ok",)]:
        sys.exit(f"{options.database}: integrity_check: {verdict[:5]}")
    sums = dict(connection.execute("SELECT writer, rows FROM sums").fetchall())
    if sums != counts:
        sys.exit(f"{options.database}: committed {counts}, found {sums}")
    print(f"{options.journal}: {sum(counts.values())} rows")


if __name__ == "__main__":
    main()
