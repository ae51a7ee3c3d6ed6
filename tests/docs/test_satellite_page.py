"""The network file that the page on adding a satellite prints is one, and one without its users and fibres is, too."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from qanat.apps.cli.network import run_check, run_show
from qanat.apps.cli.plan import NetworkOptions, run_network
from qanat.apps.network_review import review
from qanat.ground.network import parse_network

PAGE = (Path(__file__).parents[2] / "docs" / "how-to-add-a-satellite.md").read_text(encoding="utf-8")


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """The first block of the page, as a reader would save it."""
    block = re.search(r"(?:^    .*\n|^\n)+", PAGE[PAGE.index("    ") :], flags=re.MULTILINE)
    assert block is not None
    path = tmp_path / "mine.yaml"
    path.write_text(textwrap.dedent(block.group()).strip() + "\n", encoding="utf-8")
    return path


def test_the_sample_is_a_whole_network_file(sample: Path) -> None:
    network = parse_network(sample.read_text(encoding="utf-8"), source=sample.name)
    assert {link.kind for link in network.links} == {"fibre", "downlink", "announced"}
    (route,) = review(network).routes
    assert network.trusted_route(route.nodes) == ("vienna", "roof", "bird", "hill", "graz")


@pytest.mark.slow
def test_a_satellite_and_its_stations_alone_are_checked_and_shown(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = re.sub(r"(?m)^(  - \{name: (vienna|graz|anna|bert).*|links:|applications:)\n", "", sample.read_text("utf-8"))
    sample.write_text(text, encoding="utf-8")
    network = parse_network(text, source=sample.name)
    assert {link.kind for link in network.links} == {"downlink", "announced"}
    assert review(network).weakest is None, "no link makes key on order"
    assert run_check(str(sample), as_json=False) == 0
    said = capsys.readouterr().out
    assert "bird-roof" in said
    assert "valid" in said
    assert "weakest" not in said
    assert run_check(str(sample), as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["weakest_link"] is None
    assert run_show(str(sample), out=sample.with_suffix(".svg"), only=None, as_json=False) == 0


@pytest.mark.slow
def test_the_sample_serves_as_many_as_the_page_says(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_network(NetworkOptions(str(sample)), as_json=True) == 0
    (row,) = json.loads(capsys.readouterr().out)["pairs_of_users_served"]
    told = f"the satellite's {row['rate_bits_per_s']:.0f} bit/s bound {row['pairs_of_users']} pairs of users"
    assert told in PAGE


@pytest.mark.campaign
def test_the_sample_sends_a_file_by_its_satellite(sample: Path) -> None:
    words = (sys.executable, "-m", "qanat.apps.cli.main", "demo", str(sample), "--out", str(sample.parent), "--json")
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert all(check["held"] for check in result["checks"])
    assert result["satellite"]["transfer"]["key_route"] == ["vienna", "roof", "bird", "hill", "graz"]
