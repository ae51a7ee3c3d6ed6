"""`qanat` on a machine whose wall clock is set while it runs. Run as a program; its first argument is a file.

The file holds by how many seconds Unix time is off, and is looked at whenever somebody asks for the time. Monotonic
time is the machine's own, as it is where an operator or NTP sets a clock. OpenSSL, which looks at the dates of
certificates in a handshake, has a clock of its own here and sees no jump.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

_true_time = time.time


def jumping_time() -> float:
    """Return Unix time as this machine has it."""
    return _true_time() + float(_offset.read_text(encoding="ascii"))


if __name__ == "__main__":
    _offset = Path(sys.argv.pop(1))
    time.time = jumping_time  # before anything of ours is imported: parts of it keep the function

    from qanat.apps.cli.main import run

    run()
