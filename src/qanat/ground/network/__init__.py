"""The network as data: sites, QKD links, switches, users; read from YAML, checked, with errors that name the line."""

from qanat.ground.network.classical import ClassicalLink, Router
from qanat.ground.network.description import Application, Network, PreparedKeys, Site, Stock, StockOfPair
from qanat.ground.network.links import Link
from qanat.ground.network.modules import DeviceEnd, Etsi014Modules, KeyFileModules
from qanat.ground.network.reading import examined, parse_network, read_described
from qanat.ground.network.satellites import Downlink
from qanat.ground.network.shares import SharingOfPair, SharingRules
from qanat.ground.network.switched import SwitchJoin
from qanat.ground.network.switches import Port, Switch, Trunk
from qanat.ground.network.writing import network_yaml

__all__ = [
    "Application",
    "ClassicalLink",
    "DeviceEnd",
    "Downlink",
    "Etsi014Modules",
    "KeyFileModules",
    "Link",
    "Network",
    "Port",
    "PreparedKeys",
    "Router",
    "SharingOfPair",
    "SharingRules",
    "Site",
    "Stock",
    "StockOfPair",
    "Switch",
    "SwitchJoin",
    "Trunk",
    "examined",
    "network_yaml",
    "parse_network",
    "read_described",
]
