"""A file from Alice to Bob, under keys of the network that is up:

    qanat up three-nodes --data ./data
    python examples/send_a_file.py ./data

Both users run in this program, so end a `qanat receive --as bob` that runs on this network first;
on two machines each has its half, and the directory file says where the other is.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from qanat.api import QanatError, User


def main(data: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        letter, came = Path(place) / "letter.txt", Path(place) / "in"
        letter.write_text("Dear Bob, the keys of this letter were made from photons.\n" * 1000, encoding="utf-8")
        with User("bob", data=data) as bob, User("alice", data=data) as alice, bob.receiving(came):
            (sent,) = alice.send(letter, "bob")
        assert (came / "letter.txt").read_bytes() == letter.read_bytes()
    print(f"{sent.recipient} has {sent.name}: {sent.size_bytes} bytes under {sent.num_keys} key, SHA-256 {sent.sha256}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except QanatError as fault:
        sys.exit(str(fault))
