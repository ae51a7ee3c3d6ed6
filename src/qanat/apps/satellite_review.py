"""What a planner wants to know of a network's satellites: the dark passes of a week, and the key to expect of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from qanat.apps.network_concerns import Concern
from qanat.apps.sky import elements_of
from qanat.ground.clock import format_utc
from qanat.ground.errors import ConfigurationError, RequestError
from qanat.ground.identifiers import LinkId
from qanat.ground.network import Network
from qanat.orbits.passes import Span, find_passes
from qanat.orbits.propagation import STALE_DAYS, age_days
from qanat.orbits.timetable import PlannedPass, coming_passes, first_moment, made_of, orbits_of, station_of
from qanat.planning.pass_rates import mean_rates
from qanat.quantum_layer.pass_weather import odds_of_clear

DAYS = 7.0


@dataclass(frozen=True, slots=True)
class DownlinkReview:
    """A downlink in the week that begins with its satellite's elements. All predicted by the model, under a clear sky;
    passes: those that are dark; passes_excluded: of them those that are not made: satellite or station has another
    then; all else is of those that are made. p_clear: mean odds of a clear sky in those with key, 1 where the file
    declares none;
    mean_bits: secret bits in the mean over the weather. farthest_km; loss_db: least and greatest, with the receiver's;
    pass_rates_bits_per_s: least and greatest of a pass that gives key, its secret bits over its time above the mask;
    None where there is none."""

    link_id: LinkId
    satellite: str
    station: str
    from_utc: str
    passes: int
    passes_with_key: int
    highest_deg: float | None
    nearest_km: float | None
    sifted_bits: float
    secret_bits: int
    p_clear: float
    mean_bits: int
    farthest_km: float | None = None
    loss_db: tuple[float, float] | None = None
    pass_rates_bits_per_s: tuple[float, float] | None = None
    passes_excluded: int = 0


@dataclass(frozen=True, slots=True)
class SkyReview:
    """All downlinks, and what had better be otherwise."""

    downlinks: tuple[DownlinkReview, ...] = ()
    warnings: tuple[Concern, ...] = ()
    rates_bits_per_s: Mapping[LinkId, float] = field(default_factory=dict)
    """Of each link of a satellite, in the mean over the week and the weather."""


def review_sky(network: Network, *, now_utc_s: float) -> SkyReview:
    """Return what the satellites of a network are good for; nothing for a network without.

    Raises ConfigurationError for elements that are wrong, a satellite that has decayed, a station without optics or off
    the globe.
    """
    if not network.downlinks:
        return SkyReview()
    texts = elements_of(network)
    orbits = orbits_of(network.satellites, texts)
    start_utc_s = first_moment(orbits)
    try:
        coming = coming_passes(network, orbits, start_utc_s=start_utc_s, days=DAYS)
    except RequestError as fault:
        raise ConfigurationError(f"network {network.name!r}: {fault.message}", remedy=fault.remedy) from None
    passes, from_utc = made_of(coming), format_utc(start_utc_s)[:19]
    dark = Counter(one.link_id for one in coming)
    odds = odds_of_clear(network, [(one.station, one.told.rise_utc_s) for one in passes])
    found = list(zip(passes, odds, strict=True))
    rows = tuple(_row(network, one.link_id, found, from_utc, dark[one.link_id]) for one in network.downlinks)
    stale = [
        _stale(name, age)
        for name, orbit in orbits.items()
        if (age := age_days(orbit, start_utc_s=now_utc_s, end_utc_s=now_utc_s)) > STALE_DAYS
    ]
    rates = mean_rates(network, passes, start_utc_s=start_utc_s)
    return SkyReview(rows, (*stale, *_without_passes(network, rows), *_beside_links(network)), rates)


def never_seen(network: Network, link_id: LinkId) -> bool:
    """Return whether a satellite never stands over a station's mask in a week, by day or by night."""
    one = network.downlink(link_id)
    satellite = next(site for site in network.satellites if site.name == one.satellite)
    orbits = orbits_of([satellite], elements_of(network))
    start_utc_s = first_moment(orbits)
    place = next(site for site in network.sites if site.name == one.station)
    span = Span(start_utc_s, start_utc_s + DAYS * 86_400)
    return not len(
        find_passes([*orbits.values()], [station_of(place, one)], span, min_elevation_deg=one.least_elevation_deg)
    )


def _row(
    network: Network, link_id: LinkId, passes: Sequence[tuple[PlannedPass, float]], from_utc: str, num_dark: int
) -> DownlinkReview:
    own = [one for one, _ in passes if one.link_id == link_id]
    with_key = [(one.expected_bits, p_clear) for one, p_clear in passes if one.link_id == link_id and one.expected_bits]
    described = network.downlink(link_id)
    return DownlinkReview(
        link_id=link_id,
        satellite=described.satellite,
        station=described.station,
        from_utc=from_utc,
        passes=num_dark,
        passes_excluded=num_dark - len(own),
        passes_with_key=len(with_key),
        highest_deg=max((one.told.max_elevation_deg for one in own), default=None),
        nearest_km=min((one.told.min_range_km for one in own), default=None),
        sifted_bits=sum(one.light.sifted_bits for one in own),
        secret_bits=sum(bits for bits, _ in with_key),
        p_clear=sum(p_clear for _, p_clear in with_key) / max(1, len(with_key)),
        mean_bits=math.floor(sum(bits * p_clear for bits, p_clear in with_key)),
        farthest_km=max((float(one.budget.track.range_km.max()) for one in own), default=None),
        loss_db=_ends([float(loss) for one in own for loss in (one.budget.total_db.min(), one.budget.total_db.max())]),
        pass_rates_bits_per_s=_ends(
            [one.expected_bits / (one.told.set_utc_s - one.told.rise_utc_s) for one in own if one.expected_bits]
        ),
    )


def _ends(values: Sequence[float]) -> tuple[float, float] | None:
    return (min(values), max(values)) if values else None


def _stale(name: str, age: float) -> Concern:
    return Concern(
        "stale-elements",
        f"satellite {name!r}: its elements are {age:,.0f} days old; passes are those of the week after their epoch",
        "put newer elements into the file before passes of today are planned by it",
    )


def _without_passes(network: Network, rows: Sequence[DownlinkReview]) -> Iterator[Concern]:
    for row in rows:
        if row.passes_with_key:
            continue
        why = (
            "it never stands above the mask" if never_seen(network, row.link_id) else "no pass is dark and high enough"
        )
        yield Concern(
            "no-pass",
            f"downlink {row.link_id!r} gives no key in a week: {why}",
            "a lower mask, another station, or another orbit; `qanat passes` lists what there is",
        )


def _beside_links(network: Network) -> Iterator[Concern]:
    """Yield each satellite that announces key to two stations which a fibre joins already."""
    relayed = {frozenset(link.ends): link for link in network.relayed_links}
    for link in network.links:
        first = relayed.get(frozenset(link.ends))
        if link.kind == "announced" and first is not None and first is not link:
            one, other = link.ends
            yield Concern(
                "announced-beside-a-link",
                f"satellite {link.satellite!r} gives no key between {one!r} and {other!r}: of several links between the"
                f" same two sites keys go over the first alone, {first.name!r}",
                "leave the fibre out, or give the satellite other stations",
            )
