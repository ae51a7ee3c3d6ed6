"""A network in several parts can be read and reviewed, and is told of with both parts and a link that joins them."""

from __future__ import annotations

from pathlib import Path

import pytest

from qanat.apps.network_islands import in_islands
from qanat.apps.network_review import review
from qanat.apps.networks import load_network
from qanat.ground.data import read_text


@pytest.mark.slow
def test_the_paper_network_without_a_link_that_holds_it_together_shows_its_table_and_both_parts(tmp_path: Path) -> None:
    assert not list(in_islands(load_network("nature2021")))
    lines = read_text("networks", "nature2021.yaml").splitlines(keepends=True)
    file = tmp_path / "cut.yaml"
    file.write_text("".join(line for line in lines if "{name: dezhou-yucheng," not in line), encoding="utf-8")
    found = review(load_network(str(file)))
    (told,) = [warning for warning in found.warnings if warning.code == "in-parts"]
    assert "in 2 parts that no link joins" in told.text
    assert told.remedy == "add a link between two of them, such as yucheng and dezhou"
    backbone = next(row for row in found.table if row.network == "backbone")
    assert backbone.ours is not None
    assert backbone.ours.links < backbone.paper.links == 135
    assert "links" in backbone.differing
