"""``qanat network check --json``: one object for every file, also for one whose fields do not hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qanat.apps.cli.network import run_check
from qanat.ground.data import read_text
from qanat.ground.errors import ConfigurationError, NetworkFileError

THREE = read_text("networks", "three-nodes.yaml")


def faulty(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[NetworkFileError, dict[str, Any]]:
    """Return what a file is refused with, and what machines are told of it."""
    path = tmp_path / "net.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(NetworkFileError) as refused:
        run_check(str(path), as_json=True)
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return refused.value, told


@pytest.mark.parametrize(
    "text",
    [
        THREE.replace("loss_db: 10.3", "loss_db: much").replace("length_km: 63.8", "length_km: 63800"),
        THREE.replace("kind: relay", "kind: ["),
        "",
    ],
    ids=["fields", "no YAML", "nothing"],
)
def test_faults_that_end_the_reading_are_told_to_machines_as_all_others_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    refused, told = faulty(tmp_path, text, capsys)
    assert told["faults"] == [
        {"text": fault.message, "line": fault.line, "remedy": fault.remedy} for fault in (refused, *refused.others)
    ]
    assert all(fault["line"] and fault["remedy"] for fault in told["faults"])
    _, later = faulty(tmp_path, THREE.replace("length_km: 41.1", "length_km: 4.1"), capsys)
    assert later["network"] == "three-nodes"
    assert told.keys() == later.keys(), "the same object, whatever the stage"
    assert (told["valid"], later["valid"]) == (False, False)
    assert (told["network"], told["sites"], told["headings"]) == (None, None, []), "nothing could be counted"


def test_sites_of_all_kinds_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = read_text("networks", "urumqi-shanghai.yaml").replace("system: metro", "system: unknown-metro", 1)
    refused, told = faulty(tmp_path, text.replace("system: backbone", "system: unknown", 1), capsys)
    assert "no QKD system" in refused.message
    assert told["sites"]["satellite"] == 1
    assert sum(told["sites"].values()) == told["headings"][0]["num_sites"]


@pytest.mark.parametrize(
    ("written", "told"), [(None, "No such file"), (b"format: \xff\n", "line 1 has letters that are not UTF-8")]
)
def test_a_file_that_cannot_be_read_is_no_valid_one_for_machines_either(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], written: bytes | None, told: str
) -> None:
    path = tmp_path / "mine.yaml"
    if written is not None:
        path.write_bytes(written)
    with pytest.raises(ConfigurationError, match=told):
        run_check(str(path), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["valid"], found["sites"], found["faults"][0]["line"]) == (False, None, None)
    assert told in found["faults"][0]["text"]
    assert found["faults"][0]["remedy"]
