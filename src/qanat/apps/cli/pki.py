"""``qanat pki``: certificates and initial authentication keys of a network."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from qanat.adapters.initial_keys import forget_initial_key, initial_key_path
from qanat.adapters.pki import MadeParts, create_pki
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.apps.bootstrap import sessions_per_day
from qanat.apps.networks import load_network
from qanat.ground.identifiers import CONTROLLER, STANDBY, LinkId
from qanat.ground.units import format_size

NOTHING = MadeParts(nodes=(), applications=(), links=())
CARRY = "Carry each link's key to its two ends by hand; it is destroyed when a key manager has taken it in."


def run_pki(name: str, *, out: Path, reserve_days: float, new_keys: Sequence[str] = (), as_json: bool) -> int:
    """Write the files, or those that a PKI lacks, and tell where they are. Returns the exit status.

    new_keys: links that get an initial key anew, whatever was made for them before.
    """
    network = load_network(name)
    for link_id in [network.link(LinkId(link)).link_id for link in new_keys]:
        forget_initial_key(out, link_id)
    made = create_pki(
        out,
        network,
        entropy=SystemEntropy(),
        clock=SystemClock(),
        sessions_per_day=sessions_per_day(network),
        reserve_days=reserve_days,
        for_twins=True,
    )
    paths = {link.link_id: initial_key_path(out, link.link_id) for link in network.links}
    keys = {link: path for link, path in paths.items() if path.exists()}  # the others were taken in
    if as_json:
        record = {
            "ca": str(out / "ca.pem"),
            "links": {link: str(path) for link, path in keys.items()},
            "made": asdict(made),
        }
        print(json.dumps(record))
        return 0
    if made == NOTHING:
        print(f"{out}: nothing was missing", file=sys.stderr)
        return 0
    print(f"{out}: made for {_counted(made)}", file=sys.stderr)
    for link in made.links:
        size = format_size(paths[link].stat().st_size)
        print(f"  {paths[link]}  {size} of authentication key for {link}", file=sys.stderr)
    if made.links:
        print(CARRY, file=sys.stderr)
    return 0


def _counted(made: MadeParts) -> str:
    sites = len(set(made.nodes) - {CONTROLLER, STANDBY})
    parts = [(sites, "sites"), (len(made.applications), "applications"), (len(made.links), "links")]
    if made.twins:
        parts.append((len(made.twins), "twins"))
    return ", ".join(f"{count} {what}" for count, what in parts)
