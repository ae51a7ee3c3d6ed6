"""The demonstration's way by satellite: passes over two stations, a sum announced, a file from beyond the fibres."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

from qanat.apps.bootstrap import Service
from qanat.apps.demo import findings
from qanat.apps.proof import KeyProof
from qanat.apps.report import Check
from qanat.apps.report.result import AnnouncedKey, PassResult, SpaceResult
from qanat.apps.report.space import legs_of, title_legs
from qanat.apps.sky import MadePass
from qanat.apps.transfer import Delivery
from qanat.control.routing import key_graph, widest
from qanat.ground.clock import format_utc
from qanat.ground.errors import QuantumLayerError
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import LinkId
from qanat.ground.network import Application, Network
from qanat.protocols.decoy import SecurityParameters

Say = Callable[[str], None]
MOST_PASSES = 16
"""For each downlink, all together, until each has had clear ones that brought enough key."""
ENOUGH_BITS = 1_000_000
"""Secret key that each downlink is to bring, for files of a few megabytes and what idle time lays ready."""
MORE_BITS_PER_MIB = 1_500
"""And so much for each MiB to be sent: a key for it, tags, both directions."""
Deliver = Callable[[Application, Application], Awaitable[Delivery]]


def sender_beyond(network: Network, receiver: Application) -> Application | None:
    """Return an application whose keys with ``receiver`` go by satellite; None where the network has none."""
    return next((one for one in network.applications if go_by_satellite(network, one, receiver)), None)


def go_by_satellite(network: Network, one: Application, other: Application) -> bool:
    """Return whether keys of two applications go over what a satellite has announced."""
    here, there = (network.site_of(network.sae(app.name)).node for app in (one, other))
    route = None if here == there else widest(key_graph(network, {}), here, there)
    return route is not None and len(network.trusted_route(route)) > len(route)


async def make_passes(service: Service, say: Say, *, num_bytes: int = 0) -> list[MadePass]:
    """Make passes until each downlink has had clear ones that bring enough key for ``num_bytes`` to be sent, and return
    those that were clear. After MOST_PASSES of each downlink what there is must do; raises QuantumLayerError where one
    had none until then, or in the whole timetable."""
    wanted, made = {one.link_id for one in service.network.downlinks}, list[MadePass]()
    enough_bits = ENOUGH_BITS + MORE_BITS_PER_MIB * (num_bytes >> 20)
    say("satellite: the passes follow from its elements; the hours between them are left out")
    for _ in range(MOST_PASSES * len(wanted)):
        if all(_brought(link_id, made) >= enough_bits for link_id in wanted):
            return made
        one = await service.sky.next_pass()
        if one is None:
            break
        say(_told(one))
        if one.is_clear:
            made.append(one)
    if wanted == {one.plan.link_id for one in made}:
        return made
    raise QuantumLayerError(
        f"no pass of {', '.join(sorted(wanted - {one.plan.link_id for one in made}))} gives key",
        remedy="look at the timetable: qanat passes; a lower mask, another week, or better odds of a clear sky",
    )


def _brought(link_id: LinkId, made: Sequence[MadePass]) -> int:
    return sum(one.plan.expected_bits for one in made if one.gave_key and one.plan.link_id == link_id)


def _told(one: MadePass) -> str:
    plan = one.plan
    waiting = f"{one.waited_s / 3600:.1f} h of waiting left out; " if one.waited_s else ""
    if not one.is_clear:
        return (
            f"  {format_utc(plan.rise_utc_s)[:19]} {plan.satellite} over {plan.station}: {waiting}"
            f"lost to clouds (odds of a clear sky {100 * plan.p_clear:.0f} %)"
        )
    scaled = "" if plan.light_share == 1 else f", of which {100 * plan.light_share:g} % of the light is used"
    return (
        f"  {format_utc(plan.rise_utc_s)[:19]} {plan.satellite} over {plan.station}: {waiting}"
        f"{plan.max_elevation_deg:.0f} degrees high, {plan.min_range_km:,.0f} km near, "
        f"{plan.total_loss_db[0]:.1f} to {plan.total_loss_db[1]:.1f} dB, {plan.sifted_bits / 1e6:.1f} Mbit sifted and "
        f"{plan.expected_bits / 1e6:.1f} Mbit secret expected{scaled}; {one.took_s:.0f} s here"
    )


def found_in_space(
    network: Network, made: Sequence[MadePass], delivery: Delivery, events: Sequence[Event], proof: KeyProof
) -> SpaceResult:
    """Return what went by satellite, from the run's events."""
    transfer = findings.transfer(delivery, events)
    legs = legs_of(network, transfer.key_route)
    return SpaceResult(
        passes=tuple(result for one in made if (result := _pass_result(one, events, proof)) is not None),
        announced=tuple(_announced(events)),
        transfer=transfer,
        delivered_event=delivery.delivered_event,
        legs=legs,
        title=title_legs(network, legs),
    )


def space_checks(network: Network, space: SpaceResult, events: Sequence[Event]) -> list[Check]:
    """Return what the way by satellite set out to prove."""
    aloft = {site.name for site in network.satellites}
    numbers = findings.numbers_of(events, space.delivered_event)
    return [
        Check(f"{space.transfer.name}: the file that went by satellite equals the sent one", space.transfer.identical),
        *(
            Check(f"{one.link_id}: the key of the pass is the same at both ends", one.keys_identical)
            for one in space.passes
        ),
        Check(
            "each announcement of the satellite was opened and stored once at each of its two stations",
            bool(space.announced) and all(one.is_whole for one in space.announced),
        ),
        Check(
            "bits of its links spent = 2 x key bits + authentication bits, for every announcement",
            all(one.is_balanced for one in space.announced),
        ),
        Check(
            "the record of the file's keys names the satellite among the trusted nodes",
            not aloft.isdisjoint(space.transfer.key_route),
        ),
        Check(
            f"the request by satellite went through steps {', '.join(map(str, numbers))}, each the cause of the next",
            numbers in (findings.WITH_SHORTAGE, findings.WITH_ENOUGH),  # enough where others went this way before
        ),
    ]


def _pass_result(one: MadePass, events: Sequence[Event], proof: KeyProof) -> PassResult | None:
    """Return the row of a pass that made its block."""
    plan = one.plan
    told = [
        event.data
        for event in events
        if event.kind is EventKind.LINK_QUALITY
        and event.data.get("order_id") == plan.pass_id
        and event.data["progress"] == 1
    ]
    if not told:
        return None
    data = told[-1]
    details: dict[str, float] = dict(data["details"])  # type: ignore[arg-type]
    return PassResult(
        link_id=plan.link_id,
        satellite=plan.satellite,
        station=plan.station,
        rise_utc_s=plan.rise_utc_s,
        set_utc_s=plan.set_utc_s,
        max_elevation_deg=plan.max_elevation_deg,
        min_range_km=plan.min_range_km,
        loss_db=plan.total_loss_db,
        light_s=plan.step_s * len(plan.losses_db),
        light_share=plan.light_share,
        sifted_bits=int(findings.as_number(data["sifted_bits"])),
        qber=findings.as_number(data["qber"]),
        f_ec=findings.as_number(data["f_ec"]),
        secret_bits=int(details["secret_bits"]),
        expected_sifted_bits=plan.sifted_bits,
        expected_qber=plan.qber,
        expected_secret_bits=plan.expected_bits,
        eps_total=SecurityParameters().total,
        keys_identical=proof.blocks_are_identical(plan.link_id),
        waited_s=one.waited_s,
        took_s=one.took_s,
        air=plan.origins.get("atmosphere", ""),
    )


def _announced(events: Sequence[Event]) -> list[AnnouncedKey]:
    opened, stored = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for event in events:
        if event.kind in (EventKind.ANNOUNCEMENT_OPENED, EventKind.BLOCK_STORED):
            places = opened if event.kind is EventKind.ANNOUNCEMENT_OPENED else stored
            places[str(event.data["block_id"])].append(event.node)
    return [
        AnnouncedKey(
            block_id=(block_id := str(event.data["block_id"])),
            route=tuple(map(str, event.data["route"])),  # type: ignore[arg-type]
            num_bits=int(findings.as_number(event.data["num_bits"])),
            authentication_bits=int(findings.as_number(event.data["authentication_bits"])),
            qkd_bits=int(findings.as_number(event.data["qkd_bits"])),
            opened_at=tuple(opened[block_id]),
            stored_at=tuple(stored[block_id]),
        )
        for event in events
        if event.kind is EventKind.KEY_ANNOUNCED
    ]
