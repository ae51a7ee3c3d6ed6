"""``qanat pki``: certificates and initial authentication keys of a network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from qanat.adapters.initial_keys import initial_key_path
from qanat.adapters.pki import create_pki
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.apps.bootstrap import sessions_per_day
from qanat.apps.networks import load_network
from qanat.ground.units import format_size


def run_pki(name: str, *, out: Path, reserve_days: float, as_json: bool) -> int:
    """Write the files and tell where they are. Returns the exit status."""
    network = load_network(name)
    create_pki(
        out,
        network,
        entropy=SystemEntropy(),
        clock=SystemClock(),
        sessions_per_day=sessions_per_day(network),
        reserve_days=reserve_days,
    )
    keys = {link.link_id: initial_key_path(out, link.link_id) for link in network.links}
    if as_json:
        print(json.dumps({"ca": str(out / "ca.pem"), "links": {link: str(path) for link, path in keys.items()}}))
        return 0
    print(f"{out}: CA, {len(network.nodes)} sites, {len(network.applications)} applications", file=sys.stderr)
    for link, path in keys.items():
        print(f"  {path}  {format_size(path.stat().st_size)} of authentication key for {link}", file=sys.stderr)
    print(
        "Carry each link's key to its two ends by hand; it is destroyed when a key manager has taken it in.",
        file=sys.stderr,
    )
    return 0
