"""Networks by path or by packaged name."""

from __future__ import annotations

from pathlib import Path

from qanat.ground.data import list_names, read_text
from qanat.ground.errors import ConfigurationError, NetworkFileError
from qanat.ground.network import Network, parse_network
from qanat.quantum_layer.forecast import link_forecast


def load_network(name: str) -> Network:
    """Return the network in the file ``name``, or the packaged one of that name; every link's system is known, and
    files that a file names are looked for beside it."""
    path, folder = Path(name), ""
    if path.suffix in (".yaml", ".yml") or path.exists():
        try:
            text, folder = path.read_text(encoding="utf-8"), str(path.absolute().parent)
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigurationError(f"cannot read {name}: {fault}", remedy="name a network file") from None
    elif name in (packaged := list_names("networks", ".yaml")):
        text = read_text("networks", f"{name}.yaml")
    else:
        raise ConfigurationError(f"no network {name!r}", remedy=f"name a file, or one of: {', '.join(packaged)}")
    network = parse_network(text, source=name, folder=folder)
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
