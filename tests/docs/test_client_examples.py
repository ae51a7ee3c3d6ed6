"""The examples of the page on our client run as they stand, against two doors over mutual TLS."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interop.doors_at_work import Doors, doors_open, make_credentials
from unit.etsi014_fakes import ALICE, BOB, CAROL

PAGE = (Path(__file__).parents[2] / "docs" / "how-to-get-keys-in-python.md").read_text(encoding="utf-8")

WAYS_PAGE = (Path(__file__).parents[2] / "docs" / "how-to-keep-keys-out-of-a-site.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with doors_open(make_credentials(tmp_path_factory.mktemp("pki"))) as world:
        yield world


def test_the_examples_run_as_they_stand(doors: Doors, capsys: pytest.CaptureFixture[str]) -> None:
    urls = [f"https://127.0.0.1:{port}" for port in doors.ports]
    papers = doors.credentials
    names: dict[str, Any] = {"url_a": urls[0], "url_b": urls[1], "alice": ALICE, "bob": BOB, "carol": CAROL}
    names |= {"alice_files": papers.alice, "bob_files": papers.bob}
    examples = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(examples) == 5
    for example in examples:
        exec(compile(example, "how-to-get-keys-in-python.md", "exec"), names)
    given, fetched = asyncio.run(names["pair_of_keys"]())
    assert [key.take() for key in given] == [key.take() for key in fetched]
    said = capsys.readouterr().out
    assert "('qanat_max_hops',)" in said
    assert "size shall be a multiple of 8" in said


def test_the_example_of_keys_kept_out_of_a_site_runs_as_it_stands(
    doors: Doors, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", WAYS_PAGE, flags=re.DOTALL)
    url, files = f"https://127.0.0.1:{doors.ports[0]}", doors.credentials.alice
    exec(compile(example, "keep-keys-out", "exec"), {"url": url, "alice": ALICE, "bob": BOB, "alice_files": files})
    require = doors.supplier.calls[-2]["require"]
    assert (sorted(require.policy.avoid), require.measure) == (["east", "southwest"], "freshest")
    assert doors.supplier.calls[-1]["prefer"].policy.domestic_only
    assert capsys.readouterr().out.startswith("((")
