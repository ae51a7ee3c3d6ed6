"""The parts of a site, and the folder they live in: shared by a process of many sites and one of a single site."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from copy import copy
from functools import partial
from pathlib import Path
from socket import socket

from qanat.adapters.addresses import Address, ListenerKind
from qanat.adapters.audit_log import FOLDER as AUDIT_FOLDER
from qanat.adapters.audit_log import AuditLog
from qanat.adapters.connection_rules import ConnectionRules, FewWords
from qanat.adapters.door_guard import DoorGuard
from qanat.adapters.door_thread import DoorInThread, DoorThread
from qanat.adapters.encryption import MASTER_KEY_VARIABLE, MasterKey, find_master_key, named_in_token
from qanat.adapters.etsi014_http import etsi014_app
from qanat.adapters.exchanged_module import ExchangedModule
from qanat.adapters.folder_lock import held
from qanat.adapters.handshakes import Turns
from qanat.adapters.http_server import HttpDoor
from qanat.adapters.living_tls import LivingTls
from qanat.adapters.private_files import require_private
from qanat.adapters.sae_limits import LIMITS_NAME
from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.adapters.sqlite.sealed import needs_master_key
from qanat.adapters.system import IdsAhead, SystemClock, SystemEntropy
from qanat.adapters.tls_transport import TlsTransport
from qanat.apps.deployment import HOST, Places
from qanat.apps.event_log import EventLog
from qanat.apps.link_modules import LocalModules, link_capability
from qanat.apps.workplace import Workplace
from qanat.doors.etsi014 import Etsi014Door, Limits
from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.errors import ConfigurationError, StoreFailed
from qanat.ground.events import EventKind
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.ports import KeyStore, QKDModule, Tasks, Transport
from qanat.ground.tracing import EventRecorder
from qanat.key_management.manager import KeyManager
from qanat.key_management.settings import KeyManagerSettings

SiteDoor = HttpDoor | DoorInThread

LOCK_PATIENCE_S = 1.0
"""Whoever looks whether a site's folder is free holds it for a moment."""
MOST_RESERVE_DAYS = 10.0
INITIAL_KEYS_BYTES = 256 * 2**20
ALARM_SHARE = 0.2
"""The alarm of a reserve that runs low comes when no more than this share of its first days is left."""


def sessions_per_day(network: Network) -> dict[LinkId, float]:
    """Return how many amplification blocks each link makes in a day of steady work."""
    seconds = 86_400.0
    return {link.link_id: seconds / link_capability(link).block_time_s for link in network.links}


def reserve_days(network: Network) -> float:
    """Return for how many days of steady work the links' initial keys are to last: fewer than ten where those of all
    links together would be greater than INITIAL_KEYS_BYTES. A link fills its reserve as it works."""
    bytes_per_day = sum(sessions_per_day(network).values()) * SESSION_PAD_BITS / 8
    return min(MOST_RESERVE_DAYS, INITIAL_KEYS_BYTES / bytes_per_day) if bytes_per_day else MOST_RESERVE_DAYS


def key_manager_settings(network: Network) -> KeyManagerSettings:
    """Return what all key managers of a network are set to."""
    alarm_days = ALARM_SHARE * reserve_days(network)
    return KeyManagerSettings(sessions_per_day=sessions_per_day(network), reserve_alarm_days=alarm_days)


class SiteParts:
    """Makes stores, transports, key managers and doors of one process. ``stack`` closes them, the last one first."""

    def __init__(
        self,
        network: Network,
        place: Workplace,
        *,
        log: EventLog,
        settings: KeyManagerSettings,
        stack: AsyncExitStack,
        places: Places | None = None,
        gives_way: Callable[[], bool] = lambda: False,
    ) -> None:
        """``gives_way``: whether somebody waits for something in this process that goes before handshakes of lines."""
        self.door_thread: DoorThread | None = None
        """Where doors are opened, beside the loop of all else; None: in that."""
        self.places = places or Places(place.addresses)
        self.network = network
        self.place = place
        self.log = log
        self.settings = settings
        self.clock = SystemClock()
        self.entropy = SystemEntropy()
        self._ids = IdsAhead(self.entropy)
        self._turns = Turns(gives_way=gives_way)
        self._stack = stack
        self._audited: dict[NodeId, AuditLog] = {}
        self._writer: StoreWriter | None = None
        self._recorders: dict[NodeId, EventRecorder] = {}
        self._addresses: dict[tuple[ListenerKind, NodeId], Address] = {}

    def onto(self, stack: AsyncExitStack) -> SiteParts:
        """Return these parts for one site: what is opened goes onto ``stack``, all else is shared."""
        parts = copy(self)
        parts._stack = stack
        return parts

    def recorder(self, node: NodeId) -> EventRecorder:
        """Return the recorder of events at ``node`` into this process's log: one, which knows what alarms last."""
        if node not in self._recorders:
            self._recorders[node] = EventRecorder(node=node, clock=self.clock, entropy=self._ids, sink=self.log)
        return self._recorders[node]

    def hold_site(self, node: NodeId, *, remedy: str) -> None:
        """Keep every other process out of a site's folder; raises ConfigurationError when one is in it, or when the
        folder is another site's."""
        self._stack.enter_context(held(self.place.site(node), remedy=remedy, patience_s=LOCK_PATIENCE_S))
        self.place.claim_site(node)

    async def open_stores(
        self, nodes: Sequence[NodeId], *, master_key_path: Path | None = None, go_first: bool = False
    ) -> dict[NodeId, KeyStore]:
        """Open the key stores of sites whose folders this process holds, with one writer for all of them.

        master_key_path: where the master key is, or is made; else where the folder has it. go_first: somebody waits for
        these sites, so their stores go before others at first. Raises ConfigurationError;
        for a store whose master key is gone too, since none is made beside a store that is there.
        """
        writer = self.store_writer()
        stores: dict[NodeId, KeyStore] = {}
        for node in nodes:
            path = self.place.store(node)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            if go_first:
                writer.let_go_first(path)
            master_key = self._master_key(path, master_key_path or self.place.master_key_of(node))
            store = await SqliteKeyStore.open(
                path, master_key=master_key, writer=writer, on_failed=partial(self._note_store_failed, node)
            )
            self._stack.push_async_callback(store.close)
            stores[node] = store
        return stores

    def _note_store_failed(self, node: NodeId, fault: StoreFailed) -> None:
        self.recorder(node).alarm("store-failed", fault.message, fault.remedy)

    def store_writer(self) -> StoreWriter:
        """Return the one thread that writes all stores; it ends with the stack that it was first asked for on."""
        if self._writer is None:
            self._writer = StoreWriter()
            self._stack.push_async_callback(self._writer.close)
        return self._writer

    def require_master_key(self, node: NodeId) -> None:
        """Raise ConfigurationError for a site whose store is there and whose master key is not; or whose master key is
        in a token that does not give it: a site that sleeps would find out when it is woken."""
        path = self.place.master_key_of(node)
        self._is_key_known(self.place.store(node), path)
        if (in_token := named_in_token(path, environment=os.environ)) is not None:
            in_token.try_out()

    def _is_key_known(self, store: Path, path: Path) -> None:
        is_known = path.exists() or bool(os.environ.get(MASTER_KEY_VARIABLE))
        if not is_known and needs_master_key(store):
            raise ConfigurationError(
                f"the key store {store} is there, and its master key {path} is not",
                remedy="put the master key back; if it is lost, so are the keys: `qanat node zeroize` ends the store",
            )

    def _master_key(self, store: Path, path: Path) -> MasterKey:
        self._is_key_known(store, path)
        return find_master_key(path, environment=os.environ, entropy=self.entropy)

    async def open_transport(
        self,
        node: NodeId,
        *,
        kind: ListenerKind = "transports",
        listening: socket | None = None,
        is_asleep: Callable[[NodeId], bool] = lambda _: False,
    ) -> TlsTransport:
        """Open a node's transport and publish where it listens. ``kind``: "devices" for what the two ends of a link
        say to each other. ``listening``: a socket that listens already, at a place that is published. ``is_asleep``:
        who is called only when there is something to say. The node's audit log begins here."""
        self._keep_audit(node)
        host, port = self.places.listen_at(kind, node)
        transport = TlsTransport(
            node,
            turns=self._turns,
            network=self.network.name,
            tls=self.place.node_files(node),
            addresses=lambda peer: self._address(kind, peer),
            host=host,
            port=port,
            listening=listening,
            is_asleep=is_asleep,
        )
        await transport.start()
        self._stack.push_async_callback(transport.close)
        if listening is None:
            self.publish(kind, node, transport.port, host=host)
        return transport

    def publish(self, kind: ListenerKind, node: NodeId, port: int, *, host: str = HOST) -> None:
        """Say where a node listens, until the stack is closed."""
        if host == HOST:
            self._addresses[kind, node] = (HOST, port)
        self.places.publish(kind, node, port)
        self._stack.callback(self.place.addresses.withdraw, kind, node)

    async def local_modules(self, node: NodeId, tasks: Tasks) -> dict[str, ExchangedModule]:
        """Return a site's ends of the links that have no twin, by the links' names, at work from now on."""
        links = [link for link in self.network.links_of(node) if link.modules is not None]
        if not links:
            return {}
        transport = await self.open_transport(node, kind="devices")
        local = LocalModules(node, self.place, transport, tasks=tasks, clock=self.clock, entropy=self.entropy)
        return local.make(links)

    def manager(
        self, node: NodeId, *, store: KeyStore, transport: Transport, tasks: Tasks, modules: Sequence[QKDModule]
    ) -> KeyManager:
        """Return a site's key manager, which runs from now on."""
        manager = self.make_manager(node, store=store, transport=transport, tasks=tasks, modules=modules)
        tasks.start(manager.run(), name=f"key manager {node}")
        return manager

    def make_manager(
        self,
        node: NodeId,
        *,
        store: KeyStore,
        transport: Transport,
        tasks: Tasks,
        modules: Sequence[QKDModule],
        is_awake: Callable[[NodeId], bool] = lambda _: True,
        is_opening: Callable[[NodeId], bool] = lambda _: False,
        num_opened: Callable[[], int] = lambda: 0,
    ) -> KeyManager:
        """Return a site's key manager, to be run. The last three: of sites, which may sleep."""
        return KeyManager(
            node=node,
            network=self.network,
            store=store,
            transport=transport,
            clock=self.clock,
            tasks=tasks,
            entropy=self.entropy,
            modules=modules,
            recorder=self.recorder(node),
            settings=self.settings,
            is_awake=is_awake,
            is_opening=is_opening,
            num_opened=num_opened,
        )

    async def open_door(
        self,
        node: NodeId,
        manager: KeyManager,
        *,
        port: int = 0,
        host: str = HOST,
        listening: socket | None = None,
    ) -> SiteDoor:
        """Open a site's door and publish where it listens; raises ConfigurationError when the port cannot be had.
        ``listening``: a socket that listens already, at a place that is published."""
        recorder, here = self.recorder(node), self._in_this_loop

        def tell(why: str) -> None:
            here(partial(recorder.record, EventKind.CALLER_REFUSED, why=why))

        on_refused = FewWords(tell)

        saes = [sae for sae in self.network.saes if self.network.site_of(sae).node == node]
        etsi014 = Etsi014Door(
            manager,
            saes=saes,
            limits=door_limits(self.settings),
            on_refused=on_refused,
            priorities={sae: self.network.priority(sae) for sae in saes},
        )
        guard = DoorGuard(
            etsi014_app(etsi014),
            folder=self.place.site(node),
            limits_file=self.place.folder / LIMITS_NAME,
            saes=frozenset(self.network.saes),
            record=recorder.record,
            alarm=recorder.alarm,
            alarm_over=recorder.alarm_over,
        )
        make = HttpDoor if self.door_thread is None else partial(DoorInThread, self.door_thread)
        door: SiteDoor = make(
            guard,
            tls=self._living_tls(node, recorder, on_refused),
            host=host,
            port=port,
            listening=listening,
            rules=ConnectionRules(on_refused=on_refused),
            before_writing=lambda: self._write_audit(node),
            each_second=guard.look,
        )
        await door.start()
        self._stack.push_async_callback(door.stop)
        if listening is None:
            self.publish("doors", node, door.port)
        return door

    def _living_tls(self, node: NodeId, recorder: EventRecorder, on_refused: Callable[[str], None]) -> LivingTls:
        """Return a site's certificates, followed; what changes and what is refused goes into its log. Raises
        ConfigurationError, also for a key that others can read."""

        def on_change(why_kept: str | None) -> None:
            if why_kept is None:
                recorder.alarm_over("certificates-kept")
                recorder.record(EventKind.CERTIFICATES_CHANGED, what="the files of the door were taken up")
                return
            recorder.alarm("certificates-kept", f"new certificate files do not count, the former ones do: {why_kept}")

        here = self._in_this_loop

        files = self.place.node_files(node)
        require_private(files.key)
        return LivingTls(
            files,
            on_refused=on_refused,
            on_change=lambda why_kept: here(partial(on_change, why_kept)),
        )

    def _in_this_loop(self, act: Callable[[], object]) -> None:
        """Do what a door has to tell in the loop of all else, wherever its own is."""
        if self.door_thread is None:
            act()
        else:
            self.door_thread.tell(act)

    def _keep_audit(self, node: NodeId) -> None:
        """Chain what happens at a node into its audit log, from now until the process ends."""
        if node in self._audited:
            return
        recorder = self.recorder(node)

        def on_lost(why: str) -> None:
            text = f"the audit log of {node} cannot be written: {why}; keys go on being given"
            recorder.alarm("audit-not-written", text)

        folder = self.place.site(node) / AUDIT_FOLDER
        audit = AuditLog(folder, node=node, on_lost=on_lost, written_out_first=True)
        self._audited[node] = audit
        self._stack.callback(self._audited.pop, node)
        self.log.listen(self._stack.enter_context(audit))
        self._stack.callback(self.log.forget, audit)

    def _write_audit(self, node: NodeId) -> None:
        if (audit := self._audited.get(node)) is not None:
            audit.write_out()

    def _address(self, kind: ListenerKind, node: NodeId) -> Address | None:
        """Return where a node's transport listens: in this process, at its fixed place, or where it last said."""
        return self._addresses.get((kind, node)) or self.places.find(kind, node)


def door_limits(settings: KeyManagerSettings) -> Limits:
    """Return the door's limits: the key manager's, said once."""
    return Limits(
        key_size_bits=settings.key_size_bits,
        min_key_size_bits=settings.min_key_size_bits,
        max_key_size_bits=settings.max_key_size_bits,
        max_keys_per_request=settings.max_keys_per_request,
        max_request_bits=settings.max_request_bits,
        max_additional_slaves=settings.max_additional_slaves,
        repeat_window_s=settings.repeat_window_s,
    )
