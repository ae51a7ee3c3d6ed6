"""`qanat network import` and `export`: applications for what has none, and a second backbone to go on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from qanat.apps.cli.main import app
from qanat.apps.networks import load_network
from qanat.ground.network import parse_network
from qanat.ground.network.second_backbone import with_second_backbone


def network_command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["network", *arguments], terminal_width=4000)


def topology(tmp_path: Path, edges: list[tuple[str, str]]) -> Path:
    """Return a node-link file of edges of 40 km at 0.2 of an attenuation without a unit."""
    file = tmp_path / "topology.json"
    names = sorted({name for edge in edges for name in edge})
    links = [{"source": one, "target": other, "length_km": 40, "attenuation": 0.2} for one, other in edges]
    file.write_text(json.dumps({"nodes": [{"id": name} for name in names], "links": links}), encoding="utf-8")
    return file


def test_an_imported_network_has_applications_when_asked_for(tmp_path: Path) -> None:
    file = str(topology(tmp_path, [("a", "r"), ("r", "b")]))
    without = network_command("import", file)
    assert "give --applications-at-each-user" in without.stderr
    assert parse_network(without.stdout, source="x").applications == ()
    told = network_command("import", file, "--applications-at-each-user")
    network = parse_network(told.stdout, source="x")
    assert [(one.name, one.site) for one in network.applications] == [("a", "a"), ("b", "b")]
    assert [link.loss_db for link in network.links] == [8.0, 8.0]
    for text in (told.stderr, told.stdout):
        assert "the unit of 'attenuation' is not said, at 2 edges" in text


def test_where_every_site_is_a_relay_no_application_is_put(tmp_path: Path) -> None:
    file = topology(tmp_path, [("a", "b"), ("b", "c"), ("c", "a")])
    told = network_command("import", str(file), "--applications-at-each-user")
    assert told.exit_code == 2
    assert "no site of" in told.stderr
    assert told.stdout == ""


def test_a_network_is_exported_with_its_second_backbone(tmp_path: Path) -> None:
    out = tmp_path / "closed.yaml"
    assert network_command("export", "beijing-shanghai", str(out), "--second-backbone").exit_code == 0
    assert load_network(str(out)) == with_second_backbone(load_network("beijing-shanghai"))


@pytest.mark.parametrize("option", [[], ["--second-backbone"]])
def test_a_second_backbone_needs_a_first_one(tmp_path: Path, option: list[str]) -> None:
    told = network_command("export", "five-site-ring", str(tmp_path / "ring.yaml"), *option)
    assert ("has no backbone" in told.stderr) == bool(option)
