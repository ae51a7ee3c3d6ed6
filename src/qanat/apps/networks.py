"""Networks by path or by packaged name."""

from __future__ import annotations

from pathlib import Path

from qanat.ground.data import list_names, read_text
from qanat.ground.errors import ConfigurationError, NetworkFileError
from qanat.ground.network import Network, parse_network
from qanat.quantum_layer.forecast import link_forecast


def load_network(name: str) -> Network:
    """Return the network in the file ``name``, or the packaged one of that name; every link's system is known."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.exists():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigurationError(f"cannot read {name}: {fault}", remedy="name a network file") from None
    elif name in (packaged := list_names("networks", ".yaml")):
        text = read_text("networks", f"{name}.yaml")
    else:
        raise ConfigurationError(f"no network {name!r}", remedy=f"name a file, or one of: {', '.join(packaged)}")
    network = parse_network(text, source=name)
    for link in network.links:
        try:
            link_forecast(link.system, loss_db=link.loss_db)
        except ConfigurationError as fault:
            lines = text.splitlines()
            line = next((number for number, row in enumerate(lines, 1) if f"system: {link.system}" in row), None)
            raise NetworkFileError(
                f"link {link.name!r}: {fault.message}", source=name, line=line, remedy=fault.remedy
            ) from None
    return network


def load_network_to_run(name: str) -> Network:
    """Return ``load_network(name)``; raises ConfigurationError for one with parts that nothing drives yet."""
    network = load_network(name)
    for what, has_any in (
        ("several pairs of modules on one fibre", any(link.pairs > 1 for link in network.links)),
        ("ground stations that only satellites join", any(site.ground_station for site in network.sites)),
    ):
        if has_any:
            raise ConfigurationError(
                f"{network.name!r} describes {what}, which cannot be run here yet",
                remedy="look at it with `qanat network check`, or run a network without them, such as beijing-shanghai",
            )
    return network
