"""``qanat plan shares`` speaks of all pairs that could ask, and says which it does not count."""

from __future__ import annotations

from pathlib import Path

import pytest

from qanat.apps import shares_review
from qanat.apps.cli.shares import run_shares
from qanat.ground.data import read_text


@pytest.fixture
def three_who_ask(tmp_path: Path) -> str:
    """Return a network whose middle site is no relay: it has keys with both others, and these have none."""
    text = read_text("networks", "three-nodes.yaml") + "  - {name: carol, site: kunshan}\n"
    path = tmp_path / "three.yaml"
    path.write_text(text.replace("kind: relay", "kind: user"))
    return str(path)


def test_pairs_without_a_way_are_not_among_those_with_the_least(
    three_who_ask: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_shares(three_who_ask, as_json=False) == 0
    told = capsys.readouterr().out
    assert "1 pairs have no way and no share, such as shanghai - suzhou" in told
    assert "The 2 least of 2 pairs, in each direction" in told
    assert "left out" not in told


def test_pairs_that_are_left_out_are_told(
    three_who_ask: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shares_review, "MOST_PAIRS", 2)
    run_shares(three_who_ask, as_json=False)
    assert "1 more pairs could ask and are left out" in capsys.readouterr().out
