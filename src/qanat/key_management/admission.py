"""Who may ask this node for keys, with whom, and for how many."""

from __future__ import annotations

from qanat.ground.errors import BadParameter, NoDirectLink, NotEntitled
from qanat.ground.identifiers import NodeId, SaeId, SaePair, slaves_together
from qanat.key_management.context import Context
from qanat.key_management.direct_keys import require_link, require_ways_of_all

MAX_REMEMBERED = 4096


class Admission:
    """The checks of one node. The network does not change while it runs, so what passed once passes again."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._passed: dict[tuple[SaeId, tuple[SaeId, ...]], tuple[SaePair, tuple[NodeId, ...]]] = {}

    def check_pair(self, pair: SaePair) -> NodeId:
        """Return the slave's node; raises UnknownNode, NotEntitled, BadParameter, NoDirectLink."""
        node = self.node_of_slave(pair)
        require_link(self._context.network, self._context.node, node)
        return node

    def refusal(self, target: NodeId) -> str:
        """Return why no keys with a site can ever be given as the two state for all of theirs; empty where they can."""
        try:
            require_link(self._context.network, self._context.node, target)
        except (BadParameter, NoDirectLink) as fault:
            return str(fault)
        return ""

    def node_of_slave(self, pair: SaePair) -> NodeId:
        """Return the slave's node, whether or not keys can get there; raises UnknownNode, NotEntitled, BadParameter."""
        self.check_here(pair.master)
        if pair.master == pair.slave:
            raise BadParameter(f"{pair.master!r} asks for keys with itself", remedy="name another application as slave")
        return self._context.network.site_of(pair.slave).node

    def check_slaves(self, master: SaeId, slaves: tuple[SaeId, ...]) -> tuple[SaePair, tuple[NodeId, ...]]:
        """Return the pair and the slaves' nodes in the order in which they are named; raises UnknownNode, NotEntitled,
        BadParameter, NoDirectLink."""
        if (passed := self._passed.get((master, slaves))) is not None:
            return passed
        most = 1 + self._context.settings.max_additional_slaves
        if twice := [slave for slave in dict.fromkeys(slaves) if slaves.count(slave) > 1]:
            raise BadParameter(f"{twice[0]!r} is named twice among the slaves", remedy="name each once")
        if len(slaves) > most:
            raise BadParameter(
                f"{len(slaves) - 1} additional slaves",
                remedy=f"name at most {most - 1} of them, or ask for several keys",
            )
        nodes = tuple([self.check_pair(SaePair(master, slave)) for slave in slaves])
        if len(nodes) > 1:
            require_ways_of_all(self._context.network, self._context.node, nodes)
        if len(self._passed) >= MAX_REMEMBERED:
            self._passed.clear()
        passed = self._passed[master, slaves] = SaePair(master, slaves_together(slaves)), nodes
        return passed

    def check_here(self, sae: SaeId) -> None:
        """Raise NotEntitled for an application of another site; UnknownNode."""
        site = self._context.network.site_of(sae)
        if site.node != self._context.node:
            raise NotEntitled(
                f"{sae!r} is not served by the key manager of {self._context.node!r}",
                remedy=f"ask the key manager of {site.node!r}",
            )

    def check_amount(self, count: int, size_bits: int) -> None:
        """Raise BadParameter for keys that are too many, too long or too short, or not of whole bytes."""
        settings = self._context.settings
        if not 1 <= count <= settings.max_keys_per_request:
            raise BadParameter(f"{count} keys asked", remedy=f"ask for 1 to {settings.max_keys_per_request} at a time")
        low, high = settings.min_key_size_bits, settings.max_key_size_bits
        if size_bits % 8 or not low <= size_bits <= high:
            raise BadParameter(f"keys of {size_bits} bits asked", remedy=f"ask for {low} to {high}, a multiple of 8")
        if count * size_bits > settings.max_request_bits:
            raise BadParameter(
                f"{count} keys of {size_bits} bits asked",
                remedy=f"ask for at most {settings.max_request_bits} bits of key at a time",
            )
