"""The page of alarms is the table of today."""

from __future__ import annotations

from pathlib import Path

from qanat.apps.alarm_page import alarm_page
from qanat.ground.alarms import ALARMS

PAGE = Path(__file__).parents[2] / "docs" / "reference-alarms.md"


def test_the_page_is_written_from_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == alarm_page(), f"python -m qanat.apps.alarm_page > {PAGE}"


def test_the_page_has_a_row_of_each_code() -> None:
    rows = [line.split("|")[1].strip() for line in alarm_page().splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(f"`{code}`" for code in ALARMS)
