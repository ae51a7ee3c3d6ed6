"""Files of records and keys: NumPy's .npz without pickles, mode 0600, described in docs/formats/records.md.

The bits of a record are as secret as the keys that are made of them: a file that other users can read is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from qanat.adapters.machine_faults import machine_faults_named
from qanat.adapters.private_files import write_private
from qanat.ground.errors import ConfigurationError
from qanat.postprocessing.records import ByteArray
from qanat.protocols.decoy import DecoyProtocol
from qanat.quantum_layer.recorded import RawDetections, RawPreparations, SiftedBits

Role: TypeAlias = Literal["alice", "bob"]
RAW_ALICE: Final = "qanat-raw-alice-1"
RAW_BOB: Final = "qanat-raw-bob-1"
SIFTED: Final = "qanat-sifted-1"
KEY: Final = "qanat-key-1"
Columns: TypeAlias = Mapping[str, NDArray[Any]]
MOST_ORIGIN: Final = 200
KNOWN_BY_ROWS: Final = 2048
"""No block has fewer bits, so that no key was made of a record that is shorter; 2,048 random bits are never alike."""
FORMATS_PAGE: Final = "docs/formats/records.md says what the file holds"


def read_raw(path: Path, role: Role) -> tuple[RawPreparations | RawDetections, DecoyProtocol | None]:
    """Return a party's raw record, and the protocol that the file names, if any; raises ConfigurationError."""
    columns = read_arrays(path, RAW_ALICE if role == "alice" else RAW_BOB)
    num_slots = _number(path, columns, "num_slots")
    bases, bits = _column(path, columns, "bases", np.uint8), _column(path, columns, "bits", np.uint8)
    slots = _column(path, columns, "slots", np.uint64) if role == "bob" or "slots" in columns else None
    protocol = _protocol(path, columns)
    if role == "bob":
        assert slots is not None
        with _faults_of(path):
            return RawDetections(slots, bases, bits, num_slots), protocol
    intensities = _column(path, columns, "intensities", np.uint8)
    with _faults_of(path):
        return RawPreparations(bases, bits, intensities, num_slots, slots), protocol


def read_sifted(path: Path) -> SiftedBits:
    """Return a sifted record; raises ConfigurationError."""
    columns = read_arrays(path, SIFTED)
    num_bits = _number(path, columns, "num_bits")
    planes = [_unpacked(path, columns, name, num_bits) for name in ("bits", "bases") if name in columns]
    if "bits" not in columns:
        raise _wrong(path, "it has no array 'bits'")
    with _faults_of(path):
        return SiftedBits(*planes)


def read_origin(path: Path) -> str:
    """Return what a record says of where it is from, printable and short; raises ConfigurationError."""
    with machine_faults_named(path), np.load(path, allow_pickle=False) as archive:
        said = str(archive["origin"]) if "origin" in archive.files else "not stated"
    return "".join(c if c.isprintable() else " " for c in said[:MOST_ORIGIN])


def write_raw_alice(path: Path, record: RawPreparations, protocol: DecoyProtocol, *, origin: str) -> None:
    """Write Alice's raw record to a new file."""
    slots = {} if record.slots is None else {"slots": record.slots}
    columns = {"bases": record.bases, "bits": record.bits, "intensities": record.intensities, **slots}
    write_arrays(
        path, RAW_ALICE, num_slots=record.num_slots, protocol=protocol_text(protocol), origin=origin, **columns
    )


def write_raw_bob(path: Path, record: RawDetections, protocol: DecoyProtocol, *, origin: str) -> None:
    """Write Bob's raw record to a new file."""
    columns = {"slots": record.slots, "bases": record.bases, "bits": record.bits}
    write_arrays(path, RAW_BOB, num_slots=record.num_slots, protocol=protocol_text(protocol), origin=origin, **columns)


def write_sifted(path: Path, record: SiftedBits, *, origin: str) -> None:
    """Write a sifted record to a new file."""
    planes = {"bits": np.packbits(record.bits, bitorder="little")}
    if record.bases is not None:
        planes["bases"] = np.packbits(record.bases, bitorder="little")
    write_arrays(path, SIFTED, num_bits=record.num_slots, origin=origin, **planes)


def write_arrays(path: Path, file_format: str, **arrays: Any) -> None:
    """Write arrays, numbers and texts as an uncompressed .npz of mode 0600; raises MachineFault.

    A file of that name must not be there.
    """
    buffer = io.BytesIO()
    np.savez(buffer, format=np.array(file_format), **arrays)
    with machine_faults_named(path):
        write_private(path, buffer.getvalue())


def protocol_text(protocol: DecoyProtocol) -> str:
    """Return the light's parameters as the files carry them: JSON."""
    return json.dumps(
        {
            "intensities": protocol.intensities,
            "p_intensities": protocol.p_intensities,
            "p_rectilinear": protocol.p_rectilinear,
        },
        sort_keys=True,
    )


def digest_of(record: RawPreparations | RawDetections | SiftedBits) -> str:
    """Return by what a record is known again, in hex: SHA-256 over its first KNOWN_BY_ROWS bits and their places.

    It is of what the record holds, not of the file: whoever saves the record again, says otherwise where it is from or
    appends to it has the same record. Bits that are sifted have no places but their order, and bases do not count.

    Raises ConfigurationError for a record of fewer rows: it could not be known again when it has grown.
    """
    num_rows = int(record.bits.size)
    if num_rows < KNOWN_BY_ROWS:
        raise ConfigurationError(
            f"the record holds {num_rows:,} bits, and fewer than {KNOWN_BY_ROWS:,} make no key", remedy="record longer"
        )
    digest = hashlib.sha256(b"qanat record 1\n")
    if not isinstance(record, SiftedBits):
        slots = np.arange(KNOWN_BY_ROWS) if record.slots is None else record.slots[:KNOWN_BY_ROWS]
        digest.update(slots.astype("<u8").tobytes())
    digest.update(record.bits[:KNOWN_BY_ROWS].astype(np.uint8).tobytes())
    return digest.hexdigest()


def file_digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex: by it accounts of before know a record."""
    with machine_faults_named(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_arrays(path: Path, file_format: str) -> Columns:
    """Return the arrays of a file of this format; raises ConfigurationError."""
    with machine_faults_named(path, elsewhere="name another file"):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigurationError(
                f"{path} can be read by other users, and what is in it is secret", remedy=f"chmod 600 {path}"
            )
        try:
            with np.load(path, allow_pickle=False) as archive:
                columns = {name: archive[name] for name in archive.files}
        except (ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile) as fault:
            raise _wrong(path, f"it is no .npz file of plain arrays{_why(path, fault)}") from None
    found = str(columns["format"]) if "format" in columns else "none"
    if found != file_format:
        raise _wrong(path, f"its format is {found!r}, {file_format!r} is needed")
    return columns


def _why(path: Path, fault: Exception) -> str:
    """Return what stands in the way; NumPy's own words would advise to trust the file."""
    if not zipfile.is_zipfile(path):
        return ": it is no ZIP archive"
    return ": an array of it holds Python objects" if "pickle" in str(fault) else ": it is damaged"


def _number(path: Path, columns: Columns, name: str) -> int:
    value = columns.get(name)
    if value is None or value.shape != () or value.dtype.kind not in "iu" or int(value) < 0:
        raise _wrong(path, f"{name!r} is no whole number")
    return int(value)


def _column(path: Path, columns: Columns, name: str, dtype: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    column = columns.get(name)
    if column is None or column.ndim != 1 or column.dtype.kind not in "iub":
        raise _wrong(path, f"{name!r} is no column of whole numbers")
    highest = np.iinfo(dtype).max
    if column.dtype.kind == "i" and column.size and int(column.min()) < 0:
        raise _wrong(path, f"{name!r} has negative numbers")
    if column.size and int(column.max()) > highest:
        raise _wrong(path, f"{name!r} has numbers above {highest}")
    return np.ascontiguousarray(column, dtype=dtype)


def _unpacked(path: Path, columns: Columns, name: str, num_bits: int) -> ByteArray:
    packed = columns[name]
    if packed.dtype != np.uint8 or packed.shape != ((num_bits + 7) // 8,):
        raise _wrong(path, f"{name!r} does not have {num_bits} packed bits")
    return np.unpackbits(packed, count=num_bits, bitorder="little")


def _protocol(path: Path, columns: Columns) -> DecoyProtocol | None:
    if "protocol" not in columns:
        return None
    try:
        match json.loads(str(columns["protocol"])):
            case {"intensities": [a, b, c], "p_intensities": [p, q, r], "p_rectilinear": s}:
                return DecoyProtocol((float(a), float(b), float(c)), (float(p), float(q), float(r)), float(s))
    except (ValueError, TypeError) as fault:
        raise _wrong(path, f"its protocol is none: {fault}") from None
    raise _wrong(path, "its protocol is none: intensities, p_intensities and p_rectilinear are needed")


class _faults_of:  # noqa: N801 - read as a phrase
    """Put the file's name before what a record says of its columns."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, fault: BaseException | None, trace: object) -> None:
        if isinstance(fault, ConfigurationError):
            raise ConfigurationError(f"{self._path}: {fault.message}", remedy=fault.remedy) from None


def _wrong(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"{path}: {what}", remedy=FORMATS_PAGE)
