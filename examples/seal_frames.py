"""A service of your own: frames that may be lost or overtaken, under keys that change every few seconds.

    qanat up three-nodes --data ./data
    python examples/seal_frames.py ./data

Alice seals a hundred frames; the line loses every tenth and turns pairs round; Bob opens what comes, each once.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from qanat.api import (
    FrameOpener,
    FrameSealer,
    QanatError,
    RecipientKeys,
    Refresh,
    Replayed,
    SenderKeys,
    StreamContext,
    Suite,
    UserServices,
    find_people,
)


async def call(data: Path) -> None:
    people = [find_people(data=data, name=name) for name in ("alice", "bob")]
    async with UserServices(people[0]) as alice, UserServices(people[1]) as bob:
        a, b = alice.party, bob.party
        context = StreamContext(a.sae, b.sae, "call 42", Suite.AES_128_GCM, key_life_s=0.4)
        keys = SenderKeys(a.supply, b.sae, suite=context.suite, clock=a.clock, refresh=Refresh(every_s=0.4))
        sealer = FrameSealer(context, keys)
        opener = FrameOpener(context, RecipientKeys(b.supply, context, clock=b.clock))
        sealed = []
        for number in range(100):
            await sealer.prepare()  # asks for the next key in good time; sealing itself never waits
            sealed.append(sealer.seal(b"frame %d" % number))
            await asyncio.sleep(0.01)
            if len(sealed) == 2:
                for datagram in reversed(sealed):
                    if number % 10 != 9:
                        await opener.open(datagram)
                with contextlib.suppress(Replayed):
                    await opener.open(sealed[0] if number % 10 != 9 else sealed[1])
                sealed.clear()
        print(f"100 frames were sealed under {sealer.num_keys} key{'' if sealer.num_keys == 1 else 's'}")


def main(data: str) -> None:
    asyncio.run(call(Path(data)))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except QanatError as fault:
        sys.exit(str(fault))
