"""Extracts of a network: some of its sites, chosen by who asks, with everything between them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId
from qanat.ground.network.description import Network
from qanat.ground.network.names import nearest


def extract_of(
    network: Network, nodes: Collection[NodeId], *, but_links: Collection[str] = (), but_switches: Collection[str] = ()
) -> Network:
    """Return the sites ``nodes``, links and ports between them, and applications at them; no classical network.

    Without the links and switches of some names; a switch takes its trunks with it.
    """
    switches = []
    for switch in network.switches:
        ports = tuple(port for port in switch.ports if port.site in nodes)
        if len(ports) > 1 and switch.name not in but_switches:  # one port alone joins nothing
            switches.append(switch.model_copy(update={"ports": ports}))
    named = {switch.name for switch in switches}
    return Network(
        format=network.format,
        name=network.name,
        title=network.title,
        sites=tuple(site for site in network.sites if site.node in nodes),
        links=tuple(
            link for link in network.described_links if link.name not in but_links and set(link.ends) <= set(nodes)
        ),
        switches=tuple(switches),
        trunks=tuple(trunk for trunk in network.trunks if named.issuperset(trunk.switches)),
        downlinks=tuple(
            one for one in network.downlinks if one.name not in but_links and {one.satellite, one.station} <= set(nodes)
        ),
        applications=tuple(app for app in network.applications if app.site in nodes),
    )


def without_satellites(network: Network) -> Network:
    """Return the ground network: all but satellites, and what follows from their downlinks, or is said of them."""
    fields = {name: getattr(network, name) for name in Network.model_fields}
    aloft = {site.name for site in network.satellites}
    sites = tuple(
        site.model_copy(update={"keys_avoid": tuple(name for name in site.keys_avoid if name not in aloft)})
        for site in network.sites
        if site.kind != "satellite"
    )
    return Network.model_validate({**fields, "sites": sites, "links": network.described_links, "downlinks": ()})


def by_heading(network: Network) -> Mapping[str, tuple[NodeId, ...]]:
    """Return the sites under each heading, in the file's order; ``beijing-ring-more`` is one with ``beijing``."""
    headings = [site.counted_as for site in network.sites if site.counted_as]
    groups: dict[str, list[NodeId]] = {}
    for site in network.sites:
        if site.counted_as:
            shorter = [other for other in headings if site.counted_as.startswith(f"{other}-")]
            groups.setdefault(min([site.counted_as, *shorter], key=len), []).append(site.node)
    return {heading: tuple(nodes) for heading, nodes in groups.items()}


def under_heading(network: Network, heading: str) -> Network:
    """Return the part of a network that is counted under a heading; raises ConfigurationError for an unknown one."""
    groups = by_heading(network)
    if heading not in groups:
        raise ConfigurationError(
            f"nothing in {network.name!r} is counted as {heading!r}", remedy=nearest(heading, groups)
        )
    nodes = groups[heading]
    if len(nodes) < 2:
        raise ConfigurationError(f"only one site is counted as {heading!r}", remedy=nearest("", groups))
    return extract_of(network, nodes).model_copy(update={"title": f"{network.title or network.name}: {heading}"})
