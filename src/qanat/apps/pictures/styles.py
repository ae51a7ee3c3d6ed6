"""What a style's words look like: one table for pictures that stand alone, in SVG and in PNG.

Inside a page the page's own style sheet rules; a map brings only the words that are its own (land, sea, link classes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

NUM_CLASSES = 5
"""Classes of links by what they carry, ``class-0`` the least."""

PALETTE: Mapping[str, str] = {
    "paper": "#ffffff",
    "ink": "#1d2327",
    "muted": "#5d676e",
    "panel": "#f7f5ef",
    "grid": "#dcd8cc",
    "light": "#c2571a",
    "user": "#2c5f8a",
    "relay": "#8a6d1f",
}
"""Colours that a page has too, for pictures that stand alone."""

MAP_PALETTE: Mapping[str, tuple[str, str]] = {
    "sea": ("#dbe7ee", "#17232b"),
    "land": ("#f8f5ec", "#262b2c"),
    "coast": ("#a9bac4", "#4a5a63"),
    "switch": ("#3a7d4d", "#84c795"),
    "fibre": ("#8fae98", "#5d7d68"),
    "map-grid": ("#cfd3cd", "#333c41"),
    "class-0": ("#e2ad55", "#7a4f2c"),
    "class-1": ("#d4822f", "#a8672f"),
    "class-2": ("#b85418", "#d98741"),
    "class-3": ("#8b3010", "#f3b06e"),
    "class-4": ("#521507", "#ffdcb0"),
}
"""A map's own colours, by light and in the dark."""

SKY_PALETTE: Mapping[str, str] = {"night": "#34466b"}
"""Colours of the pictures of satellites."""


@dataclass(frozen=True, slots=True)
class Style:
    """How an element looks: colours by name in a palette or ``none``, widths and sizes in units of the sheet.

    opacity: of the filling, 0 to 1; what is drawn before shines through.
    """

    fill: str | None = None
    stroke: str | None = None
    width: float | None = None
    dash: float | None = None
    size: float | None = None
    bold: bool | None = None
    halo: bool | None = None
    opacity: float | None = None

    def under(self, other: Style) -> Style:
        """Return this style with what ``other`` says laid over it."""
        said = {field.name: getattr(other, field.name) for field in fields(other)}
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return Style(**{name: own[name] if value is None else value for name, value in said.items()})


COMMON_RULES: Mapping[str, Style] = {
    "label": Style(size=13),
    "tiny": Style(size=11.5),
    "strong": Style(bold=True),
    "muted": Style(fill="muted"),
    "halo": Style(stroke="panel", width=5, halo=True),
    "panel": Style(fill="panel"),
    "stroke": Style(fill="none", stroke="ink"),
    "stroke grid": Style(stroke="grid"),
    "stroke ink": Style(stroke="muted"),
    "stroke light": Style(stroke="light"),
    "fill light": Style(fill="light"),
    "stroke thick": Style(width=2.6),
    "user": Style(fill="user"),
    "relay": Style(fill="relay"),
    "outlined": Style(stroke="paper", width=2.5),
    **{
        f"curve-{name}": Style(fill="none", stroke=name, width=1.5)
        for name in ("light", "user", "relay", "ink", "grid")
    },
}
"""Words that a page knows as well. A later rule lies over an earlier one."""

MAP_RULES: Mapping[str, Style] = {
    "sea": Style(fill="sea"),
    "land": Style(fill="land", stroke="none"),
    "coast": Style(fill="none", stroke="coast", width=0.8),
    "stroke map-grid": Style(stroke="map-grid", width=0.7),
    "halo on-map": Style(stroke="land", width=3.5),
    "small": Style(size=12),
    "small halo": Style(width=3),
    "outlined fine": Style(width=1.5),
    "leader": Style(fill="none", stroke="muted", width=0.7),
    "link": Style(fill="none"),
    "link apart": Style(dash=3),
    "switch": Style(fill="switch"),
    "link port": Style(stroke="fibre", width=1),
    "link trunk": Style(stroke="switch", width=3),
    "frame": Style(fill="none", stroke="ink", width=1),
    "link unknown": Style(stroke="coast", width=1.2),
    "link dry": Style(stroke="coast", width=1.6, dash=2),
    **{
        f"link class-{number}": Style(stroke=f"class-{number}", width=2 + 1.1 * number) for number in range(NUM_CLASSES)
    },
}
"""A map's own words."""

SKY_RULES: Mapping[str, Style] = {
    "night": Style(fill="night", opacity=0.16),
    "cover": Style(fill="none", stroke="user", width=1.3),
    "cover lower": Style(width=0.7),
    "track": Style(fill="none", stroke="class-1", width=1.2),
    "track shadowed": Style(stroke="ink", width=1.0),
    "track seen": Style(stroke="light", width=3.2),
    "track dark": Style(stroke="switch", width=3.6),
    "pass": Style(stroke="none"),
    "pass usable": Style(fill="switch"),
    "pass sunlit": Style(fill="class-0"),
    "pass low": Style(fill="none", stroke="muted", width=0.8),
    "pass light": Style(fill="coast"),
}
"""Words of the pictures of satellites, which stand alone: no page and no other picture carries them."""


def style_of(words: str) -> Style:
    """Return how an element with these words looks where it stands alone."""
    said = frozenset(words.split())
    style = Style(fill="ink", stroke="none", width=1, size=16)
    for rules in (COMMON_RULES, MAP_RULES, SKY_RULES):
        for needed, rule in rules.items():
            if said.issuperset(needed.split()):
                style = style.under(rule)
    return style


def colour(name: str | None) -> str | None:
    """Return a palette's colour by light; nothing for ``none``."""
    if name is None or name == "none":
        return None
    return {**PALETTE, **SKY_PALETTE}[name] if name not in MAP_PALETTE else MAP_PALETTE[name][0]


def sheet_for_a_page() -> str:
    """Return the style sheet of a map inside a page: its own words only, and colours for the dark."""
    by_light, in_the_dark = (
        " ".join(f"--{name}: {pair[place]};" for name, pair in MAP_PALETTE.items()) for place in (0, 1)
    )
    return (
        f"svg.map {{ {by_light} }} "
        f"@media screen and (prefers-color-scheme: dark) {{ svg.map {{ {in_the_dark} }} }} "
        + _rules(MAP_RULES, lambda name: name if name == "none" else f"var(--{name})")
    )


def sheet_alone(*, with_sky: bool = False) -> str:
    """Return the style sheet of a picture that is a file of its own: everything, in fixed colours.

    with_sky: the words of the pictures of satellites too.
    """
    base = 'svg.map { font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: ' + PALETTE["ink"] + "; } "
    return base + _rules(
        {**COMMON_RULES, **MAP_RULES, **(SKY_RULES if with_sky else {})}, lambda name: colour(name) or "none"
    )


def _rules(rules: Mapping[str, Style], spelled: Callable[[str], str]) -> str:
    return " ".join(f"svg.map {_selector(words)} {{ {_declarations(rule, spelled)} }}" for words, rule in rules.items())


def _selector(words: str) -> str:
    return "." + ".".join(words.split())


def _declarations(rule: Style, spelled: Callable[[str], str]) -> str:
    said = {
        "fill": None if rule.fill is None else spelled(rule.fill),
        "stroke": None if rule.stroke is None else spelled(rule.stroke),
        "stroke-width": None if rule.width is None else f"{rule.width:g}",
        "stroke-dasharray": None if rule.dash is None else f"{rule.dash:g}",
        "font-size": None if rule.size is None else f"{rule.size:g}px",
        "font-weight": "600" if rule.bold else None,
        "paint-order": "stroke" if rule.halo else None,
        "stroke-linejoin": "round" if rule.halo else None,
        "fill-opacity": None if rule.opacity is None else f"{rule.opacity:g}",
    }
    return " ".join(f"{name}: {value};" for name, value in said.items() if value is not None)
