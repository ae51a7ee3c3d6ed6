"""Which of a network's two controllers rules: the one with the higher epoch, as key managers see it too.

Each tells the other every second whether it rules, and in which epoch. One that hears no ruler for a while begins to
rule, in an epoch above all that it has heard of; one that rules and hears of a higher epoch stands down. Two may rule
for a moment, or while nothing joins them: key managers follow the higher epoch and act on no word of the lower one,
and no store knows a controller, so neither a key nor a pad is at stake.

That one of them is gone harms nobody yet, and is an alarm of the other: nobody would take over from it.
"""

from __future__ import annotations

from qanat.control.silence import STOOD_STILL_S
from qanat.ground.identifiers import CONTROLLER, STANDBY, NodeId
from qanat.ground.tracing import EventRecorder
from qanat.key_management.wire import ControllerHere

SECOND_WAITS_S = 2.0
"""The standby waits so much longer: where both start together, the first rules."""
STARTS_LATER_S = 10.0
"""One that has never been heard is silent so much later: who starts both by hand needs a moment."""


class Ruling:
    """One controller's view of who rules. ``other`` is None where it is the only one: then it always rules."""

    def __init__(self, local: NodeId, other: NodeId | None, *, takeover_after_s: float, now_s: float) -> None:
        self.rules = False
        self.other = other
        self.is_first = local != STANDBY
        self._patience_s = takeover_after_s + (0.0 if self.is_first else SECOND_WAITS_S)
        self._heard_s, self._ruler_heard_s, self._looked_s = now_s + STARTS_LATER_S, now_s, now_s
        self._ruler_epoch = 0
        self._highest_epoch = 0

    def note_epoch(self, epoch: int) -> None:
        """Take note of an epoch in which somebody rules or has ruled."""
        self._highest_epoch = max(self._highest_epoch, epoch)

    def hear(self, word: ControllerHere, *, now_s: float) -> None:
        """Take note of what the other controller says of itself."""
        self.note_epoch(word.epoch)
        self._heard_s = now_s
        if word.rules:
            self._ruler_heard_s, self._ruler_epoch = now_s, word.epoch

    def tell_silence(self, recorder: EventRecorder, *, now_s: float) -> None:
        """Raise the alarm that the other controller is silent, or end it. Called every second or so."""
        if self.other is None:
            return
        self._look_at_clock(now_s)
        if now_s - self._heard_s < self._patience_s:
            recorder.alarm_over("other-controller-silent", about=self.other)
            return
        text = f"the {self.other} does not answer: nobody would take over from this controller"
        recorder.alarm("other-controller-silent", text, about=self.other)

    def next_epoch(self, *, utc_s: float) -> int:
        """Return the epoch to rule in: the time of day, or above all that was heard of, where that is later."""
        return max(1, int(utc_s), self._highest_epoch + 1)

    def is_to_begin(self, *, now_s: float) -> bool:
        """Return whether nobody rules. Called every second or so."""
        self._look_at_clock(now_s)
        return not self.rules and (self.other is None or now_s - self._ruler_heard_s >= self._patience_s)

    def _look_at_clock(self, now_s: float) -> None:
        """Leave out of all silence a time in which this controller stood still itself: nobody could be heard."""
        if (stood_s := now_s - self._looked_s) > STOOD_STILL_S:  # words of that time may have been read by now
            self._heard_s = max(self._heard_s, min(self._heard_s + stood_s, now_s))
            self._ruler_heard_s = max(self._ruler_heard_s, min(self._ruler_heard_s + stood_s, now_s))
        self._looked_s = now_s

    def is_to_end(self, epoch: int) -> bool:
        """Return whether the other rules too, in a higher epoch (in the same one, the first goes on)."""
        return self.rules and (self._ruler_epoch, not self.is_first) > (epoch, self.is_first)


def other_of(local: NodeId) -> NodeId:
    """Return the name of the other of two controllers."""
    return CONTROLLER if local == STANDBY else STANDBY
