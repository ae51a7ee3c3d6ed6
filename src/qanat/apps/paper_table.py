"""Table 1 of the paper (Nature 589, 214, 2021) row by row beside what a description counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from qanat.apps.satellite_review import DownlinkReview
from qanat.ground.identifiers import LinkId
from qanat.ground.network import Link, Network

NETWORK = "nature2021"
"""The network that the table is of; a file of another name is not compared with it."""
SOURCE = "Nature 589, 214 (2021), Table 1"
TOLD = {
    "relays, nodes, users, links": "input: the file was made to have them",
    "length, loss": "of the satellite predicted (model), in the passes of a week; of fibres "
    "fitted: the figures of single links are made by a rule that meets the table's, so they agree by "
    "construction",
    "rate": "predicted (model): the analytic rate functions, one pair of devices per link at its own amplification "
    "block, and a switch that stays; of the satellite a pass's secret bits over its time above the mask",
}
"""What each group of columns of ours is."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A row: counts, mean length in km (of what moves: least and greatest), loss in dB and rate in kbit/s (least, mean,
    greatest); None: not printed."""

    relays: int
    nodes: int
    users: int
    links: int
    length_km: float | tuple[float, float] | None
    loss_db: tuple[float | None, float | None, float | None]
    rate_kbit_per_s: tuple[float | None, float | None, float | None]


@dataclass(frozen=True, slots=True)
class Row:
    """A network's figures as printed, and ours; ``ours`` is None for what the description leaves out. is_predicted:
    whether length and loss are predicted too, so that they need not be the paper's."""

    network: str
    paper: Figures
    ours: Figures | None
    is_predicted: bool = False

    @property
    def differing(self) -> tuple[str, ...]:
        """Columns in which ours, rounded as the paper rounds, is not the paper's; nothing predicted is part of it."""
        if self.ours is None:
            return ()
        counts = ("relays", "nodes", "users", "links")
        looked = counts if self.is_predicted else (*counts, "length_km", "loss_db")
        return tuple(name for name in looked if not _same(getattr(self.ours, name), getattr(self.paper, name)))


PAPER: Mapping[str, Figures] = {
    "backbone": Figures(32, 0, 0, 135, 63.8, (10.3, 16.0, 20.5), (28.1, 79.3, 235.4)),
    "beijing": Figures(9, 19, 19, 39, 29.8, (2.5, 9.3, 13.5), (2.7, 12.9, 32.5)),
    "jinan": Figures(3, 50, 95, 437, 7.6, (3.0, 5.8, 12.5), (12, 26.3, 47.6)),
    "hefei": Figures(3, 11, 14, 8, 25, (2.1, 5.8, 10.3), (2.9, 19.7, 49.4)),
    "shanghai": Figures(5, 26, 26, 82, 27.5, (5.7, 9.8, 13.2), (2.8, 11.2, 19.4)),
    "xinglong": Figures(4, 1, 1, 5, 51.7, (10.7, 14.7, 20.5), (2.9, 16.6, 40.5)),
    "satellite": Figures(1, 2, 2, 2, (500, 2043), (20.0, None, 40.0), (1.1, None, 47.8)),
}
"""The table as it is printed."""
SATELLITE = "satellite"
"""The row of what is no part of a ground network."""


def compared_rows(
    network: Network, rates_bits_per_s: Mapping[LinkId, float], downlinks: Sequence[DownlinkReview] = ()
) -> tuple[Row, ...]:
    """Return the rows of the table beside the network's own; none for a network that the table is not of.

    ``downlinks``: what a week of passes gives, for the satellite's row.
    """
    if network.name != NETWORK:
        return ()
    return tuple(
        Row(name, paper, _of_satellites(network, downlinks), is_predicted=True)
        if name == SATELLITE
        else Row(name, paper, _counted(network, name, rates_bits_per_s))
        for name, paper in PAPER.items()
    )


def _counted(network: Network, heading: str, rates_bits_per_s: Mapping[LinkId, float]) -> Figures:
    """Return what is counted as ``heading``. A ground station is a node of the table, though it relays too."""
    sites = [site for site in network.sites if site.counted_as == heading and site.kind != SATELLITE]
    links = [link for link in network.links if link.counted_as == heading]
    nodes = {site.name for site in sites if site.kind == "user" or site.ground_station}
    return Figures(
        relays=len(sites) - len(nodes),
        nodes=len(nodes),
        users=sum(app.site in nodes for app in network.applications),
        links=sum(link.pairs for link in links),
        length_km=fmean(link.length_km for link in links) if links else None,
        loss_db=_spread(link.loss_db for link in links),
        rate_kbit_per_s=_spread(rates_bits_per_s.get(link.link_id, 0.0) / 1e3 for link in links),
    )


def _of_satellites(network: Network, reviewed: Sequence[DownlinkReview]) -> Figures | None:
    """Return the satellite's row: satellites as relays, their stations as nodes; None for a network without.

    Lengths and losses change all the time: least and greatest are those of the week's dark passes, rates those of the
    passes that give key. Nothing where nobody looked at the passes.
    """
    downlinks = [one for one in network.downlinks if one.counted_as == SATELLITE]
    if not downlinks:
        return None
    stations = {one.station for one in downlinks}
    return Figures(
        relays=sum(site.counted_as == SATELLITE for site in network.satellites),
        nodes=len(stations),
        users=sum(app.site in stations for app in network.applications),
        links=len(downlinks),
        length_km=_least_and_greatest(
            (one.nearest_km, one.farthest_km)
            for one in reviewed
            if one.nearest_km is not None and one.farthest_km is not None
        ),
        loss_db=_without_mean(one.loss_db for one in reviewed if one.loss_db),
        rate_kbit_per_s=_without_mean(
            (one.pass_rates_bits_per_s[0] / 1e3, one.pass_rates_bits_per_s[1] / 1e3)
            for one in reviewed
            if one.pass_rates_bits_per_s
        ),
    )


def _least_and_greatest(values: Iterable[tuple[float, float]]) -> tuple[float, float] | None:
    listed = list(values)
    return (min(low for low, _ in listed), max(high for _, high in listed)) if listed else None


def _without_mean(values: Iterable[tuple[float, float]]) -> tuple[float | None, float | None, float | None]:
    ends = _least_and_greatest(values)
    return (None, None, None) if ends is None else (ends[0], None, ends[1])


def _spread(values: Iterable[float]) -> tuple[float | None, float | None, float | None]:
    listed = list(values)
    return (min(listed), fmean(listed), max(listed)) if listed else (None, None, None)


def _same(ours: object, paper: object) -> bool:
    if isinstance(paper, tuple) and isinstance(ours, tuple):
        return all(_same(one, other) for one, other in zip(ours, paper, strict=True))
    if isinstance(paper, int | float) and isinstance(ours, int | float):
        return abs(ours - paper) <= 0.05 + 1e-9  # the paper prints one decimal
    return ours is paper or paper is None


def puzzles(network: Network) -> Iterator[str]:
    """Yield what the table's counts leave open, with the network's own numbers in each."""
    if network.name != NETWORK:
        return
    backbone = _links(network, "backbone")
    pairs = [link.pairs for link in backbone]
    yield (
        f"backbone: the text has 31 links, the table 135; here {len(backbone)} fibres with {sum(pairs)} pairs of "
        f"devices on them, {min(pairs, default=0)} to {max(pairs, default=0)} on each"
    )
    ring, more = (_num_sites(network, heading) for heading in ("beijing", "beijing-ring-more"))
    yield (
        f"Beijing: the text has 12 ring nodes, the table 9 relays; here {ring} of {ring + more} are counted, not the "
        f"control centre and the relays that keep a switch ({more})"
    )
    for title, why in (
        ("Jinan", "3 x C(16,2) + 53 is only 413, so switches are joined by trunks"),
        ("Shanghai", ""),
        ("Beijing", ""),
    ):
        links = _links(network, title.lower())
        through = sum(bool(link.through) for link in links)
        yield (
            f"{title}: {len(links)} links are {len(links) - through} fibres and {through} pairs of sites that switches "
            f"can join{f' ({why})' if why else ''}"
        )
    hefei, beyond = _links(network, "hefei"), _links(network, "hefei-more")
    yield (
        f"Hefei: {len(hefei)} links cannot join {_num_sites(network, 'hefei')} sites; {len(beyond)} more are described "
        f"and not counted"
    )


def _links(network: Network, heading: str) -> Sequence[Link]:
    return [link for link in network.links if link.counted_as == heading]


def _num_sites(network: Network, heading: str) -> int:
    """All sites under a heading, users' and relays'."""
    if heading.startswith("beijing"):
        return sum(site.counted_as == heading and site.kind == "relay" for site in network.sites)
    return sum(site.counted_as == heading for site in network.sites)
