"""Initial keys that are brought to a site while it runs: taken in within a second, so that no end need be stopped.

After a zeroization, a restore or ten days without key a link gets a new initial key. The end that runs on must have it
before the other one uses it, or what the other one holds is destroyed as known to one end alone.
"""

from __future__ import annotations

from pathlib import Path

from qanat.adapters.initial_keys import initial_key_path, take_initial_key
from qanat.ground.errors import ConfigurationError, QanatError
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.ports import Clock, KeyStore
from qanat.ground.tracing import EventRecorder

LOOK_PERIOD_S = 0.5
PATIENCE_S = 3.0
"""A file that is still being carried here is not whole; one that has not changed for so long is wrong."""

_State = tuple[int, int, int]
"""What tells one state of a file from the next: node number, size, time of change."""


class InitialKeyWatch:
    """Looks after the initial keys of one site's links while it runs."""

    def __init__(
        self, network: Network, node: NodeId, folder: Path, store: KeyStore, *, clock: Clock, recorder: EventRecorder
    ) -> None:
        self._links = network.links_of(node)
        self._node = node
        self._folder = folder
        self._store = store
        self._clock = clock
        self._recorder = recorder
        self._settled: dict[LinkId, _State] = {}
        self._seen: dict[LinkId, tuple[_State, float]] = {}
        self._refused: set[LinkId] = set()

    async def run(self) -> None:
        """Look for new files for ever."""
        while True:
            await self.look()
            await self._clock.sleep_until(self._clock.monotonic_s() + LOOK_PERIOD_S)

    async def look(self) -> None:
        """Take in every new file once; one that cannot be taken in is tried again when it changes."""
        for link in self._links:
            state = _state(initial_key_path(self._folder, link.link_id))
            if state is None:
                self._end_alarm(link.link_id)  # what was wrong has been taken away
                continue
            if self._settled.get(link.link_id) == state:
                continue
            try:
                await take_initial_key(self._folder, link, self._node, self._store)
            except ConfigurationError as fault:
                self._tell_if_stale(link.link_id, state, fault)
            except (QanatError, OSError):
                continue  # the store cannot write now, or the file went meanwhile: the next look tries again
            else:
                self._end_alarm(link.link_id)
                self._settled[link.link_id] = state

    def _end_alarm(self, link_id: LinkId) -> None:
        if link_id in self._refused:
            self._refused.discard(link_id)
            self._settled.pop(link_id, None)
            self._recorder.alarm_over("initial-key-refused", link_id)

    def _tell_if_stale(self, link_id: LinkId, state: _State, fault: QanatError) -> None:
        """Raise the alarm of a file that is wrong and stays so."""
        before, since_s = self._seen.get(link_id, (None, 0.0))
        if before != state:
            self._seen[link_id] = state, self._clock.monotonic_s()
        elif self._clock.monotonic_s() - since_s >= PATIENCE_S:
            self._settled[link_id] = state
            self._refused.add(link_id)
            text = f"an initial key was brought and cannot be taken in: {fault.message}"
            self._recorder.alarm("initial-key-refused", text, fault.remedy, about=link_id, link_id=link_id)


def _state(path: Path) -> _State | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
