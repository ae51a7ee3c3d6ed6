"""Keys in stock that went a way which the network file, changed since, no longer lets them go: destroyed at a start.

Each end does so by the record of its own copy. Of a key for slaves at several sites no site has the record of all its
ways, and what one kept the others must not have destroyed: so none goes by its record. When what sites state
has changed since its last start, each destroys all such keys that any of their sites has a say in, which all do alike
from the same network file. Link key stays: it says where it was made, and passes nobody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from qanat.ground.errors import UnknownNode
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId, SaeId, SaePair, members_of
from qanat.ground.keys import Selection
from qanat.ground.network import Network
from qanat.ground.requirements import KeyFit
from qanat.ground.route_policy import ANY_ROUTE
from qanat.key_management.context import Context
from qanat.key_management.wished_ways import homeland

NO_WAY = KeyFit(within=frozenset())
"""No recorded way is like this: each begins at a site."""


async def void_forbidden(context: Context, held: Iterable[SaePair], *, former_terms: int) -> None:
    """Destroy the keys of those of the ``held`` application pairs that their sites would not have had go as they went,
    and say so. ``former_terms``: what the store remembers. Raises StoreFailed."""
    network, terms = context.network, stated_terms(context.network)
    has_changed = former_terms != terms
    for pair in held if network.site_policies else ():
        if (fit := allowed_ways(network, pair)) is None:
            continue
        if has_changed and _go_several_ways(network, pair):
            fit = NO_WAY
        if num_voided := await context.store.void(Selection(unfit=frozenset({(pair, fit)}))):
            why = "they went a way that the network file allows no longer; new ones are made on ways that it allows"
            context.recorder.record(
                EventKind.KEYS_VOIDED, num_items=num_voided, why=why, master=pair.master, slave=pair.slave
            )
    if has_changed:  # last: a node that dies before does it all again
        await context.store.remember_terms(terms)


def stated_terms(network: Network) -> int:
    """Return a number, below 2**56, that stands for all that sites with applications state of the ways of their keys:
    the same from the same network file at all sites, another one when the file comes to state something else. 0 where
    no site states anything."""
    policies = network.site_policies
    if not policies:
        return 0
    stating = [(sae, policies[node]) for sae in network.saes if (node := network.site_of(sae).node) in policies]
    told = sorted((sae, sorted(one.avoid), one.domestic_only, one.direct_only) for sae, one in stating)
    regions = sorted(network.regions.items()) if any(one.domestic_only for _, one in stating) else []
    return int.from_bytes(hashlib.sha256(repr((told, regions)).encode()).digest()[:7], "big")


def allowed_ways(network: Network, pair: SaePair) -> KeyFit | None:
    """Return what the recorded ways of a pair's keys must be like; None where they may have gone anywhere.

    Of keys for several slaves what all their sites ask holds for the way that is recorded here, to one of them.
    A slave that the network has no longer asks nothing. Where it has the master no longer nobody knows what its site
    asked, and no way will do.
    """
    if (here := _site(network, pair.master)) is None:
        return NO_WAY
    sites = (_site(network, slave) for slave in members_of(pair.slave))
    ends = [site for site in sites if site is not None]
    policy = ANY_ROUTE
    for end in ends:
        policy = policy.joined(network.policy_between(here, end))
    if policy == ANY_ROUTE:
        return None
    within = homeland(network, here) if policy.domestic_only else None
    return KeyFit(avoid=policy.avoid, within=within, is_direct=policy.direct_only)


def _go_several_ways(network: Network, pair: SaePair) -> bool:
    """Return whether keys went to slaves at several sites; one that the network has no longer was at a site of its
    own, for all that is known."""
    here = _site(network, pair.master)
    sites = {_site(network, slave) or slave for slave in members_of(pair.slave)}
    return len(sites - {here}) > 1


def _site(network: Network, sae: SaeId) -> NodeId | None:
    """Return where an application is; None for one that the network has no longer."""
    try:
        return network.site_of(sae).node
    except UnknownNode:
        return None
