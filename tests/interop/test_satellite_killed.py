"""A satellite's key manager, a process of its own, killed between two passes: both stocks kept, announced once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from interop.live import running_network, running_site
from interop.satellite_house import network_file
from interop.test_node_command import until
from qanat.ground.authentication import MESSAGE_KEY_BITS
from qanat.ground.keys import block_shares

pytestmark = pytest.mark.slow

SATELLITE, PAIR = "micius", "nanshan-xinglong-by-micius"
PASSES = ("--passes-every-s", "8", "--pass-light", "0.3")


def told(data: Path, kind: str) -> list[dict[str, Any]]:
    """Return the events of a kind in the log of the network's process."""
    lines = (data / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def stored(data: Path, link: str) -> list[int]:
    """Return the sizes of a link's blocks that its end on the ground has stored."""
    return [one["data"]["num_bits"] for one in told(data, "block-stored") if one["data"]["link_id"] == link]


@pytest.mark.campaign
def test_a_satellite_killed_between_two_passes_announces_what_it_held_once(tmp_path: Path) -> None:
    network, data = network_file(tmp_path), tmp_path / "data"
    with (
        running_network(data, str(network), apart=[SATELLITE], more=PASSES) as live,
        live.client("ulan", patience_s=60) as ulan,
        live.client("bob") as bob,
    ):
        with running_site(data, SATELLITE, str(network)) as satellite:
            until(lambda: len(told(data, "satellite-set")) == 1, "the first pass is over")
            satellite.kill()
        assert len(stored(data, "micius-xinglong")) == 1
        assert not told(data, "announcement-opened")
        with running_site(data, SATELLITE, str(network)) as satellite:
            until(lambda: len(told(data, "announcement-opened")) >= 4, "both stations have opened both announcements")
            satellite.kill()  # it may have heard of neither
        first, second = (stored(data, link)[0] for link in ("micius-xinglong", "micius-nanshan"))
        with running_site(data, SATELLITE, str(network)):
            (key,) = ulan.get_keys(live.sae("bob"), count=1, size_bits=256)
            (mate,) = bob.get_keys_by_id(live.sae("ulan"), [key.key_id])
            assert key.take() == mate.take()
            assert key.route == ("west", "nanshan", SATELLITE, "xinglong", "far-east")
        opened = Counter((one["node"], one["data"]["block_id"]) for one in told(data, "announcement-opened"))
        assert set(opened.values()) == {1}, "exactly once at each station"
        least = block_shares(min(first, second))[1:]
        bits = [one["data"]["num_bits"] for one in told(data, "announcement-opened") if one["node"] == "nanshan"]
        assert sorted(bits[:2]) == sorted(half - MESSAGE_KEY_BITS for half in least), "both stocks were there whole"
