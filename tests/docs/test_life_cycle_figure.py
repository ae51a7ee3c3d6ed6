"""The figure and the page of the life of keys are those of the table that the stores work by."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from qanat.apps.cli.main import app
from qanat.ground.life_cycle import TRANSITIONS, Stage

DOCS = Path(__file__).parents[2] / "docs"


def test_the_figure_is_drawn_from_the_table_of_today(tmp_path: Path) -> None:
    drawn = tmp_path / "life-cycle.svg"
    done = CliRunner().invoke(app, ["life-cycle", "--out", str(drawn), "--json"])
    assert len(json.loads(done.stdout)["transitions"]) == len(TRANSITIONS)
    kept = DOCS / "images" / "life-cycle.svg"
    assert drawn.read_text(encoding="utf-8") == kept.read_text(encoding="utf-8"), f"run qanat life-cycle --out {kept}"


def test_the_page_tells_every_stage() -> None:
    page = (DOCS / "formats" / "key-store.md").read_text(encoding="utf-8")
    assert "images/life-cycle.svg" in page
    for stage in Stage:
        assert f"\n| {stage} |" in page
