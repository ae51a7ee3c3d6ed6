"""The network as data: sites, QKD links, applications; read from YAML, checked, with errors that name the line."""

from qanat.ground.network.description import Application, Link, Network, PreparedKeys, Site, Stock, StockOfPair
from qanat.ground.network.reading import parse_network

__all__ = ["Application", "Link", "Network", "PreparedKeys", "Site", "Stock", "StockOfPair", "parse_network"]
