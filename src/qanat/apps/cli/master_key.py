"""``qanat node master-key``: a master key in a hardware module is made, and stores come under it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from qanat.adapters.encryption import MASTER_KEY_VARIABLE, find_master_key
from qanat.adapters.folder_lock import held
from qanat.adapters.private_files import destroy_private, make_private_folder, write_private
from qanat.adapters.sqlite.rewrapping import does_open, rewrap
from qanat.adapters.system import SystemEntropy
from qanat.adapters.token_key import TokenKey
from qanat.adapters.token_uri import PIN_VARIABLE, TokenUri, read_token_uri
from qanat.apps.cli.processes import named_deployment, workplace_of
from qanat.apps.site import LOCK_PATIENCE_S
from qanat.apps.workplace import Workplace
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId

AT_WORK = "stop the process that runs this site (`qanat up` or `qanat node`), then ask again"


def run_make(uri: str, *, as_json: bool) -> int:
    """Have the token that ``uri`` names make the key. Returns 0; raises ConfigurationError."""
    named = _without_pin(uri)
    TokenKey(named, os.environ).make()
    if as_json:
        print(json.dumps({"made": str(named)}))
    else:
        print(
            f"the {named.title} is made; it cannot leave the token, and whoever loses it loses the keys",
            file=sys.stderr,
        )
        print("bring stores under it: qanat node master-key move URI NETWORK SITE", file=sys.stderr)
    return 0


def run_move(
    uri: str, name: str | None, sites: Sequence[str], *, config: Path | None, data: Path | None, as_json: bool
) -> int:
    """Bring the stores of sites that do not run under the key that ``uri`` names. Returns 0.

    Sites: those named, or the one of ``config``. One without a store gets the name of its key alone. May be repeated
    after a crash. Raises ConfigurationError, UnknownNode, StoreFailed.
    """
    named = _without_pin(uri)
    deployment = named_deployment(name, config)
    network, place = deployment.network, workplace_of(deployment, data)
    nodes = [network.site(NodeId(site)).node for site in sites or ([deployment.site] if deployment.site else [])]
    if not nodes:
        raise ConfigurationError("no site is named", remedy="name the sites whose stores are to come under the key")
    key = TokenKey(named, os.environ)
    key.try_out()  # one that cannot be used changes nothing
    moved = {node: _move(place, node, key) for node in nodes}
    if as_json:
        print(json.dumps({"master_key": str(named), "rewrapped": moved}))
        return 0
    for node, count in moved.items():
        print(f"{node}: {count} keys rewrapped; {place.own_master_key(node)} names the {named.title}", file=sys.stderr)
    if os.environ.get(MASTER_KEY_VARIABLE):
        print(f"take {MASTER_KEY_VARIABLE} out of the environment before the start: it goes first", file=sys.stderr)
    if place.master_key.exists():
        print(f"{place.master_key} stays for other sites; remove it when there are none", file=sys.stderr)
    return 0


def _move(place: Workplace, node: NodeId, key: TokenKey) -> int:
    store, own = place.store(node), place.own_master_key(node)
    make_private_folder(place.site(node))
    with held(place.site(node), remedy=AT_WORK, patience_s=LOCK_PATIENCE_S):
        count = 0
        if store.is_file() and not does_open(store, key):
            if not place.master_key_of(node).exists() and not os.environ.get(MASTER_KEY_VARIABLE):
                raise ConfigurationError(
                    f"the key store {store} is there, and its master key {own} is not",
                    remedy="put the master key back, so that what it wraps can be rewrapped",
                )
            entropy = SystemEntropy()
            old = find_master_key(place.master_key_of(node), environment=os.environ, entropy=entropy)
            count = rewrap(store, old=old, new=key, entropy=entropy)
        # only now that the store is another key's for good; a crash between these two is mended by a second call
        destroy_private(own)
        write_private(own, f"{key.uri}\n".encode())
    return count


def _without_pin(uri: str) -> TokenUri:
    named = read_token_uri(uri)
    if named.pin_value is not None:
        raise ConfigurationError(
            "a PIN on the command line can be seen by every user of this machine",
            remedy=f"name a file of mode 0600 as pin-source, or set {PIN_VARIABLE} (and change the PIN that was seen)",
        )
    return named
