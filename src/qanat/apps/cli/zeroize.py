"""``qanat node zeroize``: destroy all keys of sites that do not run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from qanat.adapters.audit_log import FOLDER as AUDIT_FOLDER
from qanat.adapters.audit_log import AuditLog
from qanat.adapters.encryption import named_in_token
from qanat.adapters.folder_lock import held
from qanat.adapters.initial_keys import forget_initial_key
from qanat.adapters.sqlite.zeroization import Zeroized, zeroize
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.adapters.token_key import TokenKey
from qanat.apps.cli.processes import named_deployment, workplace_of
from qanat.apps.event_log import EventLog
from qanat.apps.site import LOCK_PATIENCE_S
from qanat.apps.workplace import Workplace
from qanat.ground.errors import ConfigurationError
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network
from qanat.ground.tracing import EventRecorder

WORD = "zeroize"
NEXT = (
    "Both ends of {links} need new initial keys. `qanat up` makes and gives them at its next start. Sites by "
    "themselves: `qanat pki NETWORK --out FOLDER {wishes}`, then bring each to both ends."
)


@dataclass(frozen=True, slots=True)
class ZeroizeWish:
    """How stores are to be zeroized: without asking, with their master keys in tokens, telling in JSON."""

    yes: bool
    with_token_key: bool
    as_json: bool


def run_zeroize(
    name: str | None, sites: Sequence[str], *, config: Path | None, data: Path | None, wish: ZeroizeWish
) -> int:
    """Zeroize the stores of ``sites`` (the one that ``config`` is for, or all that have one, when none is named).

    Returns 0 when all are.

    Raises ConfigurationError: nothing there, a site that runs, or no confirmation; with the token's key: no site has
    one, or its token does not answer, before anything is destroyed; UnknownNode.
    """
    deployment = named_deployment(name, config)
    network, place = deployment.network, workplace_of(deployment, data)
    sites = sites or ([deployment.site] if deployment.site else [])
    nodes = [network.site(NodeId(site)).node for site in sites] or [
        node for node in network.nodes if place.store(node).exists()
    ]
    if not nodes:
        raise ConfigurationError(f"no site has a key store in {place.folder}", remedy="name the folder with --data")
    keys = _token_keys(nodes, place) if wish.with_token_key else {}
    if not wish.yes:
        _ask(nodes, place, [key.uri.title for key in keys.values()])
    rows = {node: _zeroize(network, node, place) for node in nodes}
    for key in keys.values():
        key.destroy()
    if wish.as_json:
        told = {node: asdict(row) for node, row in rows.items()}
        print(json.dumps({"zeroized": told} | ({"token_keys": list(keys)} if wish.with_token_key else {})))
    else:
        for node, row in rows.items():
            print(f"{node}: {_what_is_gone(row)}", file=sys.stderr)
        for key in keys.values():
            print(f"the {key.uri.title} is gone: make another of its name before the next start,", file=sys.stderr)
            print(f"  qanat node master-key make '{key.uri}'", file=sys.stderr)
        links = dict.fromkeys(link.link_id for node in nodes for link in network.links_of(node))
        print(
            NEXT.format(links=", ".join(links), wishes=" ".join(f"--new-key {link}" for link in links)), file=sys.stderr
        )
    return 0


def _what_is_gone(row: Zeroized) -> str:
    if row.num_bits is None:
        return "its key store was damaged; the file is overwritten and removed, with all that it held"
    return f"{row.num_keys} keys and {row.num_bits:,} bits of link key are gone"


def _token_keys(nodes: Sequence[NodeId], place: Workplace) -> dict[str, TokenKey]:
    """Return the master keys of sites that are in tokens, by their URIs, each seen to be there and to be usable."""
    found = [named_in_token(place.master_key_of(node), environment=os.environ) for node in nodes]
    keys = {str(key.uri): key for key in found if key is not None}
    if not keys:
        raise ConfigurationError("no master key of these sites is in a token", remedy="leave --token-key out")
    for key in keys.values():
        key.try_out()
    return keys


def _ask(nodes: Sequence[NodeId], place: Workplace, token_keys: Sequence[str]) -> None:
    """Have the word typed; without a person at the keyboard nothing is destroyed."""
    if not sys.stdin.isatty():
        raise ConfigurationError("nobody is there to confirm it", remedy="say --yes when it is meant")
    typer.echo(f"All keys of {', '.join(nodes)} in {place.folder} will be destroyed, for good.", err=True)
    for title in token_keys:
        typer.echo(f"So will be the {title}, with all that other stores have under it.", err=True)
    if typer.prompt(f"Type {WORD} to go on", err=True, default="", show_default=False) != WORD:
        raise ConfigurationError("it was not confirmed; nothing was destroyed", remedy=f"type {WORD}")


def _zeroize(network: Network, node: NodeId, place: Workplace) -> Zeroized:
    """Zeroize one store, say so in the site's log, and let the next start make new initial keys for its links."""
    if not place.store(node).is_file():
        raise ConfigurationError(f"site {node!r} has no key store in {place.folder}", remedy="name the right folder")
    remedy = "stop the process that runs this site (`qanat up` or `qanat node`), then ask again"
    with held(place.site(node), remedy=remedy, patience_s=LOCK_PATIENCE_S):
        gone = zeroize(place.store(node))
        audit = AuditLog(place.site(node) / AUDIT_FOLDER, node=node)
        with EventLog(path=place.site(node) / "events.jsonl") as log, audit:
            log.listen(audit)
            recorder = EventRecorder(node=node, clock=SystemClock(), entropy=SystemEntropy(), sink=log)
            recorder.record(EventKind.STORE_ZEROIZED, **asdict(gone))
        for link in network.links_of(node):
            forget_initial_key(place.pki, link.link_id)
    return gone
