"""``qanat life-cycle``: the stages of keys and blocks, as a table and as a figure."""

from __future__ import annotations

import json
from pathlib import Path

from qanat.apps.cli.presentation import people_console, show_table
from qanat.apps.pictures.files import check_picture_name, write_picture
from qanat.apps.pictures.life_cycle import draw_life_cycle, table_rows
from qanat.ground.errors import ConfigurationError
from qanat.ground.life_cycle import TRANSITIONS


def run_life_cycle(*, out: Path | None, as_json: bool) -> int:
    """Print the table, draw the figure into ``out``. Returns 0."""
    check_picture_name(out)
    if out is not None and out.suffix.lower() != ".svg":
        raise ConfigurationError(f"{out}: this figure is drawn as SVG only", remedy="let its name end in .svg")
    if as_json:
        print(json.dumps({"transitions": table_rows()}, indent=2))
    else:
        rows = [(row.before or "(not here)", row.act, row.after, " ".join(sorted(row.of))) for row in TRANSITIONS]
        show_table(people_console(is_answer=True), "Life of keys and blocks", ("before", "act", "after", "of"), rows)
    if out is not None:
        write_picture(out, draw_life_cycle().encode())
    return 0
