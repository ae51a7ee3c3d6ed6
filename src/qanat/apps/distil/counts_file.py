"""The file of decoy counts that goes with a sifted record: JSON, described in docs/formats/counts.md.

Its faults are told with file and line: somebody writes such a file by hand, or by a program that is not ours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qanat.adapters.machine_faults import machine_faults_named
from qanat.ground.errors import ConfigurationError
from qanat.protocols.decoy import DecoyProtocol
from qanat.protocols.proofs import DEFAULT_PROOF
from qanat.quantum_layer.record_counts import Fault, GivenBasis, RangeCounts, RecordCounts
from qanat.quantum_layer.recorded import SiftedBits

COUNTS: Final = "qanat-counts-1"
MOST_CHARACTERS: Final = 10_000_000
MOST_ORIGIN: Final = 200
FORMAT_PAGE: Final = "docs/formats/counts.md says what the file holds"

Count = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Triple = tuple[Count, Count, Count]
Real = Annotated[float, Field(allow_inf_nan=False)]
Reals = tuple[Real, Real, Real]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Basis(_Part):
    clicks: Triple
    errors: Triple
    signal_told: Count = 0


class _Range(_Part):
    first_bit: Count
    num_bits: Count
    rectilinear: _Basis
    diagonal: _Basis
    pulses_sent: Triple | None = None


class _File(_Part):
    format: Literal["qanat-counts-1"]
    intensities: Reals
    p_intensities: Reals
    p_rectilinear: Real
    ranges: tuple[_Range, ...]
    proof: str = DEFAULT_PROOF
    origin: str = "not stated"


def read_counts(path: Path, record: SiftedBits) -> RecordCounts:
    """Return the counts of a record; raises ConfigurationError with file and line."""
    with machine_faults_named(path, elsewhere="name another file"):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path}: this is no text", remedy=FORMAT_PAGE) from None
    return parse_counts(text, record, source=str(path))


def parse_counts(text: str, record: SiftedBits, *, source: str) -> RecordCounts:
    """Return the counts that a text holds; ``source`` is its file name, for errors. Raises ConfigurationError."""
    if record.bases is None:
        raise ConfigurationError(
            "the sifted record does not say in which basis its bits were, and counts are by basis",
            remedy="write the array 'bases' into both parties' records",
        )
    try:
        said = json.loads(text[:MOST_CHARACTERS], object_pairs_hook=_once)
        found = _counts_of(_File.model_validate(said))
    except json.JSONDecodeError as fault:
        raise ConfigurationError(f"{source}:{fault.lineno}: no JSON: {fault.msg}", remedy=FORMAT_PAGE) from None
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        raise _told((first["loc"], first["msg"], FORMAT_PAGE), text, source) from None
    except (ValueError, RecursionError) as fault:
        raise _told(((_named_in(str(fault)),), str(fault), FORMAT_PAGE), text, source) from None
    for one in found.faults(record.bases):
        raise _told(one, text, source)
    return found


def counts_text(counts: RecordCounts) -> str:
    """Return counts as a file holds them."""
    light = counts.protocol
    said: dict[str, Any] = {
        "format": COUNTS,
        "origin": counts.origin,
        "intensities": light.intensities,
        "p_intensities": light.p_intensities,
        "p_rectilinear": light.p_rectilinear,
        "proof": counts.proof,
        "ranges": [asdict(one) for one in counts.ranges],
    }
    return json.dumps(said, indent=1) + "\n"


def _counts_of(said: _File) -> RecordCounts:
    """Raises ValueError for light that no proof speaks of."""
    ranges = [
        RangeCounts(one.first_bit, one.num_bits, _basis(one.rectilinear), _basis(one.diagonal), one.pulses_sent)
        for one in said.ranges
    ]
    origin = "".join(c if c.isprintable() else " " for c in said.origin[:MOST_ORIGIN])
    protocol = DecoyProtocol(said.intensities, said.p_intensities, said.p_rectilinear)
    return RecordCounts(protocol, tuple(ranges), said.proof, origin)


def _basis(said: _Basis) -> GivenBasis:
    return GivenBasis(said.clicks, said.errors, said.signal_told)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    said = dict(pairs)
    if len(said) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one part of the file")
    return said


def _named_in(fault: str) -> str:
    """Return the field that a fault of the light begins with, to find its line."""
    return fault.partition(" ")[0].strip("'\"")


def _told(fault: Fault, text: str, source: str) -> ConfigurationError:
    path, what, remedy = fault
    where = ".".join(map(str, path))
    return ConfigurationError(f"{source}:{_line(text, path)}: {where}: {what}", remedy=remedy)


def _line(text: str, path: Sequence[str | int]) -> int:
    """Return the line of what ``path`` names, or of the nearest thing around it. JSON without tabs is YAML."""
    try:
        node = yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return 1
    line = 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pairs = {key.value: (key, value) for key, value in node.value}
            if part not in pairs:
                return line
            key, node = pairs[part]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line
