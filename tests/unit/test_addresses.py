"""Where the processes of a network listen, and which of them has a folder."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qanat.adapters.addresses import AddressBook, write_whole
from qanat.adapters.folder_lock import held, is_held
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId

A, B = NodeId("a"), NodeId("a.modules")


def test_what_was_published_last_is_found_until_it_is_withdrawn(tmp_path: Path) -> None:
    book, other = AddressBook(tmp_path / "addresses"), AddressBook(tmp_path / "addresses")
    assert other.find("doors", A) is None
    book.publish("doors", A, ("127.0.0.1", 4711))
    book.publish("doors", A, ("127.0.0.1", 4712))
    book.publish("modules", A, ("127.0.0.1", 4713))
    book.publish("doors", B, ("127.0.0.1", 4714))
    assert [other.find(kind, A) for kind in ("doors", "modules", "transports")] == [
        ("127.0.0.1", 4712),
        ("127.0.0.1", 4713),
        None,
    ]
    book.withdraw("doors", A)
    book.withdraw("doors", A)
    assert other.find("doors", A) is None
    assert other.find("doors", B) == ("127.0.0.1", 4714)


def test_addresses_are_for_their_owner_alone_and_leave_no_parts(tmp_path: Path) -> None:
    AddressBook(tmp_path / "addresses").publish("doors", A, ("127.0.0.1", 4711))
    paths = sorted((tmp_path / "addresses").rglob("*"))
    assert [path.name for path in paths] == ["doors", "a.json"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "addresses", *paths)] == [0o700, 0o700, 0o600]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"host": "127.0.0.1"}',
        '{"host": "h", "port": 0}',
        '{"host": "h", "port": 70000}',
        '{"port": "1"}',
    ],
)
def test_a_file_that_says_nothing_is_no_address(tmp_path: Path, text: str) -> None:
    book = AddressBook(tmp_path)
    book.publish("doors", A, ("127.0.0.1", 4711))
    (tmp_path / "doors" / "a.json").write_text(text, encoding="utf-8")
    assert book.find("doors", A) is None


def test_a_write_that_fails_leaves_the_old_text_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "note"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


HOLDER = """import sys, time
from pathlib import Path
from qanat.adapters.folder_lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_by_one_process_and_free_when_it_ends(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert not is_held(folder)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert is_held(folder)
        with pytest.raises(ConfigurationError, match="in use by another"), held(folder, remedy="stop that one"):
            pass
        process.kill()
        with held(folder, patience_s=10):
            assert is_held(folder)
    assert not is_held(folder)


def test_patience_is_spent_before_a_folder_is_given_up(tmp_path: Path) -> None:
    with held(tmp_path):
        began_s = time.monotonic()
        with pytest.raises(ConfigurationError), held(tmp_path, patience_s=0.1):
            pass
        assert time.monotonic() - began_s >= 0.1
