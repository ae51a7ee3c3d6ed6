"""What every part of one key manager works with."""

from __future__ import annotations

from dataclasses import dataclass

from qanat.ground.errors import KeyShortage
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network
from qanat.ground.ports import Clock, Entropy, KeyStore, Tasks
from qanat.ground.tracing import EventRecorder
from qanat.key_management.courier import Courier
from qanat.key_management.links import Links, RouteBook
from qanat.key_management.settings import KeyManagerSettings
from qanat.key_management.wire import PoolShortage, Routes


@dataclass(frozen=True, slots=True)
class Context:
    """A key manager's ports, its settings, and what it knows of the network."""

    node: NodeId
    network: Network
    store: KeyStore
    clock: Clock
    tasks: Tasks
    entropy: Entropy
    recorder: EventRecorder
    courier: Courier
    links: Links
    routes: RouteBook
    settings: KeyManagerSettings


class PoolShort(KeyShortage):
    """A hop's pool holds too little; which one, on which routes, is what the controller needs to know. Stays inside
    this room."""

    def __init__(self, short: tuple[PoolShortage, ...], *, routes: Routes = ()) -> None:
        pools = ", ".join(f"{pool.link_id} from {pool.sender}: {pool.available_bits} bits" for pool in short)
        super().__init__(f"too little link key: {pools}", remedy="ask again when key has been made")
        self.short = short
        self.routes = routes
