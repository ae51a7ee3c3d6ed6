"""Pairs without a route: `qanat network check` counts pairs of applications, `qanat plan` of sites; both say so."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from qanat.apps.cli.main import app
from qanat.ground.network import Application, Network, network_yaml
from qanat.ground.network.building import build_network


def on_screen(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments])
    assert result.exit_code == 0, result.stderr
    return " ".join(result.stdout.split())


def three_sites() -> Network:
    """A relay, and a user on it that another user hangs on: no key passes a user. Each user has three applications."""
    line = build_network("line", num_nodes=4)
    kinds = ("user", "relay", "user", "user")
    sites = [site.model_copy(update={"kind": kind}) for site, kind in zip(line.sites, kinds, strict=True)]
    users = [site.name for site in sites if site.kind == "user"]
    apps = [Application(name=f"{site}-{number}", site=site) for site in users for number in range(3)]
    return line.model_copy(update={"sites": tuple(sites), "applications": tuple(apps)})


def test_each_command_says_what_its_pairs_are_and_how_many_the_other_counts(tmp_path: Path) -> None:
    file = tmp_path / "line.yaml"
    file.write_text(network_yaml(three_sites()), encoding="utf-8")
    checked, planned = on_screen("network", "check", str(file)), on_screen("plan", str(file))
    assert "between 18 of 27 pairs of applications, and so between 2 of the 3 pairs of sites" in checked
    assert "9 pairs of applications, the first: no chain of trusted relays" in checked
    assert "2 of their 3 pairs can have them (predicted); 1 pair of places cannot" in planned
    assert "`qanat network check` counts pairs of applications" in planned
