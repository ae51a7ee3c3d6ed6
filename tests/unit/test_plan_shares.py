"""``qanat plan shares`` speaks of all pairs that could ask, and says which it does not count."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qanat.apps import shares_review
from qanat.apps.cli import shares
from qanat.apps.cli.shares import run_shares
from qanat.apps.networks import load_network
from qanat.ground.data import read_text
from qanat.ground.network import network_yaml
from qanat.ground.network.extracts import extract_of
from qanat.planning.limits import link_rates
from qanat.planning.reach import Reach


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


def test_pairs_that_only_a_satellite_joins_share_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They were counted among those without a way, which `qanat plan` says they have."""
    paper = load_network("nature2021")
    stations = [site.node for site in paper.sites if site.ground_station]
    behind = [link.peer_of(node) for node in stations for link in paper.links_of(node)]
    users = [link.peer_of(node) for node in behind for link in paper.links_of(node)]
    part = extract_of(paper, {*stations, *behind, *users})
    part = part.model_copy(update={"sites": tuple(site.model_copy(update={"router": ""}) for site in part.sites)})
    file = tmp_path / "part.yaml"
    file.write_text(network_yaml(part), encoding="utf-8")
    rates = {link.link_id: 72.0 for link in part.links if not link.makes_key_on_order}
    monkeypatch.setattr(shares, "pass_rates", lambda *_: rates)  # a week of passes takes seconds
    run_shares(str(file), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["of_satellites_bits_per_s"] == rates
    reach = Reach(part, link_rates(part) | rates)
    assert sum(not share["ways"] for share in found["shares"]) == reach.unreachable()
    assert any("urumqi" in share["pair"] and share["ways"] for share in found["shares"])
    run_shares(str(file), as_json=False)
    assert "links of satellites share what their passes give" in capsys.readouterr().out
