"""What a network file says of satellites and stations, before any orbit is followed: elements, systems, telescopes.

No compiled loops here, so that whoever reads a network file can ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

from qanat.ground.errors import ConfigurationError
from qanat.ground.network import Downlink, Network, Site
from qanat.ground.network.names import nearest
from qanat.ground.network.wiring import Contradiction
from qanat.orbits.elements import ElementSet, packaged_elements, packaged_names, read_elements
from qanat.physics.source_modes import SOURCE_MODES
from qanat.physics.systems import SATELLITE_SYSTEMS, SYSTEMS
from qanat.physics.telescope import GROUND_TELESCOPES, NANSHAN, GroundTelescope, ground_telescope

ReadElements: TypeAlias = Callable[[str], str]
"""Returns the text of a file of elements."""


def names_a_file(site: Site) -> bool:
    """Return whether a satellite's elements are the name of a file, and neither lines nor a packaged set."""
    return site.elements.lower() not in packaged_names() and "\n" not in site.elements.strip()


def element_set_of(site: Site, *, read: ReadElements | None = None) -> ElementSet:
    """Return a satellite's elements; raises ConfigurationError for those that are wrong, or not one satellite's.

    read: of files; without it, elements are lines or a packaged name.
    """
    if site.elements.lower() in packaged_names():
        return packaged_elements(site.elements.lower())
    text = site.elements
    if names_a_file(site):
        if read is None:
            names = ", ".join(packaged_names())
            raise ConfigurationError(
                f"satellite {site.name!r}: {text!r} is no element set that comes with the package",
                remedy=f"write its two lines, or one of: {names}",
            )
        try:
            text = read(text)
        except ConfigurationError as fault:
            raise ConfigurationError(f"satellite {site.name!r}: {fault.message}", remedy=fault.remedy) from None
    found = read_elements(text, source=f"elements of satellite {site.name!r}")
    if len(found) != 1:
        raise ConfigurationError(
            f"satellite {site.name!r}: elements of {len(found)} satellites", remedy="give those of one"
        )
    return found[0]


def telescope_of(one: Downlink) -> GroundTelescope:
    """Return the telescope of a downlink's station; raises ConfigurationError for a station without one."""
    changes: dict[str, float] = {}
    if one.telescope_m is not None:
        changes["diameter_m"] = one.telescope_m
    if one.z_share is not None:
        changes["p_rectilinear"] = one.z_share
    if one.telescope or one.station in GROUND_TELESCOPES:
        found = ground_telescope(one.optics_of)
    elif len(changes) == 2:
        found = NANSHAN
    else:
        raise ConfigurationError(
            f"downlink {one.name!r}: no optics are known of {one.station!r}",
            remedy="give 'telescope_m' and 'z_share' (Nanshan's optics behind them), or name a 'telescope': "
            + ", ".join(GROUND_TELESCOPES),
        )
    if not changes:
        return found
    origins = {**found.provenance, **dict.fromkeys(changes, "input: the network file")}
    return replace(found, name=one.station, provenance=origins, **changes)


def satellite_faults(network: Network, *, read: ReadElements) -> Iterator[Contradiction]:
    """Yield what is wrong with satellites' elements, and with the names and optics of downlinks.

    read: of files of elements; raises ConfigurationError for one that it cannot read.
    """
    for place, site in enumerate(network.sites):
        if site.kind == "satellite":
            try:
                element_set_of(site, read=read)
            except ConfigurationError as fault:
                yield fault.message, ("sites", place, "elements"), fault.remedy
    for place, one in enumerate(network.downlinks):
        whose = f"downlink {one.name!r}"
        if one.system not in SATELLITE_SYSTEMS:
            what = "a system of fibres" if one.system in SYSTEMS else "and there is no such system"
            where = ("downlinks", place, "system")
            yield f"{whose}: its system is {one.system!r}, {what}", where, nearest(one.system, SATELLITE_SYSTEMS)
        if one.mode not in SOURCE_MODES:
            where = ("downlinks", place, "mode")
            yield f"{whose}: there is no source mode {one.mode!r}", where, nearest(one.mode, SOURCE_MODES)
        if one.telescope and one.telescope.lower() not in GROUND_TELESCOPES:
            where = ("downlinks", place, "telescope")
            yield f"{whose}: there is no telescope {one.telescope!r}", where, nearest(one.telescope, GROUND_TELESCOPES)
            continue
        try:
            telescope_of(one)
        except ConfigurationError as fault:
            yield fault.message, ("downlinks", place), fault.remedy
