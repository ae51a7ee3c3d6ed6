"""A call of two seconds with pictures and sound, under keys that change every second, and a fax before it.

qanat up three-nodes --data ./data
python examples/call_somebody.py ./data

It receives for bob itself: end a `qanat receive --as bob` that runs on this network first.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from qanat.api import QanatError, User


def main(data: str) -> None:
    with (
        tempfile.TemporaryDirectory() as place,
        User("alice", data=data, refresh_s=1) as alice,
        User("bob", data=data, refresh_s=1) as bob,
        bob.receiving(place),
    ):
        letter = Image.new("L", (595, 842), 255)
        ImageDraw.Draw(letter).text((50, 50), "I shall call you.", font=ImageFont.load_default(40))
        letter.save(Path(place) / "letter.png")
        (report,) = alice.fax(Path(place) / "letter.png", "bob")
        print(f"bob has read {report.num_pages} page: {report.name}")
        call = alice.call("bob", seconds_s=2)  # a tone and a test picture; files by audio= and video=
        print(f"{call.video.decoded} pictures and {call.audio.decoded} pieces of sound came from bob")
        print(f"keys: {call.keys_sent} to bob, {call.keys_received} from bob")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except QanatError as fault:
        sys.exit(str(fault))
