"""What an operator may set of a key manager. Every default is safe to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qanat.ground.identifiers import LinkId


@dataclass(frozen=True, slots=True)
class KeyManagerSettings:
    """Sizes in bits, times in seconds of the monotonic clock."""

    key_size_bits: int = 256
    """Size of a key when the application names none."""
    min_key_size_bits: int = 8
    max_key_size_bits: int = 65_536
    max_keys_per_request: int = 128
    max_request_bits: int = 2**19
    """Number times size of the keys of one call: what one relay carries at a time."""
    max_key_count: int = 100_000
    """What the status tells applications to expect at most."""

    wait_s: float = 2.0
    """How long a request waits for key to be made before it is answered with a shortage."""
    failed_retry_s: float = 60.0
    """So long it is remembered of a way that no key could be made for it, and of a far end that it is full; the hint of
    a quota that is reached."""
    refused_retry_s: float = 15.0
    """The hint when a link could not make key at all, and how long that is the answer to who asks next: a link that is
    back is to be known of soon, and a link that is not costs the controller no more than a word in this time."""
    initial_key_grace_s: float = 120.0
    """New initial key comes to the ends of a link one after the other, in whatever order: so long an end that has it is
    not told that the other one does not."""
    max_additional_slaves: int = 15
    """So many applications besides the first slave may get the same keys."""
    repeat_window_s: float = 300.0
    """So long after its answer a call with a nonce may be repeated, and is given the same keys."""
    max_kept_answers: int = 16_384
    max_kept_bits: int = 2**30
    """So much is kept of one application's calls with a nonce; its oldest go first. Each key counts with
    ``KEPT_BESIDE_BITS`` more. The process before may have left as much again, until its window has passed."""
    relay_timeout_s: float = 2.0
    relay_timeout_per_hop_s: float = 0.2
    """After this time, and this time per hop, without a verdict a relayed batch is in doubt and is destroyed."""
    relay_timeout_most_s: float = 30.0
    """Where batches are slow or are not heard of, verdicts are awaited longer, to this time at most."""
    relay_resend_s: float = 0.5
    relay_tries: int = 3
    reach_patience_s: float = 1.0
    """The next node gets this long to come back before a batch that is on its way to it has failed."""
    wake_patience_s: float = 10.0
    """A node that is just coming up gets this long before it counts as silent. Sites of a way that sleep are opened one
    after the other: each gets as long."""
    cut_route_pause_s: float = 5.0
    """A route on which a node does not answer is not tried again, at the cost of pads, before this time has passed."""

    tick_s: float = 1.0
    """Period of the chores: what the peers have not confirmed is said again."""
    mark_s: float = 5.0
    """While stock is used, the peers are given something to remember of this store so often: a copy of it that is older
    than what they remember is found out when it is put back."""
    announce_s: float = 5.0
    """Period of the reports to the controller."""
    idle_after_s: float = 2.0
    """So long must nobody ask this node for keys before it prepares some for those who will."""
    prepare_batch_bits: int = 2**19
    """Size of a batch of keys that are prepared: large ones cost little a key, small ones are lost at less cost."""
    prepare_pause_s: float = 5.0
    """How long the preparing of keys rests after a failure."""
    demand_patience_s: float = 900.0
    """How long an unmet demand for key is repeated to the controller after it was asked."""
    store_retry_s: float = 0.5
    store_tries: int = 20
    """How often a block is offered to a store that cannot write, before it is dropped."""

    sessions_per_day: Mapping[LinkId, float] = field(default_factory=dict)
    """Distillation sessions per day of each link (24 where it is not named): they decide when its authentication
    reserve is low."""
    reserve_alarm_days: float = 2.0
    """The alarm comes this long before the reserve would end."""

    def sessions_of(self, link_id: LinkId) -> float:
        """Return how many sessions a day a link is expected to have."""
        return self.sessions_per_day.get(link_id, 24.0)

    def relay_patience_s(self, hops: int) -> float:
        """Return how long the verdict on a batch over so many hops is awaited."""
        return self.relay_timeout_s + self.relay_timeout_per_hop_s * hops

    def __post_init__(self) -> None:
        if not 0 < self.min_key_size_bits <= self.key_size_bits <= self.max_key_size_bits:
            raise ValueError("key sizes must hold 0 < min <= default <= max")
        counts = (self.max_keys_per_request, self.relay_tries, self.store_tries, self.max_kept_answers)
        if min(counts) < 1:
            raise ValueError("counts of keys, tries and answers must be 1 or more")
