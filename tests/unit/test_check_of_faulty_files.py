"""`qanat network check` of files that do not hold: what can be counted is printed, and all faults of one look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from qanat.apps.cli.main import app
from qanat.apps.paper_table import PAPER
from qanat.ground.data import read_text


def check(file: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["network", "check", str(file), *options], terminal_width=4000)


def without_line(tmp_path: Path, part: str) -> Path:
    """Return a copy of the paper's network without the one line that holds ``part``."""
    lines = read_text("networks", "nature2021.yaml").splitlines()
    kept = [line for line in lines if part not in line]
    assert len(kept) == len(lines) - 1
    file = tmp_path / "nature2021.yaml"
    file.write_text("\n".join(kept), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("part", "alone"),
    [
        ("{name: jinan-user-01-relay-01,", "jinan-user-01"),  # a user's only link
        ("{site: jinan-user-30,", "jinan-user-30"),  # a port of a switch
    ],
)
def test_table_1_shows_that_a_users_only_link_or_port_is_gone(tmp_path: Path, part: str, alone: str) -> None:
    file = without_line(tmp_path, part)
    told = check(file, "--json")
    record = json.loads(told.stdout)
    rows = {row["network"]: row for row in record["table_1"]["rows"]}
    assert rows["jinan"]["ours"]["links"] < PAPER["jinan"].links
    assert "links" in rows["jinan"]["differing"]
    assert all("links" not in row["differing"] for name, row in rows.items() if name != "jinan")
    assert record["valid"] is False
    assert f"no link leads to {alone}" in " ".join(fault["text"] for fault in record["faults"])
    assert told.exit_code == 2
    shown = check(file)
    assert f"NOT valid, {len(record['faults'])} fault" in shown.stdout
    assert "differs: links" in shown.stdout
    assert f"no link leads to {alone}" in shown.stderr
    assert shown.exit_code == 2


def test_all_faults_are_told_and_of_many_their_number(tmp_path: Path) -> None:
    file = tmp_path / "many.yaml"
    text = read_text("networks", "nature2021.yaml")
    file.write_text(text.replace("loss_db: ", "los_db: "), encoding="utf-8")
    told = check(file).stderr
    assert told.count("is it meant to be loss_db?") == 20
    assert f"and {text.count('loss_db: ') - 20} more in this file" in told
    text = read_text("networks", "three-nodes.yaml")
    text = text.replace("backbone-625", "backbone-62")
    file.write_text(text.replace("site: suzhou", "site: suzou"), encoding="utf-8")
    shown = check(file)
    assert "at 'suzou', no site" in shown.stderr
    assert "2 links" in shown.stdout
    file.write_text(text, encoding="utf-8")
    assert check(file).stderr.count("there is no QKD system 'backbone-62'") == text.count("backbone-62")


def test_a_file_in_other_letters_is_to_be_saved_as_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    text = read_text("networks", "three-nodes.yaml").replace("title: ", "title: Zürich ", 1)
    file.write_bytes(text.encode("latin-1"))
    told = check(file).stderr
    assert "save the file as UTF-8" in told
    assert f"line {text[: text.index('ü')].count(chr(10)) + 1} has letters that are not UTF-8" in told
