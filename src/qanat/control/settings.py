"""What an operator may set of the controller."""

from __future__ import annotations

from dataclasses import dataclass, field

from qanat.control.policy import Policy


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """Times in seconds of the monotonic clock."""

    policy: Policy = field(default_factory=Policy)
    tick_s: float = 1.0
    """Period of the chores: orders and answers that were not acknowledged are said again."""
    order_timeout_s: float = 600.0
    """An order that has not ended by then is cancelled at both ends."""
    order_tries: int = 3
    """After this many failed orders for one demand, the demand has failed."""
    order_pause_s: float = 1.0
    longest_order_pause_s: float = 600.0
    """How long a link rests after a failed order, so that what passes by itself can pass; twice as long after each
    further failure, up to the longest pause, since every try costs pads of the link's authentication reserve."""
    restart_tries: int = 20
    longest_restart_pause_s: float = 8.0
    """So many orders in a row that ended because a key manager at an end died are no reason to give a demand up, since
    a restart passes by itself; and the longest rest after them."""
    silent_after_s: float = 5.0
    """A node that cannot be reached for so long is silent: demands over it are answered so, not kept waiting."""
    mute_after_s: float = 15.0
    """A node that has said nothing for so long is silent too, though its line stands: it would announce itself every
    five seconds (``KeyManagerSettings.announce_s``)."""
    takeover_after_s: float = 3.0
    """Of two controllers, one that has heard no ruler for so long begins to rule (the standby a little later)."""
    read_back_s: float = 8.0
    """For so long after its start, or until every site on a switch has said what it does, the controller turns no
    switch: an order that an earlier life of it gave may run there. Longer than the period of key managers' reports."""
    closed_demands_kept: int = 1024
    """How many answers are remembered for key managers that ask again."""
