"""Names, directories and pins: scripts/coffer_reader.py against vaults made by vault_writer.py.

    /usr/bin/python3 -m unittest tests/reader/test_names.py
"""
from __future__ import annotations

import os
import shutil
import stat
import sys
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from vault_case import VaultTest, reader  # noqa: E402
from vault_writer import get, put  # noqa: E402


class Names(VaultTest):
    def test_tree(self) -> None:
        sub = self.vault.mkdir(self.vault.mkdir(self.vault.root, b"a"), "ü".encode())
        self.vault.add(sub, b"f", b"deep")
        self.assertEqual(self.states(), {})
        self.assertEqual(self.cat("a/ü/f"), b"deep")
        self.assertEqual(self.run_reader("ls", "-R")[1].decode(), ".:\na/\n\na:\nü/\n\na/ü:\nf\n")
        self.assertEqual(self.run_reader("ls", "a")[1], self.run_reader("ls", "-l", "a")[1][-4:])
        self.assertEqual(self.run_reader("cat", "a/nothing")[0], reader.EXIT_PATH)
        self.assertEqual(self.run_reader("cat", "a")[0], reader.EXIT_PATH)

    def test_systems_without_open_folders(self) -> None:
        """Windows opens files by path only."""
        self.vault.add(self.vault.mkdir(self.vault.root, b"a"), b"n" * 200, b"deep")
        with mock.patch.object(reader, "HAVE_DIR_FD", False):
            self.assertEqual(self.states(), {})
            self.assertEqual(self.cat("a/" + "n" * 200), b"deep")

    def test_paths_longer_than_the_system_takes(self) -> None:
        where = self.vault.root
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir(where[0])
        for _ in range(30):
            where = self.vault.mkdir((".", where[1]), b"d" * 90)
            os.chdir(where[0])
        self.vault.add((".", where[1]), b"f", b"deep")
        os.chdir(here)
        self.assertEqual(self.states(), {})
        self.assertEqual(self.cat("/".join(["d" * 90] * 30 + ["f"])), b"deep")

    def test_too_deep(self) -> None:
        where = self.vault.mkdir(self.vault.mkdir(self.vault.root, b"1"), b"2")
        self.vault.add(where, b"f", b"deep")
        with mock.patch.object(reader, "DEPTH_MAX", 1):
            self.assertEqual(self.states(), {"1/2": "tampered"})

    def test_long_names(self) -> None:
        name, link = b"n" * 255, b"l" * 200
        self.vault.add(self.vault.root, name, b"long")
        self.vault.add(self.vault.root, link, b"target", 1, stat.S_IFLNK | 0o777)
        sub = self.vault.mkdir(self.vault.root, b"d" * 255)
        self.vault.add(sub, b"f", b"inside")
        self.assertEqual(self.states(), {})
        self.assertEqual(self.states("--keyless"), {})
        self.assertEqual(self.cat(name.decode()), b"long")
        self.assertEqual(self.cat("d" * 255 + "/f"), b"inside")

    def test_lost_and_wrong_side_files(self) -> None:
        self.vault.add(self.vault.root, b"n" * 255, b"long")
        sub = self.vault.mkdir(self.vault.root, b"d" * 255)
        self.vault.add(sub, b"f", b"inside")
        sides = [os.path.join(self.vault.path, n) for n in os.listdir(self.vault.path) if n.endswith(".name")]
        put(sides[0], b"x")
        self.assertIn("damaged", self.states().values())
        for side in sides:
            os.remove(side)
        self.assertEqual(self.cat("n" * 255), b"long")  # its header has it
        lost = [name for name in self.names() if name.startswith("(name lost")][0]
        self.assertEqual(self.cat(lost + "f"), b"inside")
        self.assertEqual(self.states()["n" * 255], "damaged")
        self.assertEqual(list(self.states("--keyless").values()), ["damaged", "damaged"])

    def test_side_file_without_entry(self) -> None:
        os.remove(self.vault.add(self.vault.root, b"n" * 255, b"long"))
        self.assertEqual(list(self.states().values()), ["foreign"])

    def test_decorated_names_are_conflict_copies(self) -> None:
        path = self.vault.add(self.vault.root, b"f", b"one")
        base = os.path.basename(path)
        for decorated in (f"Copy of {base}", f"{base} (1)", f"{base}-LAPTOP",
                          f"{base}.sync-conflict-20261122-101500-ABCDEFG", base.upper() + "-X"):
            shutil.copy(path, os.path.join(self.vault.path, decorated))
        self.assertEqual(self.names(), ["f", "f (conflict, (1))", "f (conflict, -LAPTOP)", "f (conflict, -X)",
                                        "f (conflict, .sync-conflict-20261122-101500-ABCDEFG)", "f (conflict, Copy of)"])
        self.assertEqual(set(self.states().values()), {"conflict copy"})
        self.assertEqual(self.cat("f (conflict, (1))"), b"one")
        self.assertEqual(self.states("--keyless"), {})

    def test_upper_case_alone_is_no_conflict(self) -> None:
        path = self.vault.add(self.vault.root, b"f", b"one")
        os.rename(path, os.path.join(self.vault.path, os.path.basename(path).upper()))
        self.assertEqual(self.states(), {})
        sub = self.vault.mkdir(self.vault.root, b"dir")
        self.vault.add(sub, b"g", b"two")
        os.rename(sub[0], os.path.join(self.vault.path, os.path.basename(sub[0]).upper()))
        self.assertEqual(self.cat("dir/g"), b"two")

    def test_upper_case_beside_lower_case_is_the_copy(self) -> None:
        path = self.vault.add(self.vault.root, b"f", b"lower")
        put(os.path.join(self.vault.path, os.path.basename(path).upper()),
            self.vault.cipher_file(b"upper", self.vault.root[1], b"f"))
        self.assertEqual(self.cat("f"), b"lower")
        self.assertEqual(self.states(), {"f (conflict, file)": "conflict copy"})

    def test_decorated_long_name_and_directory(self) -> None:
        path = self.vault.add(self.vault.root, b"n" * 200, b"long")
        shutil.copy(path, path + " (1)")
        sub = self.vault.mkdir(self.vault.root, b"d")
        self.vault.add(sub, b"f", b"in")
        shutil.copytree(sub[0], sub[0] + " (2)")
        self.assertEqual(self.cat("n" * 200 + " (conflict, (1))"), b"long")
        self.assertEqual(self.cat("d (conflict, (2))/f"), b"in")

    def test_one_name_in_two_kinds(self) -> None:
        self.vault.add(self.vault.root, b"f", b"file")
        self.vault.add(self.vault.root, b"f", b"target", 1, stat.S_IFLNK | 0o777)
        self.assertEqual(self.names(), ["f", "f (conflict, link)"])
        self.assertEqual(self.cat("f"), b"file")

    def test_content_under_a_name_of_another_kind(self) -> None:
        path = os.path.join(self.vault.path, self.vault.cipher_name(self.vault.root[1], b"f", 1))
        put(path, self.vault.cipher_file(b"target", self.vault.root[1], b"f"))
        self.assertEqual(self.states(), {"f": "tampered"})

    def test_moved_file(self) -> None:
        a, b = self.vault.mkdir(self.vault.root, b"a"), self.vault.mkdir(self.vault.root, b"b")
        self.vault.add(b, b"here", b"1")
        path = self.vault.add(a, b"f", b"moved")
        os.rename(path, os.path.join(b[0], os.path.basename(path)))  # by another program: the name is a's
        self.assertEqual(self.states(), {"b/f (moved)": "moved"})
        self.assertEqual(self.cat("b/f (moved)"), b"moved")

    def test_file_renamed_by_another_program(self) -> None:
        path = self.vault.add(self.vault.root, b"f", b"renamed")
        os.rename(path, os.path.join(self.vault.path, "recovered-0001.bin"))
        self.vault.add(self.vault.root, b"g", b"")
        self.assertEqual(self.states(), {"f (moved)": "moved"})
        self.assertEqual(self.cat("f (moved)"), b"renamed")

    def test_swapped_files(self) -> None:
        one, two = self.vault.add(self.vault.root, b"1", b"one"), self.vault.add(self.vault.root, b"2", b"two")
        one_raw = get(one)
        put(one, get(two))
        put(two, one_raw)
        self.assertEqual(self.states(), {"1": "moved", "2": "moved"})

    def test_hard_links(self) -> None:
        path = self.vault.add(self.vault.root, b"1", b"one")
        sub = self.vault.mkdir(self.vault.root, b"d")
        os.link(path, os.path.join(sub[0], self.vault.cipher_name(sub[1], b"2")))
        self.assertEqual(self.states(), {})
        _, dest, _ = self.extract()
        self.assertTrue(os.path.samefile(os.path.join(dest, "1"), os.path.join(dest, "d", "2")))

    def test_illegal_names_though_genuine(self) -> None:
        for name in (b"..", b".", b"a/b", b"a\0b"):
            put(os.path.join(self.vault.path, self.vault.disk_name(self.vault.root, name)),
                self.vault.cipher_file(b"x", self.vault.root[1], b"x"))
        self.assertEqual(self.names(), [])
        self.assertEqual(set(self.states().values()), {"tampered"})

    def test_foreign_files_are_left_alone(self) -> None:
        for name in ("desktop.ini", "a" * 40, "log-7.coffer", ".~coffer-x.tmp", "README.txt"):
            put(os.path.join(self.vault.path, name), b"hello")
        os.mkdir(os.path.join(self.vault.path, ".stfolder"))
        self.assertEqual(self.states(), {"desktop.ini": "foreign", "a" * 40: "foreign", ".stfolder": "foreign"})
        self.assertEqual(self.names(), [])

    def test_names_cannot_command_a_terminal(self) -> None:
        self.vault.add(self.vault.root, b"\x1b[2J\n\xff", b"")
        self.assertEqual(self.names(), ["\\x1b[2J\\n\\udcff"])


class Pins(VaultTest):
    def setUp(self) -> None:
        """The directory `old` holds `f` and `sub/g`, and was renamed to `new`."""
        super().setUp()
        self.old = self.vault.mkdir(self.vault.root, b"old")
        self.vault.add(self.old, b"f", b"f")
        self.vault.add(self.vault.mkdir(self.old, b"sub"), b"g", b"g")
        self.new_id = self.vault.derived(self.vault.root[1], b"new")
        self.pin = self.vault.pin(self.old[0], self.old[1], self.old[1], self.new_id, 5)
        self.new = os.path.join(self.vault.path, self.vault.cipher_name(self.vault.root[1], b"new"))
        self.pin_in_new = os.path.join(self.new, os.path.basename(self.pin))

    def test_renamed(self) -> None:
        self.assertEqual(self.states(), {})  # the pin is durable before the rename
        os.rename(self.old[0], self.new)
        self.assertEqual(self.states(), {})
        self.assertEqual(self.cat("new/sub/g"), b"g")

    def test_renamed_again(self) -> None:
        third = self.vault.derived(self.vault.root[1], b"third")
        os.rename(self.old[0], self.new)
        self.vault.pin(self.new, self.old[1], self.new_id, third, 6)
        os.rename(self.new, os.path.join(self.vault.path, self.vault.cipher_name(self.vault.root[1], b"third")))
        self.assertEqual(self.states(), {})
        self.assertEqual(self.cat("third/f"), b"f")

    def test_names_under_both_ids(self) -> None:
        os.rename(self.old[0], self.new)
        self.vault.add((self.new, self.new_id), b"h", b"h")
        self.vault.add((self.new, self.new_id), b"f", b"other f")
        self.assertEqual(self.names("new"), ["f", "f (conflict, file)", "h", "sub/"])
        self.assertEqual(self.cat("new/f"), b"f")

    def test_of_equal_times_the_higher_id_counts(self) -> None:
        os.remove(self.pin)
        for _ in range(8):  # the pins' own bytes are as good as random
            ids = sorted((os.urandom(16), os.urandom(16)))
            where = self.vault.mkdir(self.vault.root, os.urandom(8).hex().encode())
            for pinned in ids:
                self.vault.pin(where[0], pinned, where[1], where[1], 7)
            self.vault.add((where[0], ids[1]), b"f", b"higher")
            self.vault.add((where[0], ids[0]), b"f", b"lower")
        directories = [name for name in self.names() if name != "old/"]
        self.assertEqual([self.cat(name + "f") for name in directories], [b"higher"] * 8)

    def test_attributes_under_any_of_the_ids(self) -> None:
        os.rename(self.old[0], self.new)
        try:
            os.setxattr(self.new, *self.vault.xattr(b"user.first", b"1", self.old[1]))
            os.setxattr(self.new, *self.vault.xattr(b"user.second", b"2", self.new_id))
        except OSError:
            self.skipTest("no user attributes on this file system")
        self.assertEqual(self.states(), {})
        self.vault.pin(self.new, os.urandom(16), self.new_id, self.new_id, 6)
        self.assertEqual(self.states(), {})
        os.setxattr(self.new, *self.vault.xattr(b"user.third", b"3", os.urandom(16)))
        self.assertEqual(self.states(), {"new": "damaged"})

    def test_decorated_pin(self) -> None:
        os.rename(self.old[0], self.new)
        os.rename(self.pin_in_new, self.pin_in_new[:-7].upper().replace(self.new.upper(), self.new) + " (1).coffer")
        self.assertEqual(self.cat("new/f"), b"f")

    def test_lost_pin(self) -> None:
        os.rename(self.old[0], self.new)
        os.remove(self.pin_in_new)
        self.assertEqual(self.states(), {"new": "damaged"})
        self.assertEqual(self.cat("new/sub/g"), b"g")  # the id is in the headers

    def test_forged_and_strange_pins(self) -> None:
        self.vault.pin(self.old[0], os.urandom(16), os.urandom(16), os.urandom(16))
        put(os.path.join(self.old[0], "dir." + "a" * 116 + ".coffer"), b"")
        self.assertEqual(sorted(self.states().values()), ["moved", "tampered"])
        self.assertEqual(self.cat("old/f"), b"f")

    def test_folder_moved_by_another_program(self) -> None:
        os.remove(self.pin)
        box = self.vault.mkdir(self.vault.root, b"box")
        os.rename(self.old[0], os.path.join(box[0], os.path.basename(self.old[0])))
        shown = self.names("box")
        self.assertEqual(len(shown), 1)
        self.assertEqual(self.cat(f"box/{shown[0]}sub/g"), b"g")
        self.assertEqual(self.states()["box/" + shown[0][:-1]], "moved")

    def test_nothing_readable_is_reported(self) -> None:
        sub = self.vault.mkdir(self.vault.root, b"d")
        os.mkdir(os.path.join(sub[0], self.vault.cipher_name(os.urandom(16), b"x")))
        self.assertEqual(self.states()["d"], "damaged")


if __name__ == "__main__":
    unittest.main()
