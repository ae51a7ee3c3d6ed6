"""Groups that a command makes, changes and takes out: the rest of the directory file stays as somebody wrote it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qanat.apps.cli.main import app
from qanat.ground.errors import BadParameter, ConfigurationError, UnknownNode
from qanat.services.directory import Contact, Directory, parse_directory
from qanat.services.directory_changes import check_group, with_group
from service_support import NAMES, sae_of
from unit.test_closed_output import write_service_record

KNOWN = {name: Contact(name, sae_of(name)) for name in NAMES}
ME = KNOWN["alice"]
WRITTEN = """# people of mine
[contacts.zoe]
sae = "urn:qanat:test:sae:zoe"   # a friend

[groups]
# the board
board = [
  "bob",   # the chair
  "carol",
]
"v.1" = ["bob", "dan"]

[contacts.yan]
sae = "urn:qanat:test:sae:yan"
"""


def changed(text: str, name: str, members: tuple[str, ...] | None) -> str:
    return with_group(text, name, members, source="me.toml", known=KNOWN)


def test_a_group_is_written_in_its_place_and_nothing_else_changes() -> None:
    text = changed(WRITTEN, "board", ("bob", "eve", "zoe"))
    assert text == WRITTEN.replace('[\n  "bob",   # the chair\n  "carol",\n]', '["bob", "eve", "zoe"]')
    text = changed(text, "club", ("carol", "yan"))
    assert '"v.1" = ["bob", "dan"]\nclub = ["carol", "yan"]\n\n[contacts.yan]' in text
    text = changed(changed(text, "v.1", None), "board", None)
    assert parse_directory(text, source="me.toml", known=KNOWN).groups == {"club": ("carol", "yan")}
    assert changed("", "v.2", ("bob", "carol")) == '[groups]\n"v.2" = ["bob", "carol"]\n'
    assert "# a friend" in text


@pytest.mark.parametrize("text", ["[groups]\n  [groups.more]\n", "groups = {board = ['bob', 'carol']}\n"])
def test_what_cannot_be_changed_safely_is_left_to_its_owner(text: str) -> None:
    with pytest.raises(ConfigurationError):
        changed(text, "board", ("bob", "dan"))


def test_a_group_that_is_not_there_cannot_be_taken_out() -> None:
    with pytest.raises(UnknownNode, match="no group 'club'") as caught:
        changed(WRITTEN, "club", None)
    assert caught.value.remedy == "there are: board, v.1"


@pytest.mark.parametrize(
    ("name", "members", "said"),
    [
        ("club", ("bob", "nobody"), "'nobody' is no contact (known are: bob,"),
        ("club", ("bob", "board"), "'board' is a group: groups are of contacts"),
        ("club", ("bob",), "a group of 1: who speaks to one needs none (name two or more)"),
        ("club", ("bob", "bob"), "somebody is named twice (name everybody once)"),
        ("club", ("alice", "bob"), "'alice' is you: a group is of those you speak to (leave yourself out)"),
        ("bob", ("carol", "dan"), "'bob' is the name of a contact (give the group a name that nobody has)"),
        ("Club", ("carol", "dan"), "'Club' is no name (name the group in lower-case"),
    ],
)
def test_a_slip_is_told_with_its_remedy(name: str, members: tuple[str, ...], said: str) -> None:
    with pytest.raises((BadParameter, UnknownNode)) as caught:
        check_group(Directory(KNOWN, {"board": ("bob", "carol")}), name, members, me=ME)
    assert str(caught.value).startswith(said)


def test_a_group_has_at_most_eight() -> None:
    nine = {f"n{place}": Contact(f"n{place}", sae_of(f"n{place}")) for place in range(9)}
    with pytest.raises(BadParameter, match="a group of 9: at most 8"):
        check_group(Directory(nine), "all", tuple(nine), me=ME)
    check_group(Directory(nine), "all", tuple(nine)[:8], me=ME)


def test_the_command_makes_shows_changes_and_removes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_service_record(data)

    def group(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["group", *words, "--as", "alice", "--data", str(data), "--json"])
        return done.exit_code, done.stdout

    for words, groups in (
        (("board", "bob", "carol"), {"board": ["bob", "carol"]}),
        (("club", "dan", "eve"), {"club": ["dan", "eve"]}),
        (("board", "bob", "eve"), {"board": ["bob", "eve"]}),
        (("board",), {"board": ["bob", "eve"]}),
        (("club", "--remove"), {"board": ["bob", "eve"]}),
        ((), {"board": ["bob", "eve"]}),
    ):
        status, out = group(*words)
        assert (status, json.loads(out)["groups"]) == (0, groups), words
    assert (data / "directory.toml").read_text(encoding="utf-8") == '[groups]\nboard = ["bob", "eve"]\n'
    for slip in (("club",), ("club", "--remove"), ("--remove",), ("board", "alice", "bob")):
        status, out = group(*slip)
        assert status != 0, (slip, out)


@pytest.mark.parametrize("how", [(), ("--remove",)])
def test_a_contact_is_not_taken_for_a_group_that_could_be_made(tmp_path: Path, how: tuple[str, ...]) -> None:
    write_service_record(tmp_path)
    done = CliRunner().invoke(app, ["group", "bob", *how, "--as", "alice", "--data", str(tmp_path)])
    assert done.exit_code == 2
    assert "'bob' is a contact, and no group" in done.stderr
    assert "make it" not in done.stderr
