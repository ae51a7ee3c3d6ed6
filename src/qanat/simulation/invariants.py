"""What must hold in every run, whatever goes wrong. A witness sees every commit, message and event, and remembers.

1. A key is supplied at most once to each entitled application, to no other, and all get the same bytes.
2. A bit of one-time pad is spent at most once at each end, and encrypts at most one message, over all crashes; a relay
   word is its keys under the pad, with the tag of all its fields under bits that are no pad.
3. Books: QKD bits spent = hops x key bits + authentication bits, to the bit; pools add up; the reserve is not sold;
   what all relays took is what the keys that came of them say, and what was burned.
4. What was confirmed or promised survives crashes; what is in doubt is destroyed; nothing counts at one end alone.
5. No key byte stands in an event or a message.
6. Nothing degrades: a key labelled "device" has passed no twin.
7. A key of several shares is the sum of all of them; no node but its ends has seen two; who requires several routes is
   given no key of fewer.
8. A key given to who would have it avoid sites, stay in a region, or pass no relay, has done so: by the hops that were
   seen to carry it, whatever its record says.
"""

from __future__ import annotations

import bisect
import hashlib
import re
from collections import Counter
from collections.abc import Container, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from qanat.ground.events import Event, EventKind, chain
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import BlockId, KeyID, LinkId, NodeId, OrderId, SaeId, SaePair, members_of
from qanat.ground.keys import BitRange, KeyBlock, Origin, PoolId, PoolLevel, SecretBytes, SecretKey, SpentBits, Use
from qanat.ground.messages import Message
from qanat.ground.network import Network
from qanat.ground.requirements import Repeatable
from qanat.ground.route_policy import RoutePolicy
from qanat.key_management.accounts import may_spend, relay_bits
from qanat.key_management.codec import decode_word, kind_of
from qanat.key_management.wire import BlocksMissing, Relay, RelayVoided
from qanat.simulation.batches import Batch, ids_of_keys
from qanat.simulation.custody import Custody
from qanat.simulation.memory_disk import Disk
from qanat.simulation.sealing_check import sealing_fault, share_in
from qanat.simulation.secrecy import found_in

RELAY_KIND = kind_of(Relay)
MISSING_KIND = kind_of(BlocksMissing)
WATCHED_KINDS = {kind_of(word) for word in (Relay, BlocksMissing, RelayVoided)}
SAMPLE_BYTES = 16
"""Length of the pieces of secrets that are searched for in what is public."""


class BitLedger:
    """Which bits are taken, and for what. Bits may be taken again for the very same thing only where asked so."""

    def __init__(self) -> None:
        self._taken: dict[Hashable, list[tuple[int, int, str]]] = {}

    def take(self, place: Hashable, start_bit: int, stop_bit: int, purpose: str) -> str | None:
        """Enter an interval; return the purpose of an earlier one that overlaps it, unless it is the very same."""
        rows = self._taken.setdefault(place, [])
        at = bisect.bisect_left(rows, (start_bit, stop_bit, purpose))
        if at < len(rows) and rows[at] == (start_bit, stop_bit, purpose):
            return None
        for begin, end, earlier in rows[max(0, at - 1) : at + 1]:
            if begin < stop_bit and start_bit < end:
                return earlier
        rows.insert(at, (start_bit, stop_bit, purpose))
        return None


class Witness:
    """Sees everything, changes nothing, and collects violations."""

    def __init__(self, network: Network, disks: Mapping[NodeId, Disk]) -> None:
        self.violations: list[str] = []
        self.events: list[Event] = []
        self.link_origins: dict[LinkId, Origin] = {}
        self.keys_given = 0
        self._network = network
        self._disks = disks
        self.custody = Custody(network, disks, self.violation)
        self._spends = BitLedger()
        self._messages = BitLedger()
        self._spend_count = 0
        self._spent_bits: Counter[tuple[NodeId, PoolId, Use]] = Counter()
        self._relay_spends: list[tuple[PoolId, BitRange]] = []
        self._spent_bytes: dict[tuple[PoolId, BitRange], bytes] = {}
        self._keys: dict[KeyID, SecretKey] = {}
        self._supplied: dict[tuple[KeyID, SaeId], bytes] = {}
        self._asked: dict[tuple[KeyID, SaeId], tuple[str, str] | None] = {}
        self._answered: dict[tuple[SaeId, str], list[KeyID]] = {}
        self._batches: dict[str, Batch] = {}
        self._confirmed_keys: dict[KeyID, None] = {}
        self._lied_about: dict[KeyID, None] = {}
        self._different: dict[KeyID, NodeId] = {}
        self.num_lies = 0
        self.relay_bits_paid = 0
        self.relay_bits_burned = 0
        self._block_samples: dict[bytes, None] = {}
        self._received: dict[tuple[KeyID, SaeId], None] = {}
        self._public: list[bytes] = []

    def violation(self, text: str) -> None:
        self.violations.append(text)

    # --- what the stores commit ---

    def block_added(self, node: NodeId, block: KeyBlock) -> None:
        """Remember samples of the block: none of them may ever be seen in public."""
        self.custody.block_added(node, block)
        bits = block.bits.reveal()
        middle = len(bits) // 2
        for start in (0, middle, len(bits) - SAMPLE_BYTES):
            self._block_samples[bits[start : start + SAMPLE_BYTES]] = None
        if block.origin != self.link_origins.get(block.link_id, block.origin):
            self.violation(f"6: {node} stored a block of {block.link_id} labelled {block.origin}")

    def block_confirmed(self, node: NodeId, block_id: BlockId) -> None:
        self.custody.block_confirmed(node, block_id)

    def bits_spent(self, node: NodeId, spent: SpentBits, use: Use) -> None:
        """Every bit once per end; the same bits have the same value at both ends; the reserve pays for tags alone."""
        self._spend_count += 1
        for piece in spent.bits.slices:
            place = (node, spent.pool, piece.block_id)
            earlier = self._spends.take(place, piece.start_bit, piece.stop_bit, f"spend {self._spend_count}")
            if earlier is not None:
                self.violation(f"2: {node} spent {piece} of {spent.pool} again, after {earlier}")
        if not may_spend(spent.pool, use):
            self.violation(f"3: {node} spent {spent.pool} on {use}")
        self._spent_bits[node, spent.pool, use] += spent.bits.num_bits
        if use is Use.RELAY and node == spent.pool.sender:
            self._relay_spends.append((spent.pool, spent.bits))
        bits = spent.secret.reveal()
        if self._spent_bytes.setdefault((spent.pool, spent.bits), bits) != bits:
            self.violation(f"1: the ends of {spent.pool} hold different bits in {spent.bits}")

    def keys_put(self, node: NodeId, keys: Sequence[SecretKey]) -> None:
        """The same key at every node, honest in its label, and at its two ends alone."""
        self.custody.keys_put(node, keys)
        for key in keys:
            kept = replace(key, secret=SecretBytes(key.secret.reveal()))
            first = self._keys.setdefault(key.key_id, kept)
            if len(members_of(key.pair.slave)) > 1:  # each of several slaves' sites knows the way to itself alone
                kept = replace(kept, route=first.route, qkd_bits_spent=first.qkd_bits_spent)
            if first != kept or first.secret != kept.secret:
                if key.key_id in self._lied_about and key.key_id not in self._confirmed_keys:
                    self._different[key.key_id] = node  # its ends have yet to compare it
                else:
                    self.violation(f"1: key {key.key_id} differs at {node}")
            links = [self._network.link_between(*hop).link_id for hop in pairwise(key.route)]
            if key.origin == "device" and "twin" in {self.link_origins.get(link_id) for link_id in links}:
                self.violation(f"6: key {key.key_id} is labelled device and passed a twin")

    def keys_confirmed(self, key_ids: Sequence[KeyID]) -> None:
        """Remember which keys count at their origin: both ends hold the same."""
        self._confirmed_keys.update(dict.fromkeys(key_ids))
        for key_id in key_ids:
            if key_id in self._different:
                self.violation(f"1: key {key_id} counts, and {self._different[key_id]} holds another one")

    def keys_supplied(
        self, node: NodeId, sae: SaeId, keys: Sequence[SecretKey], *, call: Repeatable | None = None
    ) -> None:
        """Each key once per application, to its pair alone, at its own node, with the bytes that were put. Again only
        in answer to the same ``call``."""
        asked, key_ids = (call.nonce, call.request) if call is not None else None, [key.key_id for key in keys]
        for key in keys:
            if (key.key_id, sae) in self._supplied and (asked is None or self._asked[key.key_id, sae] != asked):
                self.violation(f"1: key {key.key_id} was supplied to {sae} again, by {node}")
            self._asked[key.key_id, sae] = asked
            if asked is not None and self._answered.setdefault((sae, asked[0]), key_ids) != key_ids:
                self.violation(f"1: {sae} got other keys in answer to the same call {asked[0]}")
            self._supplied[key.key_id, sae] = key.secret.reveal()
            if sae not in _ends(key.pair) or self._network.site_of(sae).node != node:
                self.violation(f"1: key {key.key_id} went to {sae} at {node}")
            if key.key_id not in self._keys or self._keys[key.key_id].secret != key.secret:
                self.violation(f"1: key {key.key_id} was supplied with bytes that were not put")

    # --- what is said and recorded ---

    def message_sent(self, sender: NodeId, message: Message, frame: bytes) -> None:
        """Look at what relays and voids things. ``frame`` is the message encoded."""
        self._public.append(frame)
        if message.kind not in WATCHED_KINDS:
            return
        word = decode_word(message)
        match word:
            case Relay():
                self._relay_sent(sender, message, word)
            case BlocksMissing():
                self.custody.missing_said(sender, word.block_ids)
            case RelayVoided():
                self.custody.relay_voided(word.relay_id, message.epoch)

    def bits_under(self, sender: NodeId, message: Message) -> bytes | None:
        """Return the bits that a relay message was sealed under."""
        word = decode_word(message)
        assert isinstance(word, Relay)
        return self._spent_bytes.get((PoolId(word.link_id, sender), word.pad_range))

    def relay_lied(self, message: Message) -> None:
        """A relay hands on another share than it was given: the far end may hold other keys, but they never count."""
        word = decode_word(message)
        assert isinstance(word, Relay)
        self._lied_about.update(dict.fromkeys(ids_of_keys(word.ids_from, word.num_keys)))
        self.num_lies += 1

    def message_arrived(self, receiver: NodeId, message: Message) -> None:
        """Remember what gives the receiver the right to void blocks."""
        if message.kind == MISSING_KIND:
            word = decode_word(message)
            assert isinstance(word, BlocksMissing)
            self.custody.missing_heard(receiver, word.block_ids)

    def _relay_sent(self, sender: NodeId, message: Message, word: Relay) -> None:
        """No bit of pad under two messages, each sealed as it should be; what a batch of keys has cost so far."""
        content = hashlib.sha256(canonical_json(message.fields) + message.body).hexdigest()
        for piece in word.pad_range.slices:
            place = (word.link_id, sender, piece.block_id)
            earlier = self._messages.take(place, piece.start_bit, piece.stop_bit, content)
            if earlier is not None:
                self.violation(f"2: {sender} put two messages under {piece} of {word.link_id}")
        pool = PoolId(word.link_id, sender)
        spent = self._spent_bytes.get((pool, word.pad_range))
        held = [self._keys.get(key_id) for key_id in ids_of_keys(word.ids_from, word.num_keys)]
        keys = [key.secret.reveal() if key is not None else None for key in held]
        is_true = ids_of_keys(word.ids_from, 1)[0] not in self._lied_about
        if fault := sealing_fault(message, spent=spent, keys=keys if word.shares == 1 and is_true else None):
            self.violation(f"2: relay {word.relay_id} of {sender} {fault}")
        batch = self._batches.setdefault(word.relay_id, Batch())
        batch.words.setdefault(word.share, word)
        links = [self._network.link_between(*hop) for hop in pairwise(word.route)]
        batch.more_hops[word.share] = sum(link.kind == "announced" for link in links)
        hop = links[word.hop - 1]
        batch.spends[word.share, pool, word.pad_range] = self._weight(pool) * word.pad_range.num_bits
        if (
            spent is not None
            and (
                fault := batch.carried(
                    sender,
                    word.route[word.hop],
                    word,
                    share_in(message, spent=spent),
                    known_to=NodeId(hop.satellite) if hop.kind == "announced" else None,
                )
            )
            and is_true
        ):
            self.violation(f"7: relay {word.relay_id}: {fault}")

    def session_started(self, link_id: LinkId, order_id: OrderId, pads: SpentBits) -> None:
        """No pads under two sessions. A session whose ends hold different pads makes no key: its link sees to that."""
        for piece in pads.bits.slices:
            place = (link_id, None, piece.block_id)
            earlier = self._messages.take(place, piece.start_bit, piece.stop_bit, f"session {order_id}")
            if earlier is not None:
                self.violation(f"2: sessions {earlier} and {order_id} of {link_id} share pads")

    def event(self, event: Event) -> None:
        """The sink of every recorder of the world."""
        self.events.append(event)
        if event.kind is EventKind.NODE_STARTED and event.node in self._disks:
            self.custody.node_started(event.node)
        if event.kind is EventKind.RELAY_FAILED and "burned_bits" in event.data:
            self.custody.relay_failed(event.node, str(event.data["relay_id"]))
        self._public.append(canonical_json(event.data))

    def check_required(self, keys: Sequence[SecretKey], disjoint_routes: int) -> None:
        """Somebody has got keys who required so many routes."""
        shares = {key_id: batch.any.shares for batch in self._batches.values() for key_id in batch.key_ids}
        for key in keys:
            if len(key.route) == 1:
                continue  # for two applications of one node: it has passed nobody
            if shares.get(key.key_id, 0) < disjoint_routes:
                self.violation(
                    f"7: key {key.key_id} was given for {disjoint_routes} routes, and has"
                    f" {shares.get(key.key_id, 0)} shares"
                )

    def check_way(self, keys: Sequence[SecretKey], policy: RoutePolicy) -> None:
        """Somebody has got keys who required this of their way."""
        passed: dict[KeyID, set[NodeId]] = {}
        for batch in self._batches.values():
            seen = {node for nodes in batch.knows.values() for node in nodes}
            for key_id in batch.key_ids:
                passed.setdefault(key_id, set()).update(seen)
        for key in keys:
            nodes = passed.get(key.key_id, set(key.route))
            ends = sorted({*key.route[:1], *key.route[-1:]})
            way = (*ends[:1], *sorted(nodes.difference(ends)), *ends[1:])
            if not policy.allows(way, regions=self._network.regions):
                self.violation(f"8: key {key.key_id} was seen at {', '.join(way)}, and was given for {policy}")

    def answer_received(self, sae: SaeId, keys: Sequence[SecretKey]) -> None:
        """An application has got keys: never others than the store supplied to it, never one that it has already."""
        for key in keys:
            self.keys_given += 1
            if self._supplied.get((key.key_id, sae)) != key.secret.reveal():
                self.violation(f"1: {sae} was given key {key.key_id} otherwise than its store supplied it")
            if (key.key_id, sae) in self._received:
                self.violation(f"1: {sae} was given key {key.key_id} twice")
            self._received[key.key_id, sae] = None

    # --- at the end ---

    def digest(self) -> str:
        """Return a fingerprint of the run: of every event and message, in order."""
        return hashlib.sha256(b"\n".join([*self._public, *(event.id.encode() for event in self.events)])).hexdigest()

    def check_doubts(self) -> None:
        """Check that nothing is left in doubt; for runs that have come to rest, before the stores are opened anew."""
        self.custody.check_doubts(self._batches)

    def count_orphans(self) -> int:
        """Return how many keys wait at slaves' nodes that no master can have: what crashes leave behind."""
        masters = {
            key_id for key_id, sae in self._supplied if key_id in self._keys and sae == self._keys[key_id].pair.master
        }
        return self.custody.count_orphans(masters)

    def close_books(self, levels: Mapping[NodeId, Mapping[PoolId, PoolLevel]], *, thorough: bool = True) -> None:
        """Check what only the whole run shows. ``thorough``: also the chain of each gift, and every key against all
        that was said, which take the square of a run's length."""
        self._check_pools(levels)
        self._check_costs()
        self.custody.check_blocks()
        self._check_survival()
        if thorough:
            self._check_steps()
            self._check_secrecy()

    def _check_pools(self, levels: Mapping[NodeId, Mapping[PoolId, PoolLevel]]) -> None:
        tally: dict[tuple[NodeId, PoolId, Use], int] = {}
        for node, pools in levels.items():
            for pool, level in pools.items():
                tally.update({(node, pool, use): bits for use, bits in level.spent_bits.items() if bits})
                spent_bits = sum(level.spent_bits.values())
                lost_bits = level.voided_bits + level.expired_bits
                total_bits = level.unconfirmed_bits + level.available_bits + spent_bits + lost_bits
                if total_bits != level.received_bits:
                    self.violation(f"3: {pool} at {node} received {level.received_bits}, accounts for {total_bits}")
        if tally != dict(self._spent_bits):
            self.violation(f"3: the stores' books {tally} are not what was spent {dict(self._spent_bits)}")

    def _check_costs(self) -> None:
        """Every job that counts cost what its keys and its events say; all else that relays took was burned."""
        told = {str(event.data["relay_id"]): event for event in self.events if event.kind is EventKind.KEYS_RELAYED}
        secrets = {key_id: key.secret.reveal() for key_id, key in self._keys.items()}
        jobs: dict[str, list[str]] = {}  # several relays where there are several slaves' sites
        for relay_id, batch in self._batches.items():
            jobs.setdefault(batch.any.ids_from, []).append(relay_id)
        said_in_all, used = 0, set[tuple[PoolId, BitRange]]()
        for relay_ids in jobs.values():
            batches = [self._batches[relay_id] for relay_id in relay_ids]
            word, key_ids = batches[0].any, batches[0].key_ids
            if self._confirmed_keys.keys().isdisjoint(key_ids):
                continue
            hops, paid_bits = sum(batch.hops for batch in batches), sum(batch.paid_bits for batch in batches)
            said = [self._keys[key_id].qkd_bits_spent for key_id in key_ids]
            said_bits = sum(said)
            due_bits = hops * relay_bits(count=len(key_ids), size_bits=word.size_bits)
            costs = _evenly(due_bits, len(key_ids))
            events = [told[relay_id] for relay_id in relay_ids if relay_id in told]
            told_bits = (
                sum(int(str(event.data["qkd_bits"])) for event in events) if len(events) == len(batches) else due_bits
            )
            if not said_bits == paid_bits == due_bits == told_bits or said != costs:
                self.violation(
                    f"3: relay {relay_ids[0]} cost {paid_bits} bits, its keys say {said_bits}, its events {told_bits},"
                    f" due {due_bits}"
                )
            for relay_id, batch in zip(relay_ids, batches, strict=True):
                if fault := batch.fault(secrets):
                    self.violation(f"7: relay {relay_id} {fault}")
                used.update((pool, bits) for _, pool, bits in batch.spends)
            said_in_all += said_bits
        self._check_relay_books(said_in_all, used)

    def _check_relay_books(self, said_bits: int, used: Container[tuple[PoolId, BitRange]]) -> None:
        """What the keys say, and what was burned, is all that left the pools for relays, each hop at its sender."""
        left_bits = sum(
            self._weight(pool) * bits
            for (node, pool, use), bits in self._spent_bits.items()
            if use is Use.RELAY and node == pool.sender
        )
        burned_bits = sum(
            self._weight(pool) * bits.num_bits for pool, bits in self._relay_spends if (pool, bits) not in used
        )
        self.relay_bits_paid, self.relay_bits_burned = said_bits, burned_bits
        if said_bits + burned_bits != left_bits:
            self.violation(f"3: relays took {left_bits} bits; keys say {said_bits}, {burned_bits} were burned")

    def _weight(self, pool: PoolId) -> int:
        """Return how many bits of QKD links a bit of a pool took: two where a satellite has announced it."""
        return 2 if self._network.link(pool.link_id).kind == "announced" else 1

    def _check_survival(self) -> None:
        """The slave's node holds every key that the master was supplied, until the slave is supplied too."""
        for key_id, sae in list(self._supplied):
            pair = self._keys[key_id].pair if key_id in self._keys else None
            if pair is None or sae != pair.master:
                continue
            for slave in members_of(pair.slave):
                held = self._disks[self._network.site_of(slave).node].keys.get(key_id)
                is_held = held is not None and slave in held.entitled and held.confirmed
                if not is_held and (key_id, slave) not in self._supplied:
                    self.violation(f"4: key {key_id} was supplied to its master, and its slave's node does not hold it")

    def _check_steps(self) -> None:
        """Every gift of keys goes back by rounds of 5 (6 7 8) to 2 3, and to 1 where an application has recorded it."""
        for event in self.events:
            if event.kind is not EventKind.KEY_GIVEN:
                continue
            steps = "".join(str(step) for one in chain(self.events, event.id) if (step := one.step) is not None)
            if not re.fullmatch("1?23(5678|5)*4", steps):
                self.violation(f"the steps of request {event.request_id} are {steps}")

    def _check_secrecy(self) -> None:
        public = b"\n".join(self._public)
        secrets = dict(self._block_samples)
        secrets.update({key.secret.reveal()[:SAMPLE_BYTES]: None for key in self._keys.values()})
        for _ in found_in(public, secrets):
            self.violation("5: key bytes stand in an event or a message")


def _evenly(bits: int, count: int) -> list[int]:
    """Return the parts of ``count`` keys; what does not divide is paid by the first ones, one bit each."""
    return [bits // count + (place < bits % count) for place in range(count)]


def _ends(pair: SaePair) -> tuple[SaeId, ...]:
    return pair.master, *members_of(pair.slave)
