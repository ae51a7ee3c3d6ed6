"""A text to somebody who is away, delivered when he comes back:

qanat up three-nodes --data ./data
python examples/send_a_text.py ./data

It receives for bob itself: end a `qanat receive --as bob` that runs on this network first.
"""

from __future__ import annotations

import sys
import tempfile
import time

from qanat.api import QanatError, User


def main(data: str) -> None:
    with tempfile.TemporaryDirectory() as place, User("alice", data=data) as alice, User("bob", data=data) as bob:
        report = alice.text("bob", "Call me when you are back.", patience_s=0)
        print("waits for", *report.waiting)
        with bob.receiving(place, on_text=lambda text: print(f"{text.sender} says: {text.body}")):
            alice.text("bob", "I am at home until six.")  # what waits goes along
        delivered = alice.report(report.text_id).delivered
        print("delivered to bob at", time.strftime("%H:%M:%S", time.gmtime(delivered["bob"])), "UTC")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except QanatError as fault:
        sys.exit(str(fault))
