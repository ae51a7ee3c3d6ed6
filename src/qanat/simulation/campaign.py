"""Runs of a simulated network under faults, with applications that ask for keys and fetch them; one seed, one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import methodcaller
from typing import Any

from qanat.ground.errors import KeyManagementError, KeyNotFound, QanatError, RequirementUnmet
from qanat.ground.events import EventKind
from qanat.ground.identifiers import EventId, NodeId, SaeId
from qanat.ground.keys import SecretKey
from qanat.ground.network import Application, Link, Network, PreparedKeys, Site
from qanat.ground.randomness import SeededChance
from qanat.ground.requirements import Requirements
from qanat.ground.route_policy import RoutePolicy
from qanat.ground.tracing import Trace
from qanat.key_management.manager import GivenKeys, KeyManager
from qanat.simulation.crash_sites import CrashSites
from qanat.simulation.dice import Dice
from qanat.simulation.faults import ALL_FAULTS, NO_FAULTS, Faults
from qanat.simulation.memory_store import MemoryKeyStore
from qanat.simulation.world import CallLost, World

FAULTY_S = 30.0
"""How long the faults last."""
CALM_S = 120.0
"""After this time without faults every application must have got a key to its peer."""
REST_S = 12.0
"""How long the world runs on without requests: longer than a relay's last try and the voiding after it."""
P_NOSY = 0.3
"""How often a third application asks for the keys that two others were given."""
P_GROUP = 0.2
"""How often keys are asked for two slaves at once."""
P_NONCE = 0.4
"""How often a call has a nonce, so that it may be repeated when its answer is lost."""
P_WARY = 0.25
"""How often keys are asked for that have not passed some site."""
KEY_SIZES_BITS = (64, 128, 256, 512)
NUMS_OF_ROUTES = (1, 1, 2, 3)
"""Of how many shares a key is required to be."""
BLOCK_SIZES_BITS = (6_000, 12_000, 24_000)
"""Small blocks, so that pools run dry and links are at work most of the time."""


@dataclass(slots=True)
class Report:
    """What came of a run. ``violations`` is empty when everything held; ``digest`` tells whether two runs are one."""

    seed: int
    violations: list[str]
    keys_given: int = 0
    keys_due: int = 0
    """What slaves were to fetch: a key that a master was given counts once for each of them."""
    keys_fetched: int = 0
    keys_by_way: int = 0
    """How many masters were given that had to avoid a site."""
    keys_by_shares: int = 0
    """How many masters were given that had to go over several routes."""
    relay_bits_paid: int = 0
    relay_bits_burned: int = 0
    lies: int = 0
    """How many relay words carried another share than the relay was given."""
    crashes: int = 0
    orphans: int = 0
    """Keys that wait at a slave's node and that no master can have any more: what crashes leave behind."""
    steps: int = 0
    virtual_s: float = 0.0
    events: Counter[EventKind] = field(default_factory=Counter)
    digest: str = ""
    sites: CrashSites = field(default_factory=CrashSites)

    @property
    def held(self) -> bool:
        return not self.violations


@dataclass(slots=True)
class _Tally:
    due: int = 0
    fetched: int = 0
    by_shares: int = 0
    by_way: int = 0
    succeeded: set[tuple[SaeId, SaeId]] = field(default_factory=set)
    calm: bool = False
    at_rest: bool = False


def run_seed(
    seed: int,
    *,
    faults: Faults = ALL_FAULTS,
    manager_class: type[KeyManager] = KeyManager,
    store_class: type[MemoryKeyStore] = MemoryKeyStore,
    network: Network | None = None,
    block_sizes_bits: Sequence[int] = BLOCK_SIZES_BITS,
) -> Report:
    """Run one world: faults for FAULTY_S, then calm until every application has succeeded once more.

    network: with three applications; None for ``some_network``. block_sizes_bits: of all links' blocks, to choose from.
    """
    chance = SeededChance(seed)
    dice = Dice(chance.child("campaign"))
    network = network or some_network(dice)
    world = World(
        network,
        chance=chance,
        faults=faults,
        block_bits=dice.choose(block_sizes_bits),
        manager_class=manager_class,
        store_class=store_class,
    )
    pairs = _some_pairs(network, dice)
    tally = _Tally()
    world.start()
    wary = Dice(chance.child("wary"))
    for pair in pairs:
        world.spawn(_application(world, *pair, tally=tally, dice=dice, wary=wary), name=f"application {pair[0]}")
    broken = world.witness.violations
    world.scheduler.run_until(FAULTY_S, until=lambda: bool(broken))
    world.faults = NO_FAULTS
    tally.calm = True
    world.scheduler.run_until(FAULTY_S + CALM_S, until=lambda: bool(broken) or tally.succeeded == set(pairs))
    for master, slave in sorted(set(pairs) - tally.succeeded) if not broken else ():
        world.witness.violation(f"liveness: {master} got no key with {slave} in {CALM_S:g} s without faults")
    tally.at_rest = True
    if not broken:
        come_to_rest(world)
    world.close(at_rest=True)
    witness = world.witness
    return Report(
        seed=seed,
        violations=witness.violations,
        keys_given=witness.keys_given,
        keys_due=tally.due,
        keys_fetched=tally.fetched,
        keys_by_shares=tally.by_shares,
        keys_by_way=tally.by_way,
        relay_bits_paid=witness.relay_bits_paid,
        relay_bits_burned=witness.relay_bits_burned,
        lies=witness.num_lies,
        crashes=world.crashes,
        orphans=witness.count_orphans(),
        sites=world.sites,
        steps=world.scheduler.steps,
        virtual_s=world.scheduler.now_s,
        events=Counter(event.kind for event in witness.events),
        digest=witness.digest(),
    )


def come_to_rest(world: World) -> None:
    """Run on without requests, and then until nothing is in doubt, if that comes: a node that prepares keys in idle
    time may have begun a batch in the last moment."""
    broken, scheduler = world.witness.violations, world.scheduler
    scheduler.run_until(scheduler.now_s + REST_S, until=lambda: bool(broken))
    scheduler.run_until(scheduler.now_s + REST_S, until=lambda: bool(broken) or not _is_in_doubt(world))


def _is_in_doubt(world: World) -> bool:
    return any(not held.confirmed for store in world.stores.values() for held in store.disk.keys.values())


def some_network(dice: Dice) -> Network:
    """Return a small line or ring: users at two ends, relays between them; a ring has two ways, perhaps three."""
    num_nodes = dice.whole(2, 5)
    is_ring = num_nodes >= 4 and dice.happens(0.5)
    users = (0, 2) if is_ring else (0, num_nodes - 1)
    sites = tuple(
        Site(
            name=f"n{place}",
            kind="user" if place in users else "relay",
            latitude_deg=31.0,
            longitude_deg=120.0 + 0.1 * place,
        )
        for place in range(num_nodes)
    )
    ends = [(place, (place + 1) % num_nodes) for place in range(num_nodes if is_ring else num_nodes - 1)]
    if is_ring and dice.happens(0.3):
        ends.append(users)
    links = tuple(
        Link(
            name=f"n{one}-n{other}",
            transmitter=f"n{one}",
            receiver=f"n{other}",
            system="backbone-625",
            loss_db=dice.between(8.0, 20.0),
            length_km=60.0,
        )
        for one, other in ends
    )
    applications = tuple(
        Application(name=f"app{place}", site=f"n{site}")
        for place, site in enumerate((*users, dice.whole(0, num_nodes - 1)))
    )
    prepared = PreparedKeys(
        master="app0", slave="app1", count=dice.whole(1, 200), size_bits=dice.choose(KEY_SIZES_BITS)
    )
    return Network(
        format="qanat-network/1",
        name="campaign",
        sites=sites,
        links=links,
        applications=applications,
        prepared_keys=(prepared,) if dice.happens(0.5) else (),
    )


def _some_pairs(network: Network, dice: Dice) -> list[tuple[SaeId, SaeId]]:
    """Return two or three pairs of different applications."""
    one, other, third = network.saes
    pairs = [(one, other), (other, one), (one, third), (third, other)]
    return [pairs.pop(dice.whole(0, len(pairs) - 1)) for _ in range(dice.whole(2, 3))]


async def _application(world: World, master: SaeId, slave: SaeId, *, tally: _Tally, dice: Dice, wary: Dice) -> None:
    """Ask for keys as master and fetch them as slave, for ever; count the successes that come after the faults."""
    recorder = world.recorder(world.network.site_of(master).node)
    while not tally.at_rest:
        trace = recorder.new_request()
        first = trace.record(EventKind.REQUEST, master=master, slave=slave)
        calm = tally.calm
        count, size_bits = dice.whole(1, 5), dice.choose(KEY_SIZES_BITS)
        others = [sae for sae in world.network.saes if sae not in (master, slave)]
        more = tuple(others) if dice.happens(P_GROUP) else ()
        nonce = first.id if dice.happens(P_NONCE) else None
        avoid = {wary.choose(world.network.nodes)} if wary.happens(P_WARY) else set[NodeId]()
        require = Requirements(disjoint_routes=dice.choose(NUMS_OF_ROUTES), policy=RoutePolicy(frozenset(avoid)))
        wish = partial(_get_keys, world, master, slave, trace=trace, cause=first.id, tally=tally)
        given = await wish(count=count, size_bits=size_bits, more_slaves=more, nonce=nonce, require=require)
        if given is not None:
            tally.due += count * (1 + len(more))
            if dice.happens(P_NOSY):
                await _pry(world, master, (slave, *more), given.keys)
            fetched = await _fetch(world, master, slave, given.keys, nonce=nonce)
            by_others = [await _fetch(world, master, another, given.keys, nonce=nonce) for another in more]
            tally.fetched += fetched + sum(by_others)  # in one step: other applications count meanwhile
            if calm and fetched == count:
                tally.succeeded.add((master, slave))
        await world.sleep(dice.between(0.1, 4.0))


async def _get_keys(
    world: World,
    master: SaeId,
    slave: SaeId,
    *,
    trace: Trace,
    cause: EventId,
    tally: _Tally,
    require: Requirements,
    **wish: Any,
) -> GivenKeys | None:
    """Ask again and again with one request id, as a patient application does; for less where there is no such way."""
    node = world.network.site_of(master).node
    for _ in range(20):
        if tally.at_rest:
            break
        try:
            ask = methodcaller(
                "get_keys",
                master=master,
                slave=slave,
                **wish,
                request_id=trace.request_id,
                cause=cause,
                require=require,
            )
            given: GivenKeys = await world.call(node, ask)
        except RequirementUnmet:
            require = Requirements()
        except (KeyManagementError, CallLost):
            await world.sleep(0.5)
        else:
            world.witness.answer_received(master, given.keys)
            world.witness.check_required(given.keys, require.disjoint_routes)
            world.witness.check_way(given.keys, require.policy)
            tally.by_shares += len(given.keys) if require.disjoint_routes > 1 else 0
            tally.by_way += len(given.keys) if require.asks_for_way else 0
            return given
    return None


async def _pry(world: World, master: SaeId, slaves: Sequence[SaeId], keys: Sequence[SecretKey]) -> None:
    """Everybody but the slaves asks for these keys by their ids, at each his own node: all must be refused."""
    ids = [key.key_id for key in keys]
    for nosy in world.network.saes:
        if nosy in slaves:
            continue
        ask = partial(KeyManager.get_keys_by_id, caller=nosy, master=master, key_ids=ids)
        try:
            await world.call(world.network.site_of(nosy).node, ask)
        except QanatError:
            continue
        world.witness.violation(f"1: {nosy} was given keys of {master} and {slaves} by their ids")


async def _fetch(
    world: World, master: SaeId, slave: SaeId, keys: Sequence[SecretKey], *, nonce: str | None = None
) -> int:
    """Fetch keys by id; return how many came. A lost answer is a lost key, which is not given again, unless the call
    has a nonce."""
    node: NodeId = world.network.site_of(slave).node
    ids = [key.key_id for key in keys]
    was_lost = False
    for _ in range(40):
        try:
            fetched = await world.call(
                node, lambda manager: manager.get_keys_by_id(caller=slave, master=master, key_ids=ids, nonce=nonce)
            )
        except KeyNotFound:
            if not was_lost or nonce is not None:
                world.witness.violation(f"4: {slave} did not find keys that {master} was given")
            return 0
        except CallLost:
            was_lost = True
            await world.sleep(0.5)
        except QanatError:
            await world.sleep(0.5)
        else:
            world.witness.answer_received(slave, fetched)
            for mine, theirs in zip(fetched, keys, strict=True):
                if mine.secret != theirs.secret:
                    world.witness.violation(f"1: {master} and {slave} hold different keys {mine.key_id}")
            return len(fetched)
    return 0
