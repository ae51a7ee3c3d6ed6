"""Small networks for tests of planning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qanat.ground.identifiers import LinkId
from qanat.ground.network import Application, Link, Network, Port, Site, Switch


def network_of(
    kinds: Mapping[str, str],
    links: Sequence[tuple[str, str, float]],
    *,
    switches: Mapping[str, Mapping[str, float]] | None = None,
    equipment: Mapping[str, str] | None = None,
    direct: Sequence[str] = (),
    apps: Sequence[str] = (),
    heading: str = "",
    pairs: int = 1,
) -> Network:
    """Return a network of sites (name -> kind), links (ends and loss in dB) and switches (site -> loss of its port)."""
    return Network(
        format="qanat-network/1",
        name="n",
        sites=tuple(
            Site.model_validate(
                {
                    "name": name,
                    "kind": kind,
                    "latitude_deg": 40 + 0.01 * k,
                    "longitude_deg": 116,
                    "equipment": (equipment or {}).get(name, "both"),
                    "direct_keys_only": name in direct,
                }
            )
            for k, (name, kind) in enumerate(kinds.items())
        ),
        links=tuple(
            Link(
                name=f"l{k}",
                transmitter=a,
                receiver=b,
                system="backbone-625",
                loss_db=loss_db,
                length_km=50,
                counted_as=heading,
                pairs=pairs,
            )
            for k, (a, b, loss_db) in enumerate(links)
        ),
        switches=tuple(
            Switch(
                name=name,
                latitude_deg=40,
                longitude_deg=116,
                system="metro-40-i",
                reconfiguration_s=0.0,
                ports=tuple(Port(site=site, loss_db=loss_db, length_km=5) for site, loss_db in ports.items()),
            )
            for name, ports in (switches or {}).items()
        ),
        applications=tuple(Application(name=f"at-{site}", site=site) for site in apps),
    )


def rates_of(network: Network, rates: Sequence[float]) -> dict[LinkId, float]:
    """Return rates of a network's links, in their order."""
    return {link.link_id: rate for link, rate in zip(network.links, rates, strict=True)}
