"""A small network with a satellite, as a file: a user beyond its stations' fibres, and two at home."""

from __future__ import annotations

from pathlib import Path

TEXT = """format: qanat-network/1
name: by-satellite
sites:
  - {name: west, kind: user, latitude_deg: 43.6, longitude_deg: 87.3}
  - {name: nanshan, kind: relay, latitude_deg: 43.4753, longitude_deg: 87.1775}
  - {name: micius, kind: satellite, elements: micius}
  - {name: xinglong, kind: relay, latitude_deg: 40.3958, longitude_deg: 117.5775}
  - {name: east, kind: user, latitude_deg: 40.4, longitude_deg: 117.6}
  - {name: far-east, kind: user, latitude_deg: 40.4, longitude_deg: 117.7}
links:
  - {name: west-link, transmitter: west, receiver: nanshan, system: backbone-625, loss_db: 10.3, length_km: 41}
  - {name: east-link, transmitter: east, receiver: xinglong, system: backbone-625, loss_db: 10.3, length_km: 41}
  - {name: far-east-link, transmitter: far-east, receiver: xinglong, system: backbone-625, loss_db: 10.3, length_km: 41}
downlinks:
  - {satellite: micius, station: xinglong, altitude_m: 890}
  - {satellite: micius, station: nanshan, altitude_m: 2080}
applications:
  - {name: alice, site: east}
  - {name: bob, site: far-east}
  - {name: ulan, site: west}
"""


def network_file(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write the network, with texts replaced by others."""
    text = TEXT
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    path = folder / "by-satellite.yaml"
    path.write_text(text, encoding="utf-8")
    return path
