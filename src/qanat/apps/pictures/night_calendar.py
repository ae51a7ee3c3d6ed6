"""The picture of a calendar of nights: per station every pass by date and hour, and the key of each night below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final

from qanat.apps.pictures.chart import Frame, ticks
from qanat.apps.pictures.geography import Point
from qanat.apps.pictures.png import PngSheet
from qanat.apps.pictures.styles import sheet_alone
from qanat.apps.pictures.surface import Shifted, Surface
from qanat.apps.pictures.svg import Sheet
from qanat.orbits.stations import Station
from qanat.planning.night_calendar import Calendar, Mark, Night, noon_utc_s

WIDTH: Final = 980.0
LEFT: Final = 76.0
INNER_WIDTH: Final = 880.0
HEAD: Final = 104.0
HOURS_HEIGHT: Final = 220.0
BARS_HEIGHT: Final = 80.0
BETWEEN: Final = 16.0
FOOT: Final = 70.0
STATION_HEIGHT: Final = HOURS_HEIGHT + BETWEEN + BARS_HEIGHT + FOOT
MOST_STATIONS: Final = 8
MOST_MARKS: Final = 20_000
"""More passes would be a grey wall, and a file of megabytes: only what each night gives is drawn then."""
LONG_DAYS: Final = 75
"""From here on months are named, not days."""
NAMES: Final = {
    "usable": "usable: dark, in the Earth's shadow",
    "sunlit": "dark, satellite in sunlight",
    "low": "dark, below the mask",
    "light": "not dark",
}
DRAWN_FIRST: Final = ("light", "low", "sunlit", "usable")


def draw_calendar(calendar: Calendar, *, title: str, subtitle: str, as_png: bool) -> bytes:
    """Return the picture as the bytes of an SVG or PNG file."""
    shown = calendar.stations[:MOST_STATIONS]
    height = HEAD + STATION_HEIGHT * len(shown)
    surface: Sheet | PngSheet
    if as_png:
        surface = PngSheet(WIDTH, height)
    else:
        surface = Sheet(WIDTH, height, label=title, kind="map", style_sheet=sheet_alone(with_sky=True))
    surface.text(14, 28, title, "strong")
    surface.text(14, 48, subtitle, "tiny muted")
    with_marks = len(calendar.marks) <= MOST_MARKS
    _draw_legend(surface, with_marks, len(calendar.stations) - len(shown))
    for number, station in enumerate(shown):
        part = Shifted(surface, 0, HEAD + number * STATION_HEIGHT)
        marks = [mark for mark in calendar.marks if mark.station == station.name] if with_marks else []
        _draw_station(part, station, calendar.of(station), marks)
    return surface.render() if isinstance(surface, PngSheet) else surface.render_file().encode()


def _draw_legend(surface: Surface, with_marks: bool, num_left_out: int) -> None:
    x, y = 20.0, 68.0
    surface.polygon([(x - 5, y - 5), (x + 5, y - 5), (x + 5, y + 5), (x - 5, y + 5)], "night")
    surface.text(x + 10, y + 4, "dark", "tiny muted")
    x += 60
    for kind, words in NAMES.items() if with_marks else ():
        surface.circle(x, y, 3.2, f"pass {kind}")
        surface.text(x + 9, y + 4, words, "tiny muted")
        x += 34 + 6.4 * len(words)
    if not with_marks:
        surface.text(x, y + 4, f"more than {MOST_MARKS:,} passes, which are not drawn one by one", "tiny muted")
        x += 380
    if num_left_out:
        surface.text(x, y + 4, f"{num_left_out} more stations in the data", "tiny muted")


def _draw_station(surface: Surface, station: Station, found: Sequence[Night], marks: Sequence[Mark]) -> None:
    across = (0.0, float(len(found)))
    hours = Frame(LEFT, 0.0, INNER_WIDTH, HOURS_HEIGHT, across, (24.0, 0.0))
    surface.text(LEFT, -10, _sum(station, found), "label strong")
    for area in _dark_areas(station, found):
        surface.polygon([hours.at(x, y) for x, y in area], "night")
    for hour in (0, 6, 12, 18, 24):
        y = hours.at(0, hour)[1]
        surface.line(LEFT, y, LEFT + INNER_WIDTH, y, "stroke grid")
        surface.text(LEFT - 8, y + 4, f"{(hour + 12) % 24} h", "tiny muted", anchor="end")
    surface.text(22, HOURS_HEIGHT / 2, "local mean solar time", "tiny muted", anchor="middle", turned_deg=-90)
    radius = min(4.0, max(1.4, 0.42 * INNER_WIDTH / len(found)))
    for kind in DRAWN_FIRST:
        for mark in marks:
            if mark.kind == kind:
                surface.circle(*hours.at(mark.night + 0.5, mark.hours), radius, f"pass {kind}")
    _draw_bars(Shifted(surface, 0, HOURS_HEIGHT + BETWEEN), found)


def _sum(station: Station, found: Sequence[Night]) -> str:
    num_usable = sum(night.num_passes["usable"] for night in found)
    num_nights = sum(night.num_passes["usable"] > 0 for night in found)
    words = f"{station.name}: {num_usable:,} usable passes in {num_nights} of {len(found)} nights"
    known = [night.secret_bits for night in found if night.secret_bits is not None]
    return f"{words}, {sum(known) / 1e6:,.1f} Mbit of secret key under clear skies" if known else words


def _dark_areas(station: Station, found: Sequence[Night]) -> Iterator[list[Point]]:
    """Yield steps of darkness, as areas of (nights, hours since noon); white nights part them."""
    first = date.fromisoformat(found[0].evening).toordinal() - date(1970, 1, 1).toordinal()
    upper: list[Point] = []
    lower: list[Point] = []
    for place, night in enumerate(found):
        if not night.dark_parts:
            if upper:
                yield [*upper, *reversed(lower)]
            upper, lower = [], []
            continue
        noon = noon_utc_s(station, first + place)
        begin, end = ((moment - noon) / 3600 for moment in (night.dark_parts[0][0], night.dark_parts[-1][1]))
        upper += [(place, begin), (place + 1, begin)]
        lower += [(place, end), (place + 1, end)]
    if upper:
        yield [*upper, *reversed(lower)]


def _draw_bars(surface: Surface, found: Sequence[Night]) -> None:
    """Draw what each night gives: secret bits, or the usable seconds where there is no budget."""
    has_bits = found[0].secret_bits is not None
    lower = [(night.secret_bits or 0.0) / 1e6 if has_bits else night.usable_s / 60 for night in found]
    upper = [
        (night.secret_bits_with_sunlit or 0.0) / 1e6 if has_bits else (night.usable_s + night.sunlit_s) / 60
        for night in found
    ]
    most = 1.1 * max([*upper, 1e-9 if any(upper) else 1.0])
    frame = Frame(LEFT, 0.0, INNER_WIDTH, BARS_HEIGHT, (0.0, float(len(found))), (0.0, most))
    for value in ticks(0.0, most, about=3):
        y = frame.at(0, value)[1]
        surface.line(LEFT, y, LEFT + INNER_WIDTH, y, "stroke grid")
        surface.text(LEFT - 8, y + 4, f"{value:,g}", "tiny muted", anchor="end")
    unit = "Mbit, secret" if has_bits else "minutes"
    surface.text(22, BARS_HEIGHT / 2, unit, "tiny muted", anchor="middle", turned_deg=-90)
    for values, style in ((upper, "pass sunlit"), (lower, "pass usable")):
        for place, value in enumerate(values):
            if value > 0:
                (left, top), (right, bottom) = frame.at(place + 0.1, value), frame.at(place + 0.9, 0.0)
                surface.rectangle(left, top, right - left, bottom - top, style)
    surface.line(LEFT, BARS_HEIGHT, LEFT + INNER_WIDTH, BARS_HEIGHT, "stroke ink")
    for place, words in _dates(found):
        x = frame.at(place, 0.0)[0]
        surface.line(x, BARS_HEIGHT, x, BARS_HEIGHT + 5, "stroke ink")
        surface.text(x + 3, BARS_HEIGHT + 17, words, "tiny muted")


def _dates(found: Sequence[Night]) -> Iterator[tuple[int, str]]:
    """Yield the places of months, or of some evenings, with their names."""
    first = date.fromisoformat(found[0].evening)
    if len(found) >= LONG_DAYS:
        step = max(1, round(len(found) / 400))
        for place in range(len(found)):
            day = first + timedelta(days=place)
            if day.day == 1 and (day.month - 1) % step == 0:
                yield place, f"{day:%b %Y}" if day.month == 1 or place < 31 else f"{day:%b}"
        return
    step = max(1, -(-len(found) // 12))
    for place in range(0, len(found), step):
        yield place, (first + timedelta(days=place)).isoformat()[5:]
