"""Writing a network as YAML text that people can read: one line for each site, link or application."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import yaml

from qanat.ground.network.description import Network

_LISTS = (
    *("sites", "links", "switches", "trunks", "routers", "classical_links"),
    *("downlinks", "applications", "prepared_keys"),
)
_PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z0-9_.()/ -]*[A-Za-z0-9_.()/-])?")
_NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Plain words that YAML 1.1 reads as something else."""


def network_yaml(network: Network, *, head: str = "", comments: Mapping[tuple[str, str], str] | None = None) -> str:
    """Return the text of a network file; reading it gives an equal network.

    head: a comment for the top of the file. comments: comments before single entries, by (list, name), such as
    ``("sites", "jinan")``. Comments come without their signs; what has its default value is left out.
    """
    return "\n".join(_lines(network, head, comments or {})) + "\n"


def _lines(network: Network, head: str, comments: Mapping[tuple[str, str], str]) -> Iterator[str]:
    yield from _comment(head, "")
    record = network.model_dump(mode="json", exclude_defaults=True)
    record["links"] = [link.model_dump(mode="json", exclude_defaults=True) for link in network.described_links]
    for field in ("format", "name", "title"):
        if field in record:
            yield f"{field}: {_flow(record[field])}"
    for field in _LISTS:
        if record.get(field):
            yield ""
            yield f"{field}:"
            for entry in record[field]:
                yield from _comment(comments.get((field, str(entry.get("name"))), ""), "  ")
                yield from _entry(entry)
    for field in ("stock", "sharing"):
        if record.get(field) is not None:
            yield ""
            yield f"{field}: {_flow(record[field])}"


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in text.splitlines():
        yield f"{indent}# {line}".rstrip()


def _entry(entry: Mapping[str, object]) -> Iterator[str]:
    """One line, or one for each field and each part of a list of parts."""
    parts = {field for field, value in entry.items() if isinstance(value, list) and isinstance(value[0], dict)}
    if not parts:
        yield f"  - {_flow(entry)}"
        return
    for number, (field, value) in enumerate(entry.items()):
        start = "  - " if number == 0 else "    "
        if field not in parts:
            yield f"{start}{field}: {_flow(value)}"
        else:
            yield f"{start}{field}:"
            assert isinstance(value, list)
            yield from (f"      - {_flow(part)}" for part in value)


def _flow(value: object) -> str:
    """Return a value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{field}: {_flow(part)}" for field, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, str):
        return _text(value)
    return str(value)


def _number(value: float) -> str:
    """Return a number as YAML 1.1 knows it: whole ones without a point, exponents with one before them."""
    text = f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else repr(value)
    mantissa, e, exponent = text.partition("e")
    return text if not e or "." in mantissa else f"{mantissa}.0e{exponent}"


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    dumped: str = yaml.safe_dump(value, default_style='"', allow_unicode=True, width=10**6)
    return dumped.rstrip("\n")
