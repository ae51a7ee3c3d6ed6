"""Keys in stock that went a way which the network file, changed since, no longer lets them go: destroyed at a start.

Each end does so by the record of its own copy. Link key stays: it says where it was made, and passes nobody.
"""

from __future__ import annotations

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


async def void_forbidden(context: Context) -> None:
    """Destroy the keys of application pairs that their sites would not have had go as they went, and say so. Raises
    StoreFailed."""
    network = context.network
    if not network.site_policies:
        return
    for pair in await context.store.held_keys():
        if (fit := allowed_ways(network, pair)) is None:
            continue
        if num_voided := await context.store.void(Selection(unfit=frozenset({(pair, fit)}))):
            why = "they went a way that the network file allows no longer; new ones are made on ways that it allows"
            context.recorder.record(
                EventKind.KEYS_VOIDED, num_items=num_voided, why=why, master=pair.master, slave=pair.slave
            )


def allowed_ways(network: Network, pair: SaePair) -> KeyFit | None:
    """Return what the recorded ways of a pair's keys must be like; None where they may have gone anywhere.

    Of keys for several slaves each site has the record of a way to one of them: what all the sites ask holds for it.
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


def _site(network: Network, sae: SaeId) -> NodeId | None:
    """Return where an application is; None for one that the network has no longer."""
    try:
        return network.site_of(sae).node
    except UnknownNode:
        return None
