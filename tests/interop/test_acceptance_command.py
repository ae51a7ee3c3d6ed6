"""`qanat acceptance` as a process on real doors: a small town in which things are broken, and the paper's network."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from interop.live import running_network
from qanat.apps.acceptance.plan import FAULTS, KINDS

TOWN = Path(__file__).with_name("small-town.yaml")


def acceptance(network: str, *options: str | Path) -> tuple[int, dict[str, Any], str]:
    """Return the command's status, its JSON, and what it told people."""
    done = subprocess.run(
        [sys.executable, "-m", "qanat.apps.cli.main", "acceptance", network, "--json", *map(str, options)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def rows_in(folder: Path) -> list[dict[str, str]]:
    with (folder / "tests.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.campaign
def test_services_of_a_town_succeed_and_what_is_broken_in_it_is_found_and_named(tmp_path: Path) -> None:
    status, found, told = acceptance(str(TOWN), "--tests", "7", "--faults", "--at-once", "8", "--out", tmp_path)
    assert status == 0, told
    assert (found["all"]["tests"], found["all"]["succeeded"], found["all"]["causes"]) == (7, 7, {})
    assert {kind: one["succeeded"] for kind, one in found["kinds"].items()} == dict.fromkeys(KINDS, 1)
    assert found["broken"] == {"relay": "west", "link": "adas-west"}
    assert {name: one["expected"] for name, one in found["planted"].items()} == {
        fault.name: fault.cause.value for fault in FAULTS
    }
    for name, one in found["planted"].items():
        assert one["found"] == {one["expected"]: one["tests"]}, name
    assert found["all"]["keys"] >= 2 * 7
    rows = rows_in(tmp_path)
    assert len(rows) == 7 + found["num_planted"]
    assert Counter(row["planted"] for row in rows)[""] == 7
    assert {row["error"] for row in rows if row["planted"]} >= {"NodeSilent", "LinkFailed", "NoRoute", "PadShortage"}
    assert json.loads((tmp_path / "result.json").read_text(encoding="utf-8")) == found
    for name in FAULTS:
        assert name.name in told


@pytest.mark.campaign
def test_a_network_that_is_up_is_tested_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_network(data):
        status, found, told = acceptance("three-nodes", "--tests", "2", "--data", data)
        assert status == 0, told
        assert (found["all"]["succeeded"], found["planted"]) == (2, {})
        assert not (data / "users").exists(), "nobody's own mailbox is touched"


@pytest.mark.campaign
def test_2000_services_over_the_papers_network(tmp_path: Path) -> None:
    status, found, told = acceptance("nature2021", "--tests", "2000", "--faults", "--out", tmp_path)
    assert status == 0, told
    assert found["all"]["tests"] == 2000
    assert found["all"]["success_rate"] > 0.99, "as in the paper's tests"
    assert found["planted_as_expected"] == found["num_planted"] > 200
    assert len(rows_in(tmp_path)) == 2000 + found["num_planted"]
