"""Every case against ETSI GS QKD 014, over real mutual TLS, at the doors of three sites; and the page of the cases."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interop.etsi014_cases import CASES, Case, Step
from interop.etsi014_house import House, house_open
from interop.etsi014_page import PAGE, page
from interop.etsi014_statements import CLAUSES, STATEMENTS


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_open(tmp_path_factory.mktemp("star")) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_door_does_what_the_standard_says(house: House, case: Case) -> None:
    house.check(case)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_rotator_of_wireguard_keys_finds_at_once_what_its_peer_was_given(house: House) -> None:
    """The requests of Arnika (github.com/arnika-project/arnika, kms/kms.go), letter by letter, by curl: a key of 256
    bits at one site, and by its id at the other as soon as the id is known. It repeats what is not answered by 200."""
    for _ in range(20):
        given = _curl(house, "alice", f"{house.live.sae('bob')}/enc_keys?number=1&size=256")
        fetched = _curl(house, "bob", f"{house.live.sae('alice')}/dec_keys?key_ID={given['keys'][0]['key_ID']}")
        assert fetched == given
        assert len(b64decode(given["keys"][0]["key"])) == 32


def _curl(house: House, who: str, path: str) -> Any:
    files = house.live.files(who)
    papers = ["--cert", str(files.certificate), "--key", str(files.key), "--cacert", str(files.ca)]
    url = f"{house.live.url(who)}/api/v1/keys/{path}"
    done = subprocess.run(["curl", "--silent", "--fail", *papers, url], capture_output=True, check=True, timeout=30)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_command_prints_the_schema_that_every_door_serves(house: House) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qanat.apps.cli.main", "openapi", "etsi014"], capture_output=True, check=True, timeout=60
    )
    for site in ("alice@a", "bob@b", "carol@c"):
        assert house.answered(Step(site, "GET", "/openapi.json", "")).json() == json.loads(done.stdout)


def test_every_demand_on_the_door_has_a_case_or_says_where_it_is_checked() -> None:
    checked = {name for case in CASES for name in case.statements}
    assert checked <= {statement.name for statement in STATEMENTS}
    bare = [one.name for one in STATEMENTS if one.name not in checked and not one.elsewhere]
    assert bare == []


def test_there_are_more_than_120_cases_each_with_a_name_of_its_own() -> None:
    assert len(CASES) >= 120
    assert Counter(case.name for case in CASES).most_common(1)[0][1] == 1


def test_every_clause_that_is_named_says_against_what_it_was_checked() -> None:
    named = {number for one in STATEMENTS for number in one.clause.split("-")}
    assert named <= {clause.number for clause in CLAUSES}


def test_the_page_is_what_the_table_makes() -> None:
    written = (Path(__file__).parents[2] / PAGE).read_text(encoding="utf-8")
    assert written == page(), "write it anew: PYTHONPATH=tests python -m interop.etsi014_page"
