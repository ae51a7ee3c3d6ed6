"""``qanat doctor --config``: the part of a deployment that belongs on this host, and what it hears of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from qanat.apps.cli.processes import workplace_of
from qanat.apps.deployment import load_deployment
from qanat.apps.host_review import Finding, Party, all_parties, is_here, review_host
from qanat.apps.place_review import PlaceReview
from qanat.ground.identifiers import NodeId

IN_ORDER = ("well", "look")
COLOURS = {"well": "green", "look": "yellow", "down": "red", "fault": "red"}


def deployment_findings(config: Path, *, site: str | None, data: Path | None) -> list[Finding]:
    """Return what was found. Of this host are the processes whose private keys lie here, and ``site``.

    Raises ConfigurationError for a deployment file or a data folder that is none, UnknownNode.
    """
    deployment = load_deployment(config)
    place = workplace_of(deployment, data)
    named = site or deployment.site
    if named:
        deployment.network.site(NodeId(named))
    parties = list(all_parties(deployment, place))
    here = [one for one in parties if is_here(one, place) or (one.kind == "site" and one.name == named)]
    others = [one for one in parties if one not in here]
    found = [_what_is_here(here, place.pki)]
    found += review_host(deployment, place, here)
    found += PlaceReview(deployment, place, here=here, others=others).findings()
    return found


def _what_is_here(here: Sequence[Party], pki: Path) -> Finding:
    if here:
        return Finding("processes of this host", "well", ", ".join(party.title for party in here))
    remedy = "bring a process's certificate and key there, or name the folder with --data, the site with --site"
    return Finding("processes of this host", "fault", f"none: no private key of any lies in {pki}", remedy)


def is_in_order(findings: Sequence[Finding]) -> bool:
    """Return whether everything runs, and nothing is wrong."""
    return all(finding.state in IN_ORDER for finding in findings)


def show_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print what was looked at, line by line, and what to do where it is not well."""
    console.print("This deployment\n")
    for one in findings:
        state = f"[{COLOURS[one.state]}]{one.state:5}[/]"
        console.print(f" {state}  {escape(one.subject)}: {escape(one.found)}", soft_wrap=True)
        if one.remedy:
            console.print(f"        what to do: {one.remedy}", soft_wrap=True, markup=False)


def findings_record(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Return the findings as JSON has them."""
    return [asdict(finding) for finding in findings]
