"""``qanat pki``: certificates and initial authentication keys of a network."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from qanat.adapters.authority import names_host
from qanat.adapters.initial_keys import forget_initial_key, initial_key_path
from qanat.adapters.pki import MadeParts, NodeFiles, create_pki
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.apps.bootstrap import sessions_per_day
from qanat.apps.cli.processes import named_deployment
from qanat.ground.identifiers import CONTROLLER, STANDBY, LinkId, NodeId
from qanat.ground.units import format_size

NOTHING = MadeParts(nodes=(), applications=(), links=())
CARRY = "Carry each link's key to its two ends by hand; it is destroyed when a key manager has taken it in."


def run_pki(
    name: str | None,
    *,
    config: Path | None = None,
    out: Path,
    reserve_days: float,
    new_keys: Sequence[str] = (),
    as_json: bool,
) -> int:
    """Write the files, or those that a PKI lacks, and tell where they are. Returns the exit status.

    config: a deployment file, in place of the network's ``name``; certificates name the hosts of doors in it.
    new_keys: links that get an initial key anew, whatever was made for them before.
    """
    deployment = named_deployment(name, config)
    network, hosts = deployment.network, deployment.door_hosts
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
        hosts=hosts,
    )
    paths = {link.link_id: initial_key_path(out, link.link_id) for link in network.links}
    keys = {link: path for link, path in paths.items() if path.exists()}  # the others were taken in
    _warn_of_nameless(out, hosts, config)
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


def _warn_of_nameless(pki: Path, hosts: Mapping[NodeId, str], config: Path | None) -> None:
    """Tell of certificates that were there before, and do not name the hosts of their sites' doors."""
    late = [node for node, host in hosts.items() if not names_host(NodeFiles.of(pki, node).certificate, host)]
    if late:
        command = shlex.join(["qanat", "pki", "renew", *late, "--out", str(pki), "--config", str(config)])
        print(f"made before, without the hosts of their doors: {', '.join(late)}; `{command}`", file=sys.stderr)


def _counted(made: MadeParts) -> str:
    sites = len(set(made.nodes) - {CONTROLLER, STANDBY})
    parts = [(sites, "sites"), (len(made.applications), "applications"), (len(made.links), "links")]
    if made.twins:
        parts.append((len(made.twins), "twins"))
    return ", ".join(f"{count} {what}" for count, what in parts)
