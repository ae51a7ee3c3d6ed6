"""A network in other programs' formats: GeoJSON (out), GraphML and the JSON of simulators (out and in)."""

from qanat.ground.network.exchange.geojson import geojson
from qanat.ground.network.exchange.graphml import from_graphml, graphml
from qanat.ground.network.exchange.sequence_json import from_simulator_json, sequence_json

__all__ = ["from_graphml", "from_simulator_json", "geojson", "graphml", "sequence_json"]
