"""``qanat system``: every record as an engineer reads it, complete and with the sums that the physics uses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from qanat.apps.cli.main import app
from qanat.apps.cli.system import DETECTOR_PLACES, running_totals_db
from qanat.physics.systems import BACKBONE_625, METRO_40_II, SYSTEMS, QKDSystem

every_system = pytest.mark.parametrize("system", SYSTEMS.values(), ids=lambda system: system.name)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["system", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_list_names_every_system_with_rates_that_fall_with_loss() -> None:
    status, out, _ = run("list", "--json")
    rows = json.loads(out)["systems"]
    assert status == 0
    assert [row["name"] for row in rows] == list(SYSTEMS)
    for row in rows:
        near, far = row["secret_rates_bits_per_s"]
        assert near > far > 0
        assert row["losses_db"][1] < row["reach_db"]
    _, text, _ = run("list")
    assert all(name in text for name in SYSTEMS)


@every_system
def test_a_record_is_printed_component_by_component(system: QKDSystem) -> None:
    status, out, _ = run("show", system.name)
    assert status == 0
    for component in (*system.source.optics, *system.receiver.optics):
        assert component.name in out
        assert f"{component.insertion_loss_db:g}" in out
        assert component.provenance in out.replace("\n", " ")
    assert f"{system.receiver.detector.efficiency * 100:g} %" in out
    assert system.receiver.detector.kind in out
    assert all(f"{name}: {origin}" in out for name, origin in system.origins.items()), "no brackets lost to markup"


@every_system
def test_totals_run_along_the_chain_and_end_at_what_the_physics_uses(system: QKDSystem) -> None:
    record = json.loads(run("show", system.name, "--json")[1])
    for chain in (record["transmitter"], record["receiver"]):
        totals = [one["total_db"] for one in chain["components"]]
        assert totals == sorted(totals)
        assert totals[-1] == chain["loss_db"]
    assert record["receiver"]["loss_db"] == system.receiver.loss_db
    assert running_totals_db(system.receiver.optics)[-1] == system.receiver.loss_db
    assert [one["place"] for one in record["detectors"]] == list(DETECTOR_PLACES)
    assert record["provenance"] == dict(system.provenance)
    assert record["is_transceiver"] is system.is_transceiver


def test_the_backbones_receiver_runs_to_one_and_a_half_decibels() -> None:
    assert running_totals_db(BACKBONE_625.receiver.optics) == [0.6, 0.8, 0.9, 1.3, 1.5]


def test_unlike_detectors_stand_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    one = METRO_40_II.receiver.detector
    four = (one, replace(one, efficiency=0.12), one, one)
    unlike = replace(METRO_40_II, name="unlike", receiver=replace(METRO_40_II.receiver, individual=four))
    monkeypatch.setitem(SYSTEMS, "unlike", unlike)  # type: ignore[arg-type]
    _, out, _ = run("show", "unlike")
    assert all(place in out for place in DETECTOR_PLACES)
    assert "12 %" in out
    assert "15 %" in out


def test_an_unknown_system_is_answered_with_the_known_ones() -> None:
    status, out, err = run("show", "laser-pointer")
    assert (status, out) == (2, "")
    assert "backbone-625" in err
