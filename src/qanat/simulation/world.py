"""A whole network on a virtual clock: the very key managers and controller of the service, and everything that can go
wrong around them. A seed determines a run, so a seed is a bug report.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

from qanat.control.controller import Controller
from qanat.control.ruling import other_of
from qanat.control.settings import ControllerSettings
from qanat.ground.errors import QanatError
from qanat.ground.identifiers import CONTROLLER, STANDBY, BlockId, LinkId, NodeId, OrderId, uuid4_from
from qanat.ground.keys import PRE_SHARED, KeyBlock, PoolId, PoolLevel, SecretBytes
from qanat.ground.messages import Message, decode_message, encode_message
from qanat.ground.network import Network
from qanat.ground.orders import Contact
from qanat.ground.ports import Chance
from qanat.ground.tracing import EventRecorder
from qanat.key_management.controllers import ToBothControllers
from qanat.key_management.manager import KeyManager
from qanat.key_management.settings import KeyManagerSettings
from qanat.quantum_layer.twin_switch import TwinSwitch, light_passes
from qanat.simulation.alterations import altered, lied
from qanat.simulation.crash_sites import CrashSites, is_seldom
from qanat.simulation.dice import Dice
from qanat.simulation.entropy import SimulationEntropy
from qanat.simulation.faults import NO_FAULTS, Faults
from qanat.simulation.invariants import RELAY_KIND, Witness
from qanat.simulation.memory_disk import Disk
from qanat.simulation.memory_store import MemoryKeyStore
from qanat.simulation.modules import SimulatedLink
from qanat.simulation.ports import Hazard, VirtualClock, VirtualStore, VirtualTasks, VirtualTransport
from qanat.simulation.scheduler import Life, Scheduler, Task, effect
from qanat.simulation.sky import USUAL_SKY, SimulatedSky, SkyTimes

T = TypeVar("T")
Line: TypeAlias = Callable[[NodeId, NodeId, Message], Message | None]
"""What becomes of a message from one node to another: itself, another, or None when it is swallowed."""
SOON_S = 0.001
"""Within this time a process dies at an await where it does not often wait: most last longer."""
HASTY = KeyManagerSettings(
    demand_patience_s=60.0,
    relay_timeout_per_hop_s=0.0,
    idle_after_s=0.2,
    prepare_pause_s=1.0,
    cut_route_pause_s=1.0,
    wake_patience_s=3.0,
    failed_retry_s=5.0,
    initial_key_grace_s=5.0,
    refused_retry_s=5.0,
)
"""Little patience, so that words come too late and idle time comes often."""
TIMES_TOLD = 4
"""So often during a pass its two ends are told of it: one may have come up meanwhile."""
RESERVE_BITS = 64 * 1024
"""Initial authentication key of each simulated link."""


class CallLost(QanatError):
    """An application's call got no answer: the node was down, died over it, or the answer was lost."""


class Process:
    """A key manager or the controller, from one start to its end."""

    def __init__(self, life: Life, transport: VirtualTransport, manager: KeyManager | None) -> None:
        self.life = life
        self.transport = transport
        self.manager = manager


class World:
    """A network of simulated nodes. Faults, and the ``line`` that all messages pass, may be changed while it runs.

    ``manager_class`` and ``store_class`` are there for tests that plant bugs.
    """

    def __init__(
        self,
        network: Network,
        *,
        chance: Chance,
        faults: Faults = NO_FAULTS,
        block_bits: int = 20_000,
        settings: KeyManagerSettings | None = None,
        controller_settings: ControllerSettings | None = None,
        manager_class: type[KeyManager] = KeyManager,
        store_class: type[MemoryKeyStore] = MemoryKeyStore,
        has_standby: bool = False,
        sleepers: Mapping[NodeId, float] = {},
        sky: SkyTimes = USUAL_SKY,
    ) -> None:
        """``sleepers``: nodes that are started by the first message to them, and how many seconds that takes. ``sky``:
        how long satellites stand over their stations."""
        self.network = network
        self.faults = faults
        self.crashes = 0
        self.line: Line = lambda _sender, _receiver, message: message
        self._chance = chance
        self._dice = Dice(chance.child("faults"))
        self._settings = settings or HASTY
        self._controller_settings = controller_settings or ControllerSettings(order_timeout_s=30.0, silent_after_s=1.0)
        self._manager_class = manager_class
        self._entropy = SimulationEntropy(chance.child("entropy"))
        self.scheduler = Scheduler(Dice(chance.child("ties")), on_death=self._task_died)
        self._outside = Life("outside")
        self._processes: dict[NodeId, Process] = {}
        self._asleep = dict(sleepers)
        self._opening: dict[NodeId, list[tuple[NodeId, Message]]] = {}
        """What was said to nodes that are being started."""
        self.stores = {node: store_class() for node in network.nodes}
        self.witness = Witness(network, {node: store.disk for node, store in self.stores.items()})
        self.sites = CrashSites()
        self.scheduler.on_suspend = self._suspended
        self._controllers = (CONTROLLER, STANDBY) if has_standby else (CONTROLLER,)
        self._utc_offsets_s = dict.fromkeys((*network.nodes, *self._controllers), 0.0)
        self._disk_full_until_s = dict.fromkeys(network.nodes, 0.0)
        self.cut: set[frozenset[NodeId]] = set()
        """Pairs between which no message passes, as both have noticed."""
        self._apart_until_s: dict[frozenset[NodeId], float] = {}
        self.stuck_switches: dict[str, str] = {}
        """Switches that do not turn, and why."""
        devices = VirtualClock(self.scheduler, self._safe(), utc_offset_s=lambda: 0.0)
        self.switches = {
            switch.name: TwinSwitch(switch, clock=devices, stuck=partial(self._why_stuck, switch.name))
            for switch in network.switches
        }
        self.sky = SimulatedSky(network, sky)
        survives, mixed = self._dice.happens(0.5), self._dice.happens(0.3)
        self.links = [
            SimulatedLink(
                link,
                scheduler=self.scheduler,
                dice=self._dice,
                entropy=SimulationEntropy(chance.child("link", link.name)),
                witness=self.witness,
                origin="device" if mixed and self._dice.happens(0.7) else "twin",
                block_bits=block_bits,
                survives=survives,
                p_session_fails=lambda: self.faults.p_session_fails,
                is_lit=partial(light_passes, self.switches, network.joins_of(link))
                if link.makes_key_on_order
                else self.sky.is_lit(link),
            )
            for link in network.links
            if link.kind != "announced"
        ]

    # --- running ---

    def start(self) -> None:
        """Carry the initial keys to the stores, start all processes, and let the weather begin."""
        for link in self.links:
            self._share_initial_key(link)
        for node in (*self._controllers, *self.network.nodes):
            if node not in self._asleep:
                self._start_process(node)
        self.scheduler.spawn(self._weather(), self._outside, name="weather")
        if self.sky.downlinks:
            self.scheduler.spawn(self._passes(), self._outside, name="passes")

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run a coroutine outside of all nodes, such as an application."""
        self.scheduler.spawn(work, self._outside, name=name)

    def run(self, work: Coroutine[Any, Any, T], *, within_s: float = 60.0) -> T:
        """Run a coroutine outside of all nodes to its end, and return its result or raise its error.

        Raises CallLost when it has not ended within so much virtual time.
        """
        outcome: list[tuple[Any, QanatError | None]] = []
        self.scheduler.spawn(
            work, self._outside, name="outside", on_end=lambda value, error: outcome.append((value, error))
        )
        self.scheduler.run_until(self.scheduler.now_s + within_s, until=lambda: bool(outcome))
        value, error = outcome[0] if outcome else (None, CallLost(f"no end within {within_s:g} s"))
        if error is not None:
            raise error
        return cast(T, value)

    async def sleep(self, seconds: float) -> None:
        await effect(lambda task: self.scheduler.resume_after(seconds, task))

    async def call(self, node: NodeId, ask: Callable[[KeyManager], Coroutine[Any, Any, T]]) -> T:
        """Call a node's key manager as an application does; raises what it raises, or CallLost."""
        latency_s = self._dice.between(0.001, 0.01)
        answer_lost = self._dice.happens(self.faults.p_answer_lost)

        def perform(task: Task) -> None:
            process = self._processes.get(node)
            if process is None or process.manager is None or not process.life.alive:
                self.scheduler.resume_after(latency_s, task, error=CallLost(f"{node} is down"))
                return

            def on_end(value: T | None, error: QanatError | None) -> None:
                lost = CallLost("the answer was lost") if answer_lost else error
                self.scheduler.resume_after(latency_s, task, value, lost)

            self.scheduler.spawn(ask(process.manager), process.life, name=f"{node}: call", on_end=on_end)

        result: T = await effect(perform)
        return result

    def recorder(self, node: NodeId) -> EventRecorder:
        """Return a recorder for an application at a node."""
        clock = VirtualClock(self.scheduler, self._safe(), utc_offset_s=lambda: self._utc_offsets_s[node])
        return EventRecorder(node=node, clock=clock, entropy=self._entropy, sink=self.witness.event)

    def is_up(self, node: NodeId) -> bool:
        return node in self._processes and self._processes[node].life.alive

    def crash(self, node: NodeId, *, down_s: float | None = None) -> None:
        """Kill a node's process at this moment, and start it again after a while, or after ``down_s``."""
        process = self._processes[node]
        if not process.life.alive:
            return
        self.crashes += 1
        for link in self.links:
            if node in link.link.ends:
                link.crash(node)
        self.sites.died(process.life)
        self.scheduler.kill(process.life, CallLost(f"{node} died"))
        pause_s = self._dice.between(0.2, 4.0) if down_s is None else down_s
        self.scheduler.call_after(pause_s, lambda: self._start_process(node))

    def restore(self, node: NodeId, copy: Disk, *, down_s: float = 1.0) -> None:
        """Kill a node's process and put its store back from an older copy before it starts again."""
        self.crash(node, down_s=down_s)
        self.stores[node].disk.put_back(copy)

    def renew_initial_key(self, link_id: LinkId, *, later: NodeId | None = None, after_s: float = 0.0) -> None:
        """Carry a new initial key to both ends of a link, as an operator does; its node's processes may run. It comes
        to the end ``later`` after the other one."""
        (of,) = (link for link in self.links if link.link.link_id == link_id)
        self._share_initial_key(of, import_block=_add_block, later=later, after_s=after_s)

    def close(self, *, at_rest: bool = False, thorough: bool = True) -> None:
        """End all processes and check what only the whole run shows; ``at_rest`` says that no request is under way.

        Without ``thorough`` the checks that take the square of a run's length are left out: for long runs under load.
        """
        for process in self._processes.values():
            self.scheduler.kill(process.life, CallLost("the world ends"))
        self.scheduler.kill(self._outside, CallLost("the world ends"))
        if at_rest:
            self.witness.check_doubts()
        levels = {node: at_once(_levels(store.disk)) for node, store in self.stores.items()}
        self.witness.close_books(levels, thorough=thorough)

    # --- inside ---

    def _why_stuck(self, switch: str) -> str:
        return self.stuck_switches.get(switch, "")

    def _task_died(self, task: Task, fault: QanatError) -> None:
        self.witness.violation(f"task {task.name!r} died of {type(fault).__name__}: {fault}")

    def _suspended(self, task: Task) -> None:
        """Where processes seldom wait, they die more often."""
        site, life = self.sites.suspended(task, may_die=self.faults.p_crash_per_effect > 0), task.life
        if is_seldom(site) and self._dice.happens(self.faults.p_crash_at_seldom):
            crash = partial(self._crash_if_alive, NodeId(life.name), life)
            self.scheduler.call_after(self._dice.between(0.0, SOON_S), crash)

    def _crash_if_alive(self, node: NodeId, life: Life) -> None:
        if life.alive:
            self.crash(node)

    def _safe(self) -> Hazard:
        return Hazard(self.scheduler, self._dice, p_crash=lambda: 0.0, crash=lambda: None)

    def _share_initial_key(
        self,
        of: SimulatedLink,
        *,
        import_block: Callable[[MemoryKeyStore, KeyBlock], Coroutine[Any, Any, None]] | None = None,
        later: NodeId | None = None,
        after_s: float = 0.0,
    ) -> None:
        block_id = BlockId(uuid4_from(self._entropy.public_bytes(16)))
        secret = self._entropy.secret_bytes(RESERVE_BITS // 8)
        for node in of.link.ends:
            store, peer = self.stores[node], of.link.peer_of(node)
            block = KeyBlock(
                block_id=block_id,
                order_id=OrderId("initial key"),
                link_id=of.link.link_id,
                local=node,
                peer=peer,
                origin=of.origin,
                protocol=PRE_SHARED,
                num_bits=RESERVE_BITS,
                bits=SecretBytes(secret.reveal()),
                eps_sec=0.0,
                eps_cor=0.0,
                finished_utc_s=0.0,
            )
            bring = partial(import_block or _import_block, store, block)
            if node == later:
                self.scheduler.call_after(after_s, partial(_do_at_once, bring))
            else:
                at_once(bring())

    def _start_process(self, node: NodeId) -> None:
        life = Life(node)

        crash = partial(self._crash_if_alive, node, life)
        hazard = Hazard(self.scheduler, self._dice, p_crash=lambda: self.faults.p_crash_per_effect, crash=crash)
        clock = VirtualClock(self.scheduler, hazard, utc_offset_s=lambda: self._utc_offsets_s[node])
        tasks = VirtualTasks(self.scheduler, hazard, life)
        transport = VirtualTransport(
            node,
            self.scheduler,
            hazard,
            post=self._post,
            is_up=lambda peer: (self.is_up(peer) or peer in self._asleep) and {node, peer} not in self.cut,
            is_coming=self._opening.__contains__,
        )
        entropy = SimulationEntropy(self._chance.child("life", node, self.crashes))
        recorder = EventRecorder(node=node, clock=clock, entropy=entropy, sink=self.witness.event)
        has_standby = STANDBY in self._controllers
        if node in self._controllers:
            controller = Controller(
                network=self.network,
                transport=transport,
                clock=clock,
                tasks=tasks,
                entropy=entropy,
                recorder=recorder,
                settings=self._controller_settings,
                other=other_of(node) if has_standby else None,
                switches=self.switches,
            )
            self._processes[node] = Process(life, transport, None)
            self.scheduler.spawn(controller.run(), life, name="controller")
            return
        self.stores[node] = self.stores[node].reopened()
        modules = [link.modules[node] for link in self.links if node in link.link.ends]
        for module in modules:
            module.hazard = hazard
        manager = self._manager_class(
            node=node,
            network=self.network,
            store=self._virtual_store(node, hazard),
            transport=ToBothControllers(transport) if has_standby else transport,
            clock=clock,
            tasks=tasks,
            entropy=entropy,
            modules=modules,
            recorder=recorder,
            settings=self._settings,
            is_awake=lambda peer: peer not in self._asleep,
            is_opening=lambda peer: peer in self._asleep or peer in self._opening,
        )
        self._processes[node] = Process(life, transport, manager)
        self.scheduler.spawn(manager.run(), life, name=f"{node}: key manager")

    def _virtual_store(self, node: NodeId, hazard: Hazard) -> VirtualStore:
        return VirtualStore(
            node,
            self.stores[node],
            self.scheduler,
            hazard,
            self._dice,
            self.witness,
            write_fault=lambda: self._write_fault(node),
        )

    def _write_fault(self, node: NodeId) -> str:
        if self.scheduler.now_s < self._disk_full_until_s[node]:
            return "no space left on the disk"
        return "input/output error" if self._dice.happens(self.faults.p_store_fails) else ""

    # --- the post ---

    def _post(self, sender: NodeId, receiver: NodeId, message: Message) -> None:
        """Carry a message: perhaps twice, late, altered, or not at all."""
        frame = encode_message(message)
        self.witness.message_sent(sender, message, frame)
        faults, dice = self.faults, self._dice
        copies = 1 + dice.happens(faults.p_repeated)
        for _ in range(copies):
            apart = self.scheduler.now_s < self._apart_until_s.get(frozenset((sender, receiver)), 0.0)
            if apart or {sender, receiver} in self.cut or dice.happens(faults.p_lost):
                continue
            delay_s = dice.between(0.001, 0.02) + (dice.between(0.0, 4.0) if dice.happens(faults.p_late) else 0.0)
            arriving = self.line(sender, receiver, decode_message(frame))
            if arriving is None:
                continue
            if arriving.kind == RELAY_KIND and dice.happens(faults.p_altered):
                arriving = altered(arriving, dice, self._entropy)
            elif arriving.kind == RELAY_KIND and dice.happens(faults.p_share_altered):
                arriving = self.lied(sender, arriving)
            self.scheduler.call_after(delay_s, partial(self._deliver, sender, receiver, arriving))

    def lied(self, sender: NodeId, message: Message) -> Message:
        """Let the sender of a relay word hand on another share than it was given; not the origin, who makes it."""
        spent = self.witness.bits_under(sender, message)
        if message.fields["hop"] == 1 or spent is None:
            return message
        self.witness.relay_lied(message)
        return lied(message, self._dice, spent=spent)

    def _deliver(self, sender: NodeId, receiver: NodeId, message: Message) -> None:
        """Put a message into the inbox of a node that is up; a node that is down has none."""
        if (seconds := self._asleep.pop(receiver, None)) is not None:
            self._opening[receiver] = []
            self.scheduler.call_after(seconds, lambda: self._open(receiver))
        if receiver in self._opening:
            self._opening[receiver].append((sender, message))
            return
        process = self._processes.get(receiver)
        if process is not None and process.life.alive:
            self.witness.message_arrived(receiver, message)
            process.transport.mailbox.put((sender, message))

    def _open(self, node: NodeId) -> None:
        """Start a node that slept; what was said to it meanwhile was kept."""
        self._start_process(node)
        for sender, message in self._opening.pop(node):
            self._deliver(sender, node, message)

    async def _passes(self) -> None:
        """Let satellites rise and set: one station after the other, for ever."""
        times, links = self.sky.times, {link.link.link_id: link for link in self.links}
        while True:
            for link in self.sky.downlinks:
                if not self.sky.is_clear(link, self._dice):
                    await self.sleep(times.contact_s + times.gap_s)
                    continue
                pass_id = self.sky.begin(link)
                for _ in range(TIMES_TOLD):
                    links[link.link_id].tell_both(Contact(link.link_id, pass_id, is_open=True))
                    await self.sleep(times.contact_s / TIMES_TOLD)
                self.sky.end(link)
                links[link.link_id].tell_both(Contact(link.link_id, pass_id, is_open=False))
                await self.sleep(times.gap_s)

    async def _weather(self) -> None:
        """Faults that last: full disks, partitions; and clocks that jump."""
        nodes = list(self.network.nodes)
        while True:
            await self.sleep(1.0)
            now_s, faults, dice = self.scheduler.now_s, self.faults, self._dice
            if dice.happens(faults.disk_full_per_hour / 3600):
                self._disk_full_until_s[dice.choose(nodes)] = now_s + dice.between(0.5, 6.0)
            if dice.happens(faults.partitions_per_hour / 3600):
                pair = frozenset((dice.choose(nodes), dice.choose([*nodes, CONTROLLER])))
                self._apart_until_s[pair] = now_s + dice.between(0.5, 8.0)
            if dice.happens(faults.clock_jumps_per_hour / 3600):
                self._utc_offsets_s[dice.choose([*nodes, CONTROLLER])] = dice.between(-3600.0, 3600.0)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that awaits nothing, such as the memory store's."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise ValueError("this coroutine waits for something")


def _do_at_once(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    at_once(work())


async def _import_block(store: MemoryKeyStore, block: KeyBlock) -> None:
    await store.open_epoch()
    await _add_block(store, block)


async def _add_block(store: MemoryKeyStore, block: KeyBlock) -> None:
    await store.add_block(block)
    await store.confirm(block.block_id)


async def _levels(disk: Disk) -> Mapping[PoolId, PoolLevel]:
    store = MemoryKeyStore(disk)
    await store.open_epoch()
    return await store.levels()
