"""Links sorted into a few classes by what they carry, so that colour and width say it on a map."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from qanat.apps.pictures.styles import NUM_CLASSES
from qanat.ground.identifiers import LinkId
from qanat.ground.network import Network
from qanat.ground.units import format_rate

MOST_BORDERS = NUM_CLASSES - 1


@dataclass(frozen=True, slots=True)
class LinkClasses:
    """Borders between classes, and how a link's value is told from them.

    ``title`` names the quantity with its unit; ``borders`` rise; ``least_is_best`` where a small value carries more.
    """

    title: str
    values: Mapping[LinkId, float]
    borders: tuple[float, ...]
    least_is_best: bool
    some_unknown: bool

    def style(self, link_id: LinkId) -> str:
        """Return the style words of a link; without a value, or with no key at all, it belongs to no class."""
        if link_id not in self.values:
            return "link unknown"
        if self.values[link_id] <= 0 and not self.least_is_best:
            return "link dry"
        return self._style(bisect_right(self.borders, self.values[link_id]))

    def legend(self) -> list[tuple[str, str]]:
        """Return (style, words) of every class, the one that carries most first; the words are bare numbers."""
        rest = [] if self.least_is_best or min(self.values.values()) > 0 else [("link dry", "no key")]
        rest += [("link unknown", "not known")] if self.some_unknown else []
        inside = [value for value in self.values.values() if value > 0 or self.least_is_best]
        if not inside:
            return rest
        if not self.borders:
            low, high = min(inside), max(inside)
            return [(self._style(0), f"{low:.4g}" if low == high else f"{low:.3g} to {high:.3g}"), *rest]
        between = [f"{low:g} to {high:g}" for low, high in pairwise(self.borders)]
        words = [f"below {self.borders[0]:g}", *between, f"{self.borders[-1]:g} or more"]
        rows = [(self._style(place), text) for place, text in enumerate(words)]
        return [*(rows if self.least_is_best else rows[::-1]), *rest]

    def _style(self, place: int) -> str:
        """Spread the classes that there are over the styles that there are; ``place`` counts from the least value."""
        last = len(self.borders)
        rank = (last - place if self.least_is_best else place) / last if last else 0.5
        return f"link class-{round(rank * (NUM_CLASSES - 1))}"


def classes_of(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> LinkClasses:
    """Sort links by their secret key rate where any is known, else by their loss."""
    if rates_bits_per_s:
        unit, factor = _unit(max(rates_bits_per_s.values()))
        values = {link_id: rate / factor for link_id, rate in rates_bits_per_s.items()}
        borders = _borders([value for value in values.values() if value > 0])
        return LinkClasses(
            f"secret key rate, {unit}",
            values,
            borders,
            least_is_best=False,
            some_unknown=len(values) < len(network.links),
        )
    losses = {link.link_id: link.loss_db for link in network.links if link.makes_key_on_order}
    borders = _even_borders(list(losses.values())) if losses else ()
    return LinkClasses("loss, dB", losses, borders, least_is_best=True, some_unknown=False)


def _unit(greatest: float) -> tuple[str, float]:
    unit = format_rate(greatest).split(" ", 1)[1]
    return unit, {"bit/s": 1.0, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9}[unit]


def _borders(values: Sequence[float]) -> tuple[float, ...]:
    """Return a few of 1, 2, 5 times powers of ten between positive values, every second one where they are many."""
    if not values:
        return ()
    low, high = min(values), max(values)
    series = [
        float(f"{step * 10.0**power:.6g}")
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for step in (1, 2, 5)
    ]
    inside = [value for value in series if low < value < high]
    return tuple(inside[:: max(1, math.ceil(len(inside) / MOST_BORDERS))])


def _even_borders(values: Sequence[float]) -> tuple[float, ...]:
    """Return a few round numbers at even distances between values."""
    low, high = min(values), max(values)
    if low == high:
        return ()
    rough = (high - low) / MOST_BORDERS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(part * power for part in (1, 2, 2.5, 5, 10) if part * power >= rough)
    first = math.floor(low / step) + 1
    return tuple(float(f"{number * step:.6g}") for number in range(first, math.ceil(high / step)))
