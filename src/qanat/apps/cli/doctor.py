"""``qanat doctor``: what is installed, what this machine can do, which doors answer."""

from __future__ import annotations

import json
import sqlite3
import ssl
from pathlib import Path

from qanat import __version__
from qanat.apps import machine
from qanat.apps.cli.presentation import people_console, show_table
from qanat.apps.cli.up import SERVICE_FILE
from qanat.ground.data import list_names


def run_doctor(*, data: Path | None, as_json: bool) -> int:
    """Examine this installation; returns 1 when something that was asked for does not answer."""
    findings: dict[str, str] = {
        "qanat": __version__,
        **machine.versions(),
        "sqlite": sqlite3.sqlite_version,
        "tls": ssl.OPENSSL_VERSION,
        "machine": machine.machine(),
        "kernel cache": kernel_cache(),
        "networks": ", ".join(list_names("networks", ".yaml")),
    }
    doors = {} if data is None else asked_doors(data)
    if as_json:
        print(json.dumps({**findings, "doors": doors}))
    else:
        rows = [*findings.items(), *((f"door of {name}", answer) for name, answer in doors.items())]
        show_table(people_console(), "This installation", ("what", "found"), rows)
    return 0 if all(answer.startswith("answers") for answer in doors.values()) else 1


def kernel_cache() -> str:
    """Return whether compiled kernels lie beside their sources."""
    import qanat.kernels

    folder = Path(qanat.kernels.__path__[0]) / "__pycache__"
    compiled = list(folder.glob("*.nbi"))
    return f"{len(compiled)} compiled kernels" if compiled else "empty: the first run compiles (about half a minute)"


def asked_doors(data: Path) -> dict[str, str]:
    """Ask every application's door of the network that runs on ``data`` for its status; returns node -> answer."""
    from qanat.adapters.tls import TlsFiles
    from qanat.client import Client
    from qanat.ground.errors import QanatError
    from qanat.ground.identifiers import SaeId

    note = data / SERVICE_FILE
    if not note.exists():
        return {"-": f"no network is up on {data}: start one with `qanat up --data {data}`"}
    service = json.loads(note.read_text(encoding="utf-8"))
    applications = service["applications"]
    answers: dict[str, str] = {}
    for name, app in applications.items():
        peers = [other["sae"] for other in applications.values() if other["sae"] != app["sae"]]
        files = TlsFiles(certificate=Path(app["certificate"]), key=Path(app["key"]), ca=Path(service["ca"]))
        try:
            with Client(app["url"], tls=files, sae=SaeId(app["sae"])) as client:
                status = client.get_status(SaeId(peers[0]))
            answers[name] = f"answers at {app['url']}: {status.stored_key_count} keys in stock"
        except QanatError as fault:
            answers[name] = f"does not answer at {app['url']}: {fault}"
    return answers
