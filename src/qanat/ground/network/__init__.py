"""The network as data: sites, QKD links, applications; read from YAML, checked, with errors that name the line."""

from qanat.ground.network.description import Application, Link, Network, PreparedKeys, Site, Stock, StockOfPair
from qanat.ground.network.modules import DeviceEnd, Etsi014Modules, KeyFileModules
from qanat.ground.network.reading import parse_network, read_described

__all__ = [
    "Application",
    "DeviceEnd",
    "Etsi014Modules",
    "KeyFileModules",
    "Link",
    "Network",
    "PreparedKeys",
    "Site",
    "Stock",
    "StockOfPair",
    "parse_network",
    "read_described",
]
