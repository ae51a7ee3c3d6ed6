"""``qanat pki revoke`` and ``qanat pki renew``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from qanat.adapters.renewal import renew, revoke
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.apps.deployment import load_deployment

CARRY = "Carry {crl} to every site beside its ca.pem; running doors take it up within seconds."


def run_revoke(names: Sequence[str], *, pki: Path, as_json: bool) -> int:
    """Take back all certificates of ``names``. Returns 0. Raises ConfigurationError."""
    revoked = revoke(pki, names, clock=SystemClock(), entropy=SystemEntropy())
    if as_json:
        print(json.dumps({"crl": str(pki / "crl.pem"), "revoked": revoked}))
        return 0
    for name, serials in revoked.items():
        what = "1 certificate is" if len(serials) == 1 else f"{len(serials)} certificates are"
        print(f"{name}: {what} revoked from now on", file=sys.stderr)
    print(CARRY.format(crl=pki / "crl.pem"), file=sys.stderr)
    return 0


def run_renew(names: Sequence[str], *, pki: Path, config: Path | None = None, as_json: bool) -> int:
    """Make new certificates for ``names``; they name the hosts that the old ones name, or with ``config`` those of
    this deployment file. Returns 0. Raises ConfigurationError."""
    hosts = None if config is None else load_deployment(config).door_hosts
    paths = renew(pki, names, clock=SystemClock(), entropy=SystemEntropy(), hosts=hosts)
    if as_json:
        print(json.dumps({"certificates": [str(path) for path in paths]}))
        return 0
    for path in paths:
        print(f"{path}: new, with a new key beside it; running doors and lines take it up within seconds")
    return 0
