"""The line as a picture: secret rate, QBER and loss of every hop, in the order in which a key passes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qanat.apps.pictures.svg import Sheet
from qanat.apps.report import wording
from qanat.apps.report.charts import Axes, draw_mark, ticks
from qanat.apps.report.line import Hop, bounding_link
from qanat.apps.report.result import LinkResult

WIDTH = 980.0
LEFT = 62.0
INNER_WIDTH = 790.0
RATE_TOP, RATE_HEIGHT = 52.0, 270.0
QBER_TOP, QBER_HEIGHT = 366.0, 80.0
LOSS_TOP, LOSS_HEIGHT = 490.0, 90.0
NAMES_Y = LOSS_TOP + LOSS_HEIGHT + 14
PAPER_RATES = (
    (235.4e3, "235.4, greatest"),
    (50.0e3, "50.0, two thirds"),
    (28.0e3, "28, all"),
)
"""The paper's lines in the panel of rates (bit/s), Fig. 4b and Table 1."""

PAPER_LOSSES = ((20.5, "greatest"), (16.0, "mean"), (10.3, "least"))
"""Its lines in the panel of losses (dB), Table 1."""


def draw_line(hops: Sequence[Hop]) -> str:
    """Return three panels over one axis of places; a hop takes the same width whatever its length."""
    longest_name = max(len(name) for hop in hops for name in (hop.start, hop.stop))
    label = f"secret rate, QBER and loss of the {len(hops)} hops from {hops[0].start} to {hops[-1].stop}"
    sheet = Sheet(WIDTH, NAMES_Y + 5.3 * longest_name + 34, label=label)
    step = INNER_WIDTH / len(hops)
    _draw_rates(sheet, hops, step)
    _draw_qber(sheet, hops, step)
    _draw_loss(sheet, hops, step)
    _draw_places(sheet, hops, step)
    _draw_legend(sheet, hops)
    return sheet.render()


def _panel(sheet: Sheet, *, top: float, height: float, most: float, title: str, about: int = 4) -> Axes:
    """Draw a frame from zero to ``most`` with its grid and return it."""
    axes = Axes(LEFT, top, INNER_WIDTH, height, (0, 1), (0, most))
    axes.draw(sheet, x_ticks=(), y_ticks=[(value, f"{value:g}") for value in ticks(0, most, about=about)])
    sheet.text(6, top - 12, title, "tiny strong")
    return axes


def _draw_rates(sheet: Sheet, hops: Sequence[Hop], step: float) -> None:
    """Draw the bars of secret rate. The scale is the backbone's; a user link beyond it is cut and says its value."""
    has_backbone = any(hop.is_backbone for hop in hops)
    counted = [hop for hop in hops if hop.is_backbone] or list(hops)
    rates = [hop.result.secret_rate_bits_per_s / 1e3 for hop in counted if hop.result is not None]
    most = 1.14 * max([*rates, PAPER_RATES[0][0] / 1e3 if has_backbone else 0.0, 1.0])
    axes = _panel(sheet, top=RATE_TOP, height=RATE_HEIGHT, most=most, title="secret rate, kbit/s", about=6)
    bounding = bounding_link(hops)
    drawn = [(LEFT + step * number, hop, hop.result) for number, hop in enumerate(hops) if hop.result is not None]
    for x, hop, result in drawn:
        is_least = bounding is not None and result.link_id == bounding.link_id
        style = "bar-bound" if is_least else "bar" if hop.is_backbone or not has_backbone else "bar-user"
        _draw_rate(sheet, axes, x, step, result, style)
    if has_backbone:
        _draw_paper_lines(sheet, axes, [(rate / 1e3, text) for rate, text in PAPER_RATES])
        sheet.text(LEFT + INNER_WIDTH + 8, RATE_TOP - 4, "the paper:", "tiny muted")
    for number, hop in enumerate(hops):
        if hop.result is None:
            x = LEFT + step * (number + 0.5) + 4
            sheet.text(x, axes.y(0) - 5, _instead_of_a_rate(hop), "tiny muted halo-paper", turned_deg=-90)
    for x, _, result in drawn:
        is_least = bounding is not None and result.link_id == bounding.link_id
        _draw_value(sheet, axes, x + step / 2, result, step, strong=is_least)


def _instead_of_a_rate(hop: Hop) -> str:
    if hop.in_pass is not None:
        return f"{wording.short_bits(hop.in_pass.secret_bits)} in a pass"
    return "no pass" if hop.is_downlink else "no key"


def _draw_rate(sheet: Sheet, axes: Axes, x: float, step: float, result: LinkResult, style: str) -> None:
    """Draw a bar and the formula's mark; a bar beyond the frame is cut by a slanted gap."""
    rate, (_, most) = result.secret_rate_bits_per_s / 1e3, axes.y_range
    top, wide = axes.y(min(rate, most)), 0.8 * step
    sheet.rectangle(x + 0.1 * step, top, wide, axes.y(0) - top, style, round_by=1.5)
    if rate > most:
        y = top + 24
        sheet.polygon([(x, y), (x + step, y - 8), (x + step, y - 3), (x, y + 5)], "gap")
    if result.predicted is not None and result.predicted.secret_rate_bits_per_s / 1e3 <= most:
        y = axes.y(result.predicted.secret_rate_bits_per_s / 1e3)
        sheet.line(x + 0.1 * step, y, x + 0.9 * step, y, "stroke mark-model")


def _draw_value(sheet: Sheet, axes: Axes, x: float, result: LinkResult, step: float, *, strong: bool) -> None:
    """Write a bar's value above it (inside when it is cut), upright where the bar is wide enough, else turned."""
    text, style = wording.kilobits_per_s(result.secret_rate_bits_per_s), "tiny strong" if strong else "tiny"
    highest = max(result.secret_rate_bits_per_s, result.predicted.secret_rate_bits_per_s if result.predicted else 0.0)
    is_cut = highest / 1e3 > axes.y_range[1]
    y = axes.top + 74 if is_cut else axes.y(highest / 1e3) - 5
    if step >= 40:
        sheet.text(x, y, text, f"{style} halo-paper", anchor="middle")
    else:
        sheet.text(x + 4, y, text, style if is_cut else f"{style} halo-paper", turned_deg=-90)


def _draw_paper_lines(sheet: Sheet, axes: Axes, lines: Sequence[tuple[float, str]]) -> None:
    for value, text in lines:
        y = axes.y(value)
        sheet.line(LEFT, y, LEFT + INNER_WIDTH, y, "stroke paper-line")
        sheet.text(LEFT + INNER_WIDTH + 8, y + 4, text, "tiny")


def _draw_qber(sheet: Sheet, hops: Sequence[Hop], step: float) -> None:
    told = [_qbers(hop) for hop in hops]
    most = 1.25 * max([100 * qber for both in told for qber in both if qber is not None] + [0.1])
    axes = _panel(sheet, top=QBER_TOP, height=QBER_HEIGHT, most=most, title="QBER of the signal, %", about=3)
    for number, (qber, expected) in enumerate(told):
        if qber is None:
            continue
        x = LEFT + step * (number + 0.5)
        if expected is not None:
            y, half = axes.y(100 * expected), min(9.0, 0.4 * step)
            sheet.line(x - half, y, x + half, y, "stroke mark-model")
        sheet.circle(x, axes.y(100 * qber), 3.6, "mark-drawn")


def _qbers(hop: Hop) -> tuple[float | None, float | None]:
    """Return the QBER of a hop's key, drawn and by formula, of a satellite's that of its pass."""
    if hop.in_pass is not None:
        return hop.in_pass.qber, hop.in_pass.expected_qber
    if hop.result is None:
        return None, None
    return hop.result.qber, None if hop.result.predicted is None else hop.result.predicted.qber


def _draw_loss(sheet: Sheet, hops: Sequence[Hop], step: float) -> None:
    ranges = [_losses_db(hop) for hop in hops]
    most = 1.15 * max(*(greatest for _, greatest in ranges), 1.0)
    of_what = "loss, dB" if any(hop.is_downlink for hop in hops) else "loss of the fibre, dB"
    axes = _panel(sheet, top=LOSS_TOP, height=LOSS_HEIGHT, most=most, title=of_what, about=3)
    for number, (least, greatest) in enumerate(ranges):
        top, high = axes.y(greatest), axes.y(least) - axes.y(greatest)
        sheet.rectangle(LEFT + step * (number + 0.25), top, 0.5 * step, high, "bar-loss", round_by=1.5)
    if any(hop.is_backbone for hop in hops):
        _draw_paper_lines(sheet, axes, [(value, f"{value:.1f}, {text}") for value, text in PAPER_LOSSES])


def _losses_db(hop: Hop) -> tuple[float, float]:
    """Return where a hop's bar begins and ends: of a pass at the least and the greatest loss."""
    if hop.is_downlink:
        return (0.0, 0.0) if hop.in_pass is None else hop.in_pass.loss_db
    return 0.0, hop.link.loss_db


def _draw_places(sheet: Sheet, hops: Sequence[Hop], step: float) -> None:
    """Name the places between the hops, turned where they stand close, and count the kilometres below."""
    bottom = LOSS_TOP + LOSS_HEIGHT
    names = [hop.start for hop in hops] + [hops[-1].stop]
    is_close = step < 90
    come_km, every = 0.0, max(1, round(75 / step))
    for number, name in enumerate(names):
        x = LEFT + step * number
        sheet.line(x, bottom, x, bottom + 5, "stroke axis")
        if is_close:
            sheet.text(x + 3, NAMES_Y + 2, name, "tiny", anchor="end", turned_deg=-50)
        else:
            sheet.text(x, NAMES_Y + 6, name, "tiny", anchor="middle")
        if number % every == 0 or number == len(hops):
            is_crowded = number == len(hops) and 0 < number % every < 0.75 * every
            if not is_crowded:
                sheet.text(x, sheet.height - 4, f"{come_km:,.0f}", "tiny muted", anchor="middle")
        if number < len(hops):
            come_km += 0.0 if hops[number].is_downlink else hops[number].link.length_km
    sheet.text(LEFT + INNER_WIDTH + 24, sheet.height - 4, "km of fibre", "tiny muted")


def _draw_legend(sheet: Sheet, hops: Sequence[Hop]) -> None:
    has_backbone = any(hop.is_backbone for hop in hops)
    has_user_links = has_backbone and not all(hop.is_backbone for hop in hops)
    marks: list[tuple[Callable[[float], None], str]] = [
        (_patch(sheet, "bar"), "backbone span" if has_backbone else "link"),
        (_patch(sheet, "bar-bound"), "bounds the route"),
    ]
    if has_user_links:
        marks.insert(1, (_patch(sheet, "bar-user"), "user link"))
    marks.append((lambda x: sheet.line(x, 10, x + 16, 10, "stroke mark-model"), "formula, same block"))
    marks.append((lambda x: draw_mark(sheet, "drawn", x + 8, 10), "QBER, drawn"))
    x = LEFT + 140.0
    for draw, text in marks:
        draw(x)
        sheet.text(x + 22, 14, text, "tiny")
        x += 36 + 6.3 * len(text)


def _patch(sheet: Sheet, style: str) -> Callable[[float], None]:
    return lambda x: sheet.rectangle(x, 4, 16, 12, style, round_by=1.5)
