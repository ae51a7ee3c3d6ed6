"""What people see of a running network that is too large for a line per door: its cities."""

from __future__ import annotations

from collections import Counter

from qanat.apps.bootstrap import Service
from qanat.apps.cli.presentation import RunView
from qanat.apps.cli.service_record import SERVICE_FILE

NO_ROUTER = "elsewhere"


def show_cities(view: RunView, service: Service) -> None:
    """Print a row per router, that is per city: its sites, their applications, and the ports of their doors."""
    network = service.network
    city_of = {site.node: site.router or NO_ROUTER for site in network.sites}
    sites = Counter(city_of.values())
    apps = Counter(city_of[network.site_of(sae).node] for sae in network.saes)
    ports: dict[str, list[int]] = {}
    for node, port in service.door_ports.items():
        ports.setdefault(city_of[node], []).append(port)
    rows = [(city, str(sites[city]), str(apps[city]), spans(ports.get(city, []))) for city in sites]
    view.show_table(
        "Doors (ETSI GS QKD 014, mutual TLS), each opened when it is first called",
        ("city", "sites", "applications", "ports"),
        [*rows, ("all", str(len(network.sites)), str(len(network.applications)), str(len(service.door_ports)))],
    )
    view.say(f"every door, certificate and key manager: {service.place.folder / SERVICE_FILE}, or --json")


def spans(numbers: list[int]) -> str:
    """Return numbers as spans: 1-3, 7."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)
