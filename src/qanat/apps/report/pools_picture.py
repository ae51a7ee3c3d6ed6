"""Pools over time: a line for each where they are few; where they are many, a band for all and a strip for each."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import groupby

from qanat.apps.pictures.svg import Sheet
from qanat.apps.report import wording
from qanat.apps.report.charts import Axes, ticks
from qanat.apps.report.result import PoolSample

NUM_COLOURS = 6
"""Series colours of the style sheet, ``c0`` to ``c5``; a seventh series begins again."""

MOST_LINES = 8
"""More pools than this are drawn as a band and strips."""

NUM_SHADES = 8
"""Shades of a strip, ``h1`` to ``h8``; an empty pool has none."""

MOST_COLUMNS = 150
LEFT, INNER_WIDTH = 150.0, 690.0

Series = Sequence[tuple[float, int]]
"""(seconds since the first look, bits), in order of time."""


def draw_pools(samples: Sequence[PoolSample], *, order: Sequence[str] = ()) -> str:
    """Return the pools' levels over time. ``order`` puts the link pools' strips in the order of a route."""
    start_s = min(sample.monotonic_s for sample in samples)
    span_s = max(1e-3, max(sample.monotonic_s for sample in samples) - start_s)
    links = _series([sample for sample in samples if not sample.is_end_to_end], start_s)
    ready = _series([sample for sample in samples if sample.is_end_to_end], start_s)
    if len(links) > MOST_LINES:
        return _draw_crowd(links, ready, order, span_s)
    return _draw_few(links, ready, span_s)


def _series(samples: Sequence[PoolSample], start_s: float) -> dict[str, Series]:
    ordered = sorted(samples, key=lambda sample: (sample.pool, sample.monotonic_s))
    return {
        pool: [(sample.monotonic_s - start_s, sample.num_bits) for sample in group]
        for pool, group in groupby(ordered, key=lambda sample: sample.pool)
    }


def _draw_few(links: Mapping[str, Series], ready: Mapping[str, Series], span_s: float) -> str:
    panels = [panel for panel in (links, ready) if panel]
    height = 230.0
    sheet = Sheet(980, 46 + (height + 36) * len(panels), label="key in the pools over time")
    for number, panel in enumerate(panels):
        top = 26 + (height + 36) * number
        title = "keys ready end to end" if panel is ready else "link pools"
        axes = _time_axes(sheet, panel, top=top, height=height, span_s=span_s, title=title, left=70, width=640)
        ends = [
            (_draw_steps(sheet, axes, series, f"series c{place % NUM_COLOURS}"), name, place)
            for place, (name, series) in enumerate(panel.items())
        ]
        _draw_names(sheet, ends, x=axes.left + axes.width, lowest=top + height)
    sheet.text(390, sheet.height - 2, "seconds since the first look", "tiny muted", anchor="middle")
    return sheet.render()


def _time_axes(
    sheet: Sheet,
    panel: Mapping[str, Series],
    *,
    top: float,
    height: float,
    span_s: float,
    title: str,
    left: float = LEFT,
    width: float = INNER_WIDTH,
) -> Axes:
    """Draw a frame of bits over time that holds every series of ``panel``."""
    most = max(1.0, 1.05 * max(num_bits for series in panel.values() for _, num_bits in series))
    axes = Axes(left, top, width, height, (0, span_s), (0, most))
    levels = [(value, wording.short_bits(value) if value else "0") for value in ticks(0, most, about=4)]
    axes.draw(sheet, x_ticks=ticks(0, span_s, about=8), y_ticks=levels)
    sheet.text(left - 62, top - 10, title, "tiny strong")
    return axes


def _draw_steps(sheet: Sheet, axes: Axes, series: Sequence[tuple[float, float]], style: str) -> float:
    """Draw a level that holds from one look to the next; return the y at its right end."""
    points = [(axes.x(series[0][0]), axes.y(series[0][1]))]
    for moment_s, level in series[1:]:
        x = axes.x(moment_s)
        points += [(x, points[-1][1]), (x, axes.y(level))]
    points.append((axes.left + axes.width, points[-1][1]))
    sheet.polyline(points, style)
    return points[-1][1]


def _draw_names(sheet: Sheet, ends: Sequence[tuple[float, str, int]], *, x: float, lowest: float) -> None:
    """Name each series at its end; names that would touch are moved apart."""
    places: list[float] = []
    for y, _, _ in sorted(ends):
        places.append(max(y, places[-1] + 15) if places else y)
    overhang = max(0.0, places[-1] - lowest)
    for (y, name, place), at in zip(sorted(ends), places, strict=True):
        label_y = at - overhang
        sheet.line(x, y, x + 14, label_y, f"stroke c{place % NUM_COLOURS}")
        sheet.text(x + 18, label_y + 4, name, "tiny")


def _draw_crowd(links: Mapping[str, Series], ready: Mapping[str, Series], order: Sequence[str], span_s: float) -> str:
    """Draw, over one axis of time: the band of all link pools, the end-to-end pools, and a strip for each link pool."""
    row, band_height, ready_height = 13.0, 150.0, 110.0 if ready else 0.0
    strips_top = 26 + band_height + (ready_height + 60 if ready else 0) + 60
    label = f"key in {len(links)} link pools over time" + (", and in the end-to-end pool" if ready else "")
    sheet = Sheet(980, strips_top + row * len(links) + 42, label=label)
    _draw_band(sheet, links, top=26, height=band_height, span_s=span_s)
    if ready:
        top = 26 + band_height + 60
        axes = _time_axes(sheet, ready, top=top, height=ready_height, span_s=span_s, title="keys ready end to end")
        ends = [
            (_draw_steps(sheet, axes, series, f"series c{(place + 1) % NUM_COLOURS}"), name, place + 1)
            for place, (name, series) in enumerate(ready.items())
        ]
        _draw_names(sheet, ends, x=axes.left + axes.width, lowest=top + ready_height)
    place = {name: number for number, name in enumerate(order)}
    names = sorted(links, key=lambda name: (place.get(name, len(place)), name))
    _draw_strips(sheet, {name: links[name] for name in names}, top=strips_top, row=row, span_s=span_s)
    return sheet.render()


def _draw_band(sheet: Sheet, links: Mapping[str, Series], *, top: float, height: float, span_s: float) -> None:
    title = f"{len(links)} link pools: least, median, greatest"
    axes = _time_axes(sheet, links, top=top, height=height, span_s=span_s, title=title)
    rows = [_levels(series, _moments(links)) for series in links.values()]
    looks = list(zip(_moments(links), zip(*rows, strict=True), strict=True))
    least, greatest = ([(moment_s, float(pick(levels))) for moment_s, levels in looks] for pick in (min, max))
    outline: list[tuple[float, float]] = []
    for edge in (greatest, least):
        points = [(axes.x(edge[0][0]), axes.y(edge[0][1]))]
        for moment_s, level in edge[1:]:
            points += [(axes.x(moment_s), points[-1][1]), (axes.x(moment_s), axes.y(level))]
        outline += points if edge is greatest else reversed(points)
    sheet.polygon(outline, "band-fill")
    median = [(moment_s, float(statistics.median(levels))) for moment_s, levels in looks]
    ends = [
        (_draw_steps(sheet, axes, series, f"series {style}"), name, place)
        for series, style, name, place in (
            (greatest, "c0 thin", "greatest", 0),
            (median, "c0", "median", 0),
            (least, "c0 thin", "least", 0),
        )
    ]
    _draw_names(sheet, ends, x=axes.left + axes.width, lowest=top + height)


def _moments(links: Mapping[str, Series]) -> list[float]:
    """Return the moments of the looks, thinned where there are more than a picture can show."""
    moments = sorted({moment_s for series in links.values() for moment_s, _ in series})
    every = -(-len(moments) // MOST_COLUMNS)
    return sorted({*moments[::every], moments[-1]})


def _levels(series: Series, moments_s: Sequence[float]) -> list[int]:
    """Return what a pool held at given moments: as at its last look, nothing before its first."""
    seen = [moment_s for moment_s, _ in series]
    places = [bisect_right(seen, moment_s) for moment_s in moments_s]
    return [series[place - 1][1] if place else 0 for place in places]


def _draw_strips(sheet: Sheet, links: Mapping[str, Series], *, top: float, row: float, span_s: float) -> None:
    """One row per pool, darker with more key; the first key is marked and timed."""
    moments = _moments(links)
    most = max(1, *(num_bits for series in links.values() for _, num_bits in series))
    axes = Axes(LEFT, top, INNER_WIDTH, row * len(links), (0, span_s), (0, 1))
    sheet.text(LEFT - 62, top - 12, "each link pool, and when it first held key", "tiny strong")
    _draw_shades(sheet, x=LEFT + INNER_WIDTH - 12 * NUM_SHADES - 90, y=top - 22, most=most)
    for number, (name, series) in enumerate(links.items()):
        y = top + row * number
        sheet.rectangle(LEFT, y + 1, INNER_WIDTH, row - 2, "bar-lost")
        sheet.text(LEFT - 6, y + row - 3.5, name, "mini", anchor="end")
        shades = [-(-num_bits * NUM_SHADES // most) for num_bits in _levels(series, moments)]
        edges = [*moments, span_s]
        for shade, group in groupby(range(len(shades)), key=shades.__getitem__):
            columns = list(group)
            x, end = axes.x(edges[columns[0]]), axes.x(edges[columns[-1] + 1])
            if shade and end > x:
                sheet.rectangle(x, y + 1, end - x, row - 2, f"h{shade}")
        first_s = next((moment_s for moment_s, num_bits in series if num_bits), None)
        text = "no key" if first_s is None else f"key after {first_s:.1f} s"
        sheet.text(LEFT + INNER_WIDTH + 8, y + row - 3.5, text, "mini muted")
    bottom = top + row * len(links)
    for value in ticks(0, span_s, about=8):
        sheet.text(axes.x(value), bottom + 16, f"{value:g}", "tiny muted", anchor="middle")
    middle = LEFT + INNER_WIDTH / 2
    sheet.text(middle, bottom + 36, "seconds since the first look", "tiny muted", anchor="middle")


def _draw_shades(sheet: Sheet, *, x: float, y: float, most: int) -> None:
    sheet.text(x - 6, y + 10, "empty", "mini muted", anchor="end")
    sheet.rectangle(x, y, 12, 12, "bar-lost")
    for shade in range(1, NUM_SHADES + 1):
        sheet.rectangle(x + 12 * shade, y, 12, 12, f"h{shade}")
    sheet.text(x + 12 * (NUM_SHADES + 1) + 6, y + 10, wording.short_bits(most), "mini muted")
