"""The records of QKD systems: numbers of the paper, provenance of each, names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

import pytest

from qanat.ground.errors import ConfigurationError
from qanat.physics.systems import BACKBONE_625, SYSTEMS, QKDSystem, system_named


def numbers(record: object, path: str = "") -> Iterator[str]:
    """Yield the dotted name of every number in a record."""
    for field in fields(record):  # type: ignore[arg-type]
        value, name = getattr(record, field.name), f"{path}{field.name}"
        if is_dataclass(value):
            yield from numbers(value, f"{name}.")
        elif isinstance(value, float | int | tuple):
            yield name


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=lambda system: system.name)
def test_every_number_says_where_it_is_from(system: QKDSystem) -> None:
    assert set(system.provenance) == set(numbers(system))
    assert all(text.startswith(("input: ", "stated parameter: ")) for text in system.provenance.values())


def test_the_backbone_has_the_numbers_of_the_paper() -> None:
    source, detector = BACKBONE_625.source, BACKBONE_625.receiver.detector
    assert source.pulse_rate_hz == 625e6
    assert source.mean_photon_numbers == (0.6, 0.2, 0.0)
    assert [p / source.p_intensities[2] for p in source.p_intensities] == [6, 1, 1]
    assert (detector.efficiency, detector.p_dark_per_gate) == (0.11, 3e-7)
    assert BACKBONE_625.hold_off_slots == 625


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    assert system_named("backbone-625") is BACKBONE_625
    with pytest.raises(ConfigurationError, match=r"backbone-626.*backbone-625"):
        system_named("backbone-626")
