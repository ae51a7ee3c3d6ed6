"""What went wrong, told to people: whose fault it is, and what to do."""

from __future__ import annotations

from qanat.adapters.machine_faults import MachineFault
from qanat.apps.cli.outputs import warn
from qanat.ground.errors import (
    ConfigurationError,
    KeyManagementError,
    LinkFailed,
    NetworkFileError,
    PeerProtocolError,
    QanatError,
    QuantumLayerError,
    RequestError,
)

MOST_FAULTS = 20
"""Of more faults of a file the first are told, and their number."""
WHOSE_FAULT = {
    MachineFault: "machine",
    ConfigurationError: "configuration",
    RequestError: "request",
    PeerProtocolError: "peer or line",
    QuantumLayerError: "quantum layer",
    LinkFailed: "quantum layer",
    KeyManagementError: "key management",
}


def tell_fault(fault: QanatError) -> int:
    """Tell a fault on standard error; returns the exit status of a command that it ended."""
    whose = next((words for kind, words in WHOSE_FAULT.items() if isinstance(fault, kind)), "qanat")
    others = fault.others if isinstance(fault, NetworkFileError) else ()
    for one in (fault, *others[: MOST_FAULTS - 1]):
        warn(f"error ({whose}): {one.message}", fg="red")
        if one.remedy:
            warn(f"  what to do: {one.remedy}")
    if (more := len(others) - MOST_FAULTS + 1) > 0:
        warn(f"and {more} more in this file")
    return 2


def fault_record(fault: QanatError) -> dict[str, str]:
    """Return a fault for machines: its kind, its words, and what to do."""
    return {"fault": type(fault).__name__, "message": fault.message, "remedy": fault.remedy}
