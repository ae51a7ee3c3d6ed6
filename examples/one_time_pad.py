"""A letter by one-time pad: what it needs, what the network has, and the letter as soon as there is enough:

qanat up three-nodes --data ./data
python examples/one_time_pad.py ./data

It receives for bob itself: end a `qanat receive --as bob` that runs on this network first.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from qanat.api import QanatError, User


def main(data: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        letter, came = Path(place) / "secret.txt", Path(place) / "in"
        letter.write_text("For your eyes alone, whatever computers there will be. " * 100, encoding="utf-8")
        with (
            User("bob", data=data) as bob,
            User("alice", data=data, cipher="one-time-pad", pad_wait_s=60) as alice,
            bob.receiving(came),
        ):
            quote = alice.quote_pad("bob", content_bytes=letter.stat().st_size)
            print(f"{quote.needed_bits:,} bits of pad are needed, {quote.stocked_bits:,} are in stock")
            (sent,) = alice.send(letter, "bob")  # without pad_wait_s it raises PadShortage where the stock is short
        assert (came / "secret.txt").read_bytes() == letter.read_bytes()
    keys = "1 key" if sent.num_keys == 1 else f"{sent.num_keys} keys, together"
    print(f"{sent.recipient} has {sent.name}, under {keys} as long as itself")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except QanatError as fault:
        sys.exit(str(fault))
