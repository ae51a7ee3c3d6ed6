"""Benchmarks are run by their names, or by a name that stands for several, in the paper's network, on one thread."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from qanat.apps.cli.main import app
from qanat.benchmarks import registry
from qanat.benchmarks.routing import paper_graph
from qanat.benchmarks.rows import Row
from qanat.ground.errors import RequestError


@pytest.mark.parametrize(
    ("names", "run"),
    [
        (["routes"], {"route-paper", "route-10000"}),
        (["sharing", "route-paper"], {"share-1000", "max-min-1000", "share-optimum", "route-paper"}),
        (["share-1000"], {"share-1000"}),
        (["full-load-100"], {"full-load-100"}),
        ([], {name for group in registry.BENCHMARKS.values() for name in group} - registry.LONG),
    ],
)
def test_a_name_of_several_runs_each_of_them_once(
    monkeypatch: pytest.MonkeyPatch, names: list[str], run: set[str]
) -> None:
    asked: list[str] = []

    def note(wanted: Sequence[str]) -> Iterator[Row]:
        asked.extend(wanted)
        return iter(())

    monkeypatch.setattr(importlib, "import_module", lambda _name: SimpleNamespace(run=note))
    assert list(registry.run(names)) == []
    assert sorted(asked) == sorted(run)


def test_a_name_of_nothing_is_refused_with_all_that_there_are() -> None:
    with pytest.raises(RequestError, match="no benchmark rutes") as refused:
        list(registry.run(["rutes", "routes"]))
    assert {"routes", "route-paper", "sharing"} <= set(refused.value.remedy.removeprefix("there are: ").split(", "))


def test_routes_and_shares_are_timed_in_the_papers_whole_network() -> None:
    graph = paper_graph()
    assert (len(graph.nodes), len(graph.links)) == (170, 617)  # a satellite, and the link that it announces


@pytest.mark.parametrize(("given", "taken"), [(None, "1"), ("3", "3")])
def test_linear_algebra_has_one_thread_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: str | None, taken: str
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", given or "")  # so that it is put back afterwards
    if given is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    assert CliRunner().invoke(app, ["life-cycle"]).exit_code == 0
    assert os.environ["OPENBLAS_NUM_THREADS"] == taken
