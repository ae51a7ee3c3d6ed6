"""The life of a key and of a block as a figure, drawn from the table that the stores work by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qanat.apps.pictures.styles import sheet_alone
from qanat.apps.pictures.surface import draw_arrow
from qanat.apps.pictures.svg import Sheet
from qanat.ground.life_cycle import ENDS, TRANSITIONS, Kind, Stage, Transition

WIDTH, HEIGHT = 960, 400
BOX_WIDTH, BOX_HEIGHT = 130, 46
CENTRES: Mapping[Stage, tuple[float, float]] = {
    Stage.RECEIVED: (200, 130),
    Stage.STORED: (500, 130),
    Stage.RESERVED: (800, 130),
    Stage.EXPIRED: (200, 330),
    Stage.DESTROYED: (500, 330),
    Stage.SUPPLIED: (800, 330),
}
LABELS_AT: Mapping[Stage, float] = {Stage.RECEIVED: 0.42, Stage.STORED: 0.68, Stage.RESERVED: 0.9}
"""How far along the arrows down from a stage their labels stand, so that none covers another."""
DOOR_IN = (500.0, 30.0)


def draw_life_cycle() -> str:
    """Return the text of an SVG file: stages as boxes, every row of the table on an arrow or under its box."""
    sheet = Sheet(WIDTH, HEIGHT, label="Life of a key and of a block", kind="map", style_sheet=sheet_alone())
    rows = _by_ends()
    for (before, after), between in rows.items():
        if before != after:
            _draw_move(sheet, before, after, between)
    for (before, after), between in rows.items():
        if before == after:
            _draw_stay(sheet, after, between)
    for stage, (x, y) in CENTRES.items():
        left, top = x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2
        sheet.rectangle(left, top, BOX_WIDTH, BOX_HEIGHT, "panel stroke", round_by=6)
        sheet.rectangle(left, top, BOX_WIDTH, BOX_HEIGHT, "panel", round_by=6)
        sheet.text(x, y + 5, stage, "label strong" if stage in ENDS else "label", anchor="middle")
    sheet.text(*DOOR_IN, "not here yet", "label muted", anchor="middle")
    return sheet.render_file()


def table_rows() -> list[dict[str, object]]:
    """Return the table as JSON has it."""
    return [
        {"before": row.before, "act": row.act, "after": row.after, "of": [kind for kind in Kind if kind in row.of]}
        for row in TRANSITIONS
    ]


def _by_ends() -> dict[tuple[Stage | None, Stage], list[Transition]]:
    rows: dict[tuple[Stage | None, Stage], list[Transition]] = {}
    for row in TRANSITIONS:
        rows.setdefault((row.before, row.after), []).append(row)
    return rows


def _label(rows: Sequence[Transition]) -> str:
    return ", ".join(
        f"{row.act}" if row.of == frozenset(Kind) else f"{row.act} ({' and '.join(sorted(row.of))})" for row in rows
    )


def _draw_stay(sheet: Sheet, stage: Stage, rows: Sequence[Transition]) -> None:
    """What changes nothing stands beside its box."""
    x, y = CENTRES[stage]
    for number, row in enumerate(rows):
        _write(sheet, x, y + BOX_HEIGHT / 2 + 16 + 14 * number, f"stays: {_label([row])}", "muted")


def _draw_move(sheet: Sheet, before: Stage | None, after: Stage, rows: Sequence[Transition]) -> None:
    x1, y1 = DOOR_IN if before is None else CENTRES[before]
    x2, y2 = CENTRES[after]
    if before is None:
        y1 += 8
    start, end = _edge(x1, y1, x2, y2, is_box=before is not None), _edge(x2, y2, x1, y1, is_box=True)
    draw_arrow(sheet, *start, *end, "light" if after is Stage.DESTROYED else "ink")
    share = 0.5 if before is None or start[1] == end[1] else LABELS_AT[before]
    _write(sheet, start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]) - 5, _label(rows))


def _write(sheet: Sheet, x: float, y: float, text: str, style: str = "") -> None:
    """Write a small text that stays readable over lines."""
    for words in ("tiny halo", f"tiny {style}"):
        sheet.text(x, y, text, words.strip(), anchor="middle")


def _edge(x: float, y: float, towards_x: float, towards_y: float, *, is_box: bool) -> tuple[float, float]:
    """Return where the straight line from a box's centre to another point leaves the box."""
    if not is_box:
        return x, y
    across, down = towards_x - x, towards_y - y
    share = min(
        BOX_WIDTH / 2 / abs(across) if across else float("inf"), BOX_HEIGHT / 2 / abs(down) if down else float("inf")
    )
    return x + share * across, y + share * down
