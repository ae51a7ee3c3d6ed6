"""The note that says whose a data folder is, when several processes start in it at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest

from qanat.apps.networks import load_network
from qanat.apps.workplace import Workplace
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId

STARTERS = 6
ROUNDS = 60


RING = load_network("five-site-ring")


def at_once(start: Callable[[], None]) -> None:
    """Do the same thing in several threads that begin together; the first fault is raised."""
    barrier = Barrier(STARTERS)

    def begin(_: int) -> None:
        barrier.wait()
        start()

    with ThreadPoolExecutor(STARTERS) as pool:
        list(pool.map(begin, range(STARTERS)))


def test_whoever_starts_beside_others_finds_the_note_whole(tmp_path: Path) -> None:
    for round_ in range(ROUNDS):
        place = Workplace(tmp_path / str(round_))
        place.make(NodeId("a"))
        at_once(partial(place.claim, RING))
        at_once(partial(place.claim_site, NodeId("a")))
        assert sorted(path.name for path in place.folder.iterdir()) == ["a", "network"]


def test_another_networks_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "network").write_text("elsewhere\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="'elsewhere'"):
        Workplace(tmp_path).claim(RING)
