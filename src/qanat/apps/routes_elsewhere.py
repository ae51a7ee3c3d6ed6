"""Tables of routes are looked for in a worker process: the one that hears key managers never waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from qanat.adapters.process_pool import Packed
from qanat.control.graph import GraphState
from qanat.control.route_tables import RouteFinder, RouteTable
from qanat.control.tables import FindTables
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network
from qanat.ground.ports import Job, KernelPool

SITES_OF_A_LARGE_NETWORK = 64
"""The tables of fewer take less time than it takes to start a worker."""


def tables_found_in(pool: KernelPool, network: Network) -> FindTables | None:
    """Return what finds tables of routes over a network in the workers of a pool, those first that are awaited; None
    for a network that is not large."""
    if len(network.nodes) < SITES_OF_A_LARGE_NETWORK:
        return None
    packed = Packed.of(network)  # once: it is the greatest part of each job

    async def find(state: GraphState, nodes: Sequence[NodeId], is_awaited: bool) -> Sequence[RouteTable]:
        job: Job[list[RouteTable]] = Job(tables_of, (packed, state, tuple(nodes)))
        return await pool.run(job, priority=int(is_awaited))

    return find


def tables_of(network: Packed[Network], state: GraphState, nodes: Sequence[NodeId]) -> list[RouteTable]:
    """Return the tables of nodes of a network for links and nodes in this state."""
    finder = _finder_of(network)
    return [finder.table_when(state, node) for node in nodes]


@lru_cache(maxsize=1)
def _finder_of(network: Packed[Network]) -> RouteFinder:
    return RouteFinder(network.value())
