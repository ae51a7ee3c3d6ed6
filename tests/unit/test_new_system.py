"""Adding a system is adding a record: one that is added to the table at run time gets the tests of all the others.

A plug-in puts a record into ``SYSTEMS`` before tests are collected, as a line in ``physics/systems.py`` would, and
pytest runs what is parametrized over the table for that record alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

RECORD = """
from dataclasses import replace
from qanat.physics.optics import Component
from qanat.physics.systems import BACKBONE_625, SYSTEMS

stated = {name: "stated parameter: a test's" for name in BACKBONE_625.provenance if "synchronization" not in name}
source = replace(BACKBONE_625.source, pulse_rate_hz=1.25e9)
detector = replace(BACKBONE_625.receiver.detector, efficiency=0.2, hold_off_s=0.8e-6)
connector = Component("one more connector", 0.3, "stated parameter: a test's")
receiver = replace(BACKBONE_625.receiver, detector=detector, optics=(*BACKBONE_625.receiver.optics, connector))
SYSTEMS["lab-1250"] = replace(
    BACKBONE_625, name="lab-1250", source=source, receiver=receiver, provenance=stated, synchronization=None
)
"""

GENERIC = {
    "tests/unit/test_physics_systems.py": 4,
    "tests/unit/test_system_command.py": 2,
    "tests/unit/test_channels.py": 1,
    "tests/unit/test_proofs.py": 2,
    "tests/unit/test_link_run.py": 1,
    "tests/statistics/test_detector_memory.py": 1,
    "tests/statistics/test_light_statistics.py": 3,
}
"""Test module -> how many of its tests, at least, every record of the table gets."""


def outcome_of(tmp_path: Path, record: str, *modules: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of the record that a plug-in adds, in an interpreter of their own."""
    (tmp_path / "newcomer.py").write_text(record, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-p", "newcomer", "-p", "no:cacheprovider", "-vv", "-k", "lab-1250"]
    return subprocess.run([*command, *modules], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.campaign
def test_a_record_added_at_run_time_gets_every_test_of_the_others_and_passes(tmp_path: Path) -> None:
    ran = outcome_of(tmp_path, RECORD, *GENERIC)
    passed = re.findall(r"^(tests/[\w/.]+)::\S*lab-1250\S* PASSED", ran.stdout, flags=re.MULTILINE)
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert [module for module, least in GENERIC.items() if passed.count(module) < least] == []


@pytest.mark.slow
def test_a_record_that_lacks_a_provenance_fails_its_tests(tmp_path: Path) -> None:
    """So the tests are there to be failed: each fault by the test that names it."""
    unsaid = RECORD.replace("provenance=stated", "provenance={}").replace("stated parameter: a test's\")", 'unknown")')
    ran = outcome_of(tmp_path, unsaid, "tests/unit/test_physics_systems.py")
    failed = set(re.findall(r"^FAILED \S+::(\w+)", ran.stdout, flags=re.MULTILINE))
    assert failed == {
        "test_every_number_says_where_it_is_from",
        "test_every_component_says_where_it_is_from_and_totals_are_sums",
    }
