"""The account of a load test: what masters were given, what slaves fetched, and what of it should not have been.

It knows nothing of the key managers. It is told by applications what they were answered, and counts.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from qanat.ground.identifiers import KeyID

Keys = Mapping[KeyID, bytes]


@dataclass
class Faults:
    """What must never happen. ``other_answers``: calls that were repeated by their nonce and got other keys."""

    double_deliveries: int = 0
    mismatches: int = 0
    lost_acknowledged_keys: int = 0
    other_answers: int = 0
    reused_pad_bits: int = 0

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    def __str__(self) -> str:
        return ", ".join(f"{field.name.replace('_', ' ')} {getattr(self, field.name)}" for field in fields(self))


class Account:
    """Counts over all applications; any thread may call it.

    A *call* is a name of one wish: repetitions of it (by a nonce) have the same name and must have the same answer.
    ``in_doubt`` are keys that a slave asked for without a nonce when its key manager died: nobody knows whether they
    left before, so that they are not there afterwards is no fault.
    """

    def __init__(self) -> None:
        self.faults = Faults()
        self.given: dict[KeyID, bytes] = {}
        self.fetched: dict[KeyID, bytes] = {}
        self.in_doubt: set[KeyID] = set()
        self.repetitions = 0
        self._answers: dict[str, Keys] = {}
        self._lock = threading.Lock()

    def master_got(self, call: str, keys: Keys) -> None:
        """A master was given keys."""
        with self._lock:
            if self._is_new("master " + call, keys):
                self.faults.double_deliveries += len(keys.keys() & self.given.keys())
                self.given.update(keys)

    def slave_got(self, call: str, keys: Keys) -> None:
        """A slave was given keys by their ids; the master has had them before."""
        with self._lock:
            if self._is_new("slave " + call, keys):
                self.faults.double_deliveries += len(keys.keys() & self.fetched.keys())
                self.faults.mismatches += sum(self.given.get(key_id) != secret for key_id, secret in keys.items())
                self.fetched.update(keys)

    def slave_missed(self, key_ids: Sequence[KeyID], *, is_in_doubt: bool) -> None:
        """A slave was told that keys are not there which its master has."""
        with self._lock:
            if is_in_doubt:
                self.in_doubt.update(key_ids)
            else:
                self.faults.lost_acknowledged_keys += len(key_ids)

    def close(self) -> None:
        """Count as lost what masters have and no slave ever got, nor was told to be gone."""
        told_lost = self.faults.lost_acknowledged_keys
        missing = self.given.keys() - self.fetched.keys() - self.in_doubt
        self.faults.lost_acknowledged_keys = max(told_lost, len(missing))

    def _is_new(self, call: str, keys: Keys) -> bool:
        """Return whether a call is answered for the first time; a repetition must get the same."""
        if call not in self._answers:
            self._answers[call] = keys
            return True
        self.repetitions += 1
        self.faults.other_answers += self._answers[call] != keys
        return False

    def __str__(self) -> str:
        return (
            f"{len(self.given)} keys acknowledged to masters, {len(self.fetched)} fetched by slaves; {self.faults}; "
            f"{self.repetitions} calls repeated by their nonces; {len(self.in_doubt)} keys in doubt"
        )
