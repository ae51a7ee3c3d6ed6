"""Networks by path or by packaged name, and what their files may name: systems, telescopes, elements of satellites."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qanat.ground.data import list_names, read_text
from qanat.ground.errors import ConfigurationError, NetworkFileError
from qanat.ground.network import Network, examined
from qanat.ground.network.names import nearest
from qanat.ground.network.wiring import Contradiction
from qanat.physics.systems import SATELLITE_SYSTEMS, SYSTEMS


def load_network(name: str) -> Network:
    """Return the network in the file ``name``, or the packaged one of that name: whatever it names is known here, and
    files that it names are looked for beside it.

    Raises NetworkFileError with the line of what is wrong, ConfigurationError for a file that cannot be read.
    """
    network, faults = examine_network(name)
    if faults:
        raise NetworkFileError.of_all(faults)
    return network


def examine_network(name: str) -> tuple[Network, tuple[NetworkFileError, ...]]:
    """Return a network as ``load_network`` does, and what is wrong with it as ``ground.network.examined`` does."""
    path, folder = Path(name), ""
    if path.suffix in (".yaml", ".yml") or path.exists():
        text, folder = text_of(path, remedy="name a network file"), str(path.absolute().parent)
    elif name in (packaged := list_names("networks", ".yaml")):
        text = read_text("networks", f"{name}.yaml")
    else:
        raise ConfigurationError(f"no network {name!r}", remedy=f"name a file, or one of: {', '.join(packaged)}")
    return examined(text, source=name, folder=folder, more=_unknown)


def text_of(path: Path, *, remedy: str) -> str:
    """Return the text of a file; raises ConfigurationError for one that cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as fault:
        raise ConfigurationError(f"cannot read {path}: {fault}", remedy=remedy) from None
    except UnicodeDecodeError as fault:
        line = fault.object[: fault.start].count(b"\n") + 1
        raise ConfigurationError(
            f"cannot read {path}: line {line} has letters that are not UTF-8",
            remedy="save the file as UTF-8, which editors offer beside the name of a file",
        ) from None


def elements_text(name: str) -> str:
    """Return the text of a file of elements; raises ConfigurationError."""
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "it is no text"
        raise ConfigurationError(
            f"cannot read the elements {name!r}: {why}",
            remedy="name a file that is there, write the two lines into the network file, or name a packaged set: "
            + ", ".join(list_names("orbits", ".tle")),
        ) from None


def _unknown(network: Network) -> Iterator[Contradiction]:
    """Yield what a network names and nobody knows."""
    for kind, place, what, system in (
        *(("links", place, f"link {one.name!r}", one.system) for place, one in enumerate(network.described_links)),
        *(("switches", place, f"switch {one.name!r}", one.system) for place, one in enumerate(network.switches)),
    ):
        if system not in SYSTEMS:
            where = (kind, place, "system")
            yield f"{what}: {_no_system(system)}", where, nearest(system, SYSTEMS)
    if network.downlinks or network.satellites:
        from qanat.orbits.network_file import satellite_faults  # SGP4 is for those who have satellites

        yield from satellite_faults(network, read=elements_text)


def _no_system(system: str) -> str:
    if system in SATELLITE_SYSTEMS:
        return f"{system!r} is a satellite's system, and no fibre's"
    return f"there is no QKD system {system!r}"
