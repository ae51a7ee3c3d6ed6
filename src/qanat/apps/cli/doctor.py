"""``qanat doctor``: what is installed, what this machine can do, which doors answer."""

from __future__ import annotations

import asyncio
import json
import shlex
import sqlite3
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qanat import __version__
from qanat.adapters.folder_lock import is_held
from qanat.apps import machine
from qanat.apps.cli.doctor_doors import ASLEEP, asked_doors
from qanat.apps.cli.presentation import people_console, show_table
from qanat.apps.cli.service_record import SERVICE_FILE
from qanat.apps.workplace import Workplace
from qanat.ground.data import list_names
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId

IN_ORDER = ("answers", ASLEEP)
MOST_ASLEEP_SHOWN = 12


def run_doctor(*, data: Path | None, config: Path | None = None, site: str | None = None, as_json: bool) -> int:
    """Examine this installation, and a network that is up on ``data``, or this host's part of the deployment in
    ``config``; returns 1 when something of these does not answer or is wrong."""
    findings: dict[str, str] = {
        "qanat": __version__,
        **machine.versions(),
        "sqlite": sqlite3.sqlite_version,
        "tls": ssl.OPENSSL_VERSION,
        "machine": machine.machine(),
        "kernel cache": kernel_cache(),
        "networks": ", ".join(list_names("networks", ".yaml")),
    }
    if site is not None and config is None:
        raise ConfigurationError("--site is of a deployment, and none is named", remedy="name its file with --config")
    if config is not None:
        return _examine_deployment(findings, config, site=site, data=data, as_json=as_json)
    service = None if data is None else running_service(data)
    doors = {} if service is None or data is None else asked_doors(service)
    apart = {} if service is None or data is None else asyncio.run(asked_sites(service, data))
    entropy = None if service is None else service.get("entropy")
    if as_json:
        print(json.dumps({**findings, "doors": doors, "apart": apart, "entropy": entropy}))
    else:
        rows = [*findings.items(), *door_rows(doors)]
        rows += [(f"site {name}, apart", answer) for name, answer in apart.items()]
        rows += [] if entropy is None else [("entropy of the devices", entropy_words(entropy))]
        console = people_console(is_answer=True)
        show_table(console, "This installation", ("what", "found"), rows)
        if entropy is not None and entropy["fault"] is not None:
            console.print(f"alarm: {entropy['fault']}", style="red", soft_wrap=True, markup=False)
            console.print(f"  what to do: {entropy['remedy']}", soft_wrap=True, markup=False)
    all_answer = all(answer.startswith(IN_ORDER) for answer in (*doors.values(), *apart.values()))
    return 0 if all_answer and (entropy is None or entropy["fault"] is None) else 1


def _examine_deployment(
    installation: Mapping[str, str], config: Path, *, site: str | None, data: Path | None, as_json: bool
) -> int:
    from qanat.apps.cli.doctor_deployment import deployment_findings, findings_record, is_in_order, show_findings

    found = deployment_findings(config, site=site, data=data)
    if as_json:
        print(json.dumps({**installation, "deployment": findings_record(found)}))
    else:
        console = people_console(is_answer=True)
        show_table(console, "This installation", ("what", "found"), [*installation.items()])
        show_findings(console, found)
    return 0 if is_in_order(found) else 1


def entropy_words(entropy: Mapping[str, Any]) -> str:
    """Return where a running network's devices take their entropy from, and whether that is in order."""
    if entropy["fault"] is not None:
        return f"{entropy['source']} failed: no link makes key"
    claimed = entropy.get("min_entropy_bits")
    return str(entropy["source"]) if claimed is None else f"{entropy['source']}, {claimed:g} bits claimed per sample"


def kernel_cache() -> str:
    """Return whether compiled kernels lie beside their sources."""
    compiled = machine.num_compiled_kernels()
    return f"{compiled} compiled kernels" if compiled else "empty: the first run compiles (about half a minute)"


def running_service(data: Path) -> dict[str, Any]:
    """Return what the network that runs on ``data`` said of itself; raises ConfigurationError when none does.

    A service that was killed leaves its note behind, but no longer holds the folder.
    """
    note = data / SERVICE_FILE
    if not note.exists() and is_held(data):
        raise ConfigurationError(f"the network on {data} is not up yet", remedy="wait until `qanat up` shows its doors")
    if not note.exists():
        raise ConfigurationError(f"no network is up on {data}", remedy=f"start one with `qanat up --data {data}`")
    found: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
    if not is_held(data):
        raise ConfigurationError(
            f"the service on {data} died (pid {found['pid']}), and its doors with it",
            remedy=f"start it again with `qanat up {found['network']} --data {data}`; keys in its stores are kept",
        )
    return found


async def asked_sites(service: Mapping[str, Any], data: Path) -> dict[str, str]:
    """Knock at every site that runs apart; returns node -> answer."""
    place = Workplace(data.resolve())
    answers: dict[str, str] = {}
    for node, site in service["apart"].items():
        if not await place.answers("transports", NodeId(node), kme=site["kme"]):
            answers[node] = f"does not answer; start it with: {shlex.join(site['command'])}"
        elif not site["answers"]:
            answers[node] = "does not reach its QKD modules, and will try again by itself"
        else:
            answers[node] = "answers"
    return answers


def door_rows(doors: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the rows of doors that people see: sleeping ones, where they are many, are counted."""
    asleep = [name for name, answer in doors.items() if answer.startswith(ASLEEP)]
    counted = asleep if len(asleep) > MOST_ASLEEP_SHOWN else []
    rows = [(f"door of {name}", answer) for name, answer in doors.items() if name not in counted]
    return (
        [*rows, (f"doors of {len(counted)} other sites", f"{ASLEEP}: each opens when it is called")]
        if counted
        else rows
    )
