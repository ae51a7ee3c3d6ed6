"""``qanat audit``: check the audit logs of sites, and read them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qanat.adapters.audit_chain import Finding, Head, audit_files, records, verify
from qanat.adapters.audit_log import FOLDER
from qanat.apps.networks import load_network
from qanat.doors.etsi015.notifications import MODULE, notification_of
from qanat.ground.clock import format_utc
from qanat.ground.errors import ConfigurationError
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import EventId, NodeId


def run_verify(folder: Path, *, head: str | None, is_part: bool, as_json: bool) -> int:
    """Check every log in ``folder``. Returns 0 when all hold, 1 when one does not. Raises ConfigurationError."""
    logs = logs_in(folder)
    expected = None if head is None else Head.of_text(head)
    if expected is not None and len(logs) > 1:
        raise ConfigurationError(f"{folder} holds {len(logs)} logs, and a head is of one", remedy="name its folder")
    found = {log: verify(log, expected=expected, is_part=is_part) for log in logs}
    if as_json:
        print(json.dumps({"holds": _all_hold(found.values()), "logs": [_record(*item) for item in found.items()]}))
    else:
        for log, finding in found.items():
            print("\n".join(_words(log, finding)))
    return 0 if _all_hold(found.values()) else 1


@dataclass(frozen=True, slots=True)
class LineFilter:
    """Which lines are wanted: those that fit all of it. ``words`` must stand in the line. ``since``: a time in ISO
    8601, UTC unless it says otherwise. ``last``: so many of them, the newest; None: all."""

    kinds: Sequence[str] = ()
    words: Sequence[str] = ()
    since: str | None = None
    last: int | None = None


def run_show(folder: Path, wanted: LineFilter, *, as_json: bool) -> int:
    """Print the wanted lines of every log in ``folder``. Returns 0; raises ConfigurationError for what is no time."""
    for row in _wanted(folder, wanted):
        print(json.dumps(row) if as_json else _line(row))
    return 0


def run_notifications(folder: Path, wanted: LineFilter, *, network_name: str) -> int:
    """Print what a controller above would be told of the wanted lines (ETSI GS QKD 015), one JSON object a line; lines
    that the standard has nothing for are left out. Returns 0."""
    network = load_network(network_name)
    for row in _wanted(folder, wanted):
        is_event = row.get("kind") in set(EventKind)  # the log has lines of its own besides
        if is_event and (found := notification_of(network, _event(row))) is not None:
            name, content = found
            print(json.dumps({"utc": row.get("utc"), f"{MODULE}:{name.value}": content}))
    return 0


def _event(row: Mapping[str, Any]) -> Event:
    """Return the event of a line, as far as its notification goes."""
    return Event(
        id=EventId(str(row.get("event", ""))),
        cause=None,
        request_id=None,
        node=NodeId(str(row.get("node", ""))),
        monotonic_s=0.0,
        utc_s=0.0,
        kind=EventKind(str(row["kind"])),
        data=row.get("data") or {},
    )


def _wanted(folder: Path, wanted: LineFilter) -> list[dict[str, object]]:
    begin = None if wanted.since is None else _utc_text(wanted.since)
    rows = sorted(
        _matching(logs_in(folder), wanted.kinds, wanted.words, begin), key=lambda row: str(row.get("utc", ""))
    )
    return rows if wanted.last is None else rows[-wanted.last :] if wanted.last else []


def logs_in(folder: Path) -> list[Path]:
    """Return the audit folders: ``folder`` itself, that of a site, or those of all sites in a data folder."""
    for found in ([folder], [folder / FOLDER], sorted(folder.glob(f"*/{FOLDER}"))):
        logs = [path for path in found if any(path.glob("audit-*.jsonl"))]
        if logs:
            return logs
    audit_files(folder)  # raises, with the remedy
    return []


def _utc_text(since: str) -> str:
    """Return a time as the lines of the log have it, which sort as times do."""
    try:
        moment = datetime.datetime.fromisoformat(since)
    except ValueError:
        raise ConfigurationError(
            f"{since!r} is no time", remedy="write it as 2026-01-31 or 2026-01-31T12:00, in UTC"
        ) from None
    return format_utc((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp())


def _all_hold(findings: Iterable[Finding]) -> bool:
    return all(finding.bad is None for finding in findings)


def _record(log: Path, finding: Finding) -> dict[str, object]:
    return {"folder": str(log), "head": finding.head.text, "holds": finding.bad is None} | {
        name: value for name, value in asdict(finding).items() if name != "head"
    }


def _words(log: Path, finding: Finding) -> Iterator[str]:
    if finding.bad is not None:
        where = f"{finding.bad.file}, line {finding.bad.line}" if finding.bad.line else finding.bad.file
        yield f"{log}: DOES NOT HOLD: {where} {finding.bad.why}"
        yield f"  whole until then: lines {finding.first} to {finding.head.count}"
        return
    yield f"{log}: holds, lines {finding.first} to {finding.head.count} in {finding.num_files} files"
    if finding.num_torn or finding.num_lost:
        yield f"  half-written lines of crashes: {finding.num_torn}; events that a full disk took: {finding.num_lost}"
    yield f"  head {finding.head.text}"


def _matching(
    logs: Sequence[Path], kinds: Sequence[str], words: Sequence[str], since: str | None
) -> Iterator[dict[str, object]]:
    for log in logs:
        for row in records(log):
            fits = (not kinds or row.get("kind") in kinds) and (since is None or str(row.get("utc", "")) >= since)
            if fits and all(word in json.dumps(row) for word in words):
                yield row


def _line(row: dict[str, object]) -> str:
    return f"{row.get('n')}  {row.get('utc', '')}  {row.get('node')}  {row.get('kind')}  {json.dumps(row.get('data'))}"
