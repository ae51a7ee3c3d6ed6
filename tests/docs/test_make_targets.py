"""Whatever the README has a reader make is a target of the Makefile."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_what_the_readme_says_to_make_can_be_made_also_without_running_anything() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^    |`)make ([\w./-]+)", readme, flags=re.MULTILINE))
    targets = re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert named <= set(targets)
    assert named >= {"demo", "test", ".venv/installed"}
