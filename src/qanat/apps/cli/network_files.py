"""``qanat network build``, ``import`` and ``export``: networks from shapes, from other programs, and for them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from qanat.apps.networks import load_network, text_of
from qanat.ground.errors import ConfigurationError
from qanat.ground.network import Application, Network, network_yaml
from qanat.ground.network.building import build_network
from qanat.ground.network.exchange import from_graphml, from_simulator_json, geojson, graphml, sequence_json
from qanat.ground.network.second_backbone import with_second_backbone
from qanat.quantum_layer.forecast import link_forecast

WRITERS: Mapping[str, Callable[[Network], str]] = {
    ".geojson": geojson,
    ".graphml": graphml,
    ".json": sequence_json,
    ".yaml": network_yaml,
}
"""By the end of a file's name; ``.json`` is SeQUeNCe's topology."""
READERS = {".graphml": from_graphml, ".json": from_simulator_json}


def run_build(kind: str, *, num_nodes: int, link_km: float, system: str, seed: int) -> int:
    """Print the file of a network of a shape. Returns 0."""
    network = build_network(kind, num_nodes=num_nodes, link_km=link_km, system=system, seed=seed)
    link_forecast(system, loss_db=10.0)  # a system that does not exist is told before a file is written
    seeded = f", seed {seed}" if kind == "random-geometric" else ""
    head = (
        f"A {kind} of {num_nodes} nodes{seeded}, made by `qanat network build`. Places and figures are assumed:\n"
        f"fibre of {link_km:g} km at 0.25 dB per km."
    )
    sys.stdout.write(network_yaml(network, head=head))
    return 0


def run_import(file: Path, *, system: str, with_applications: bool = False) -> int:
    """Print the network that another program's file describes as a network file; with an application at each user's
    site, of the site's name, if asked to. Returns 0."""
    suffix = file.suffix.lower()
    if suffix not in READERS:
        raise ConfigurationError(
            f"{file} is of no format that is read here", remedy=f"let its name end in {' or '.join(READERS)}"
        )
    text = text_of(file, remedy="name a file of text")
    remarks: list[str] = []
    network = READERS[suffix](text, name=file.stem, system=system, source=str(file), remark=remarks.append)
    if with_applications:
        network = _with_applications(network, source=str(file))
    for used in {link.system for link in network.links}:
        link_forecast(used, loss_db=10.0)
    sites, links = (sum(part.assumed for part in parts) for parts in (network.sites, network.links))
    print(
        f"{file}: {len(network.sites)} sites ({sites} of them at assumed places), {len(network.links)} links ({links} "
        f"with assumed figures), {len(network.applications)} applications",
        *remarks,
        sep="\n",
        file=sys.stderr,
    )
    if not network.applications:
        print("no application is in it: add some, or give --applications-at-each-user", file=sys.stderr)
    sys.stdout.write(network_yaml(network, head="\n".join((f"Imported from {file.name}.", *remarks))))
    return 0


def _with_applications(network: Network, *, source: str) -> Network:
    """Return the network with an application at each user's site that has none; raises ConfigurationError where no site
    is a user's."""
    users = [site.name for site in network.sites if site.kind == "user"]
    if not users:
        raise ConfigurationError(
            f"no site of {source} is a user's: each has several links, so it is taken for a relay",
            remedy="leave --applications-at-each-user out, and add applications under 'applications'",
        )
    taken = {app.site for app in network.applications} | {app.name for app in network.applications}
    more = tuple(Application(name=name, site=name) for name in users if name not in taken)
    return network.model_copy(update={"applications": (*network.applications, *more)})


def run_export(name: str, file: Path, *, second_backbone: bool = False) -> int:
    """Write a network into a file of another format, with a second backbone if asked to. Returns 0."""
    suffix = file.suffix.lower()
    if suffix not in WRITERS:
        raise ConfigurationError(
            f"{file} is of no format that can be written here",
            remedy=f"let its name end in one of {', '.join(WRITERS)}",
        )
    network = load_network(name)
    text = WRITERS[suffix](with_second_backbone(network) if second_backbone else network)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as fault:
        raise ConfigurationError(f"cannot write {file}: {fault.strerror}", remedy="name a file that can be") from None
    print(f"{file}: {len(text.encode()):,} bytes", file=sys.stderr)
    if suffix == ".json" and (birds := [site.name for site in network.sites if site.kind == "satellite"]):
        print(f"left out, as SeQUeNCe has no word for satellites: {', '.join(birds)}, and their links", file=sys.stderr)
    return 0
