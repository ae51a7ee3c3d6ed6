"""What a demonstration found out, as plain records: the report draws nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from qanat.ground.events import Event, Json
from qanat.ground.network import Network

Provenance: TypeAlias = Literal["input", "predicted (photon level)", "predicted (model)", "live run", "paper"]
"""What a number is: taken from the network file or a data sheet; found by drawing photons and distilling them; computed
from a formula; seen in this run; printed in the paper."""

LINK_PROVENANCE: Mapping[str, Provenance] = {
    "loss_db": "input",
    "length_km": "input",
    "light_s": "predicted (photon level)",
    "sifted_rate_bits_per_s": "predicted (photon level)",
    "qber": "predicted (photon level)",
    "f_ec": "predicted (photon level)",
    "block_bits": "input",
    "eps_total": "input",
    "secret_rate_bits_per_s": "predicted (photon level)",
    "keys_identical": "live run",
}
"""What the numbers of a link's row are when the link is a twin."""


@dataclass(frozen=True, slots=True)
class LifeStage:
    """How many bits reached a stage of the key's life, and what became of the others since the stage before."""

    name: str
    num_bits: int
    gone_to: str = ""


def life_of_key(
    *, detections: int, sifted_bits: int, key_bits: int, verified_bits: int, leaked_bits: int, secret_bits: int
) -> tuple[LifeStage, ...]:
    """Return the stages of the key ladder.

    ``detections``: slots in which a detector of Bob's clicked. ``sifted_bits``: of these, signal in which both chose
    one basis. ``key_bits``: what of it was not disclosed. ``verified_bits``: of these, equal at both ends by hash.
    ``leaked_bits``: parities told by error correction.
    """
    return (
        LifeStage("detections", detections),
        LifeStage("sifted", sifted_bits, "other basis, decoy or vacuum, after the block was full"),
        LifeStage("undisclosed", key_bits, "a sample of the signal: told in clear to estimate"),
        LifeStage("verified", verified_bits, "blocks that failed verification"),
        LifeStage("less error correction", verified_bits - leaked_bits, "parities told in clear"),
        LifeStage("secret", secret_bits, "amplification: multi-photon, phase error, proof terms"),
    )


@dataclass(frozen=True, slots=True)
class LinkPrediction:
    """What formulas give for a link, before a photon is drawn. Zero bits of block means: asymptotic."""

    sifted_rate_bits_per_s: float
    qber: float
    secret_rate_bits_per_s: float
    secret_rate_asymptotic_bits_per_s: float
    proof: str = ""


@dataclass(frozen=True, slots=True)
class IntensitySample:
    """Gain (clicks per pulse) and QBER of one intensity, as drawn and by the model, with one standard error each."""

    name: str
    mean_photons: float
    gain: float
    gain_sigma: float
    gain_model: float
    qber: float | None = None
    qber_sigma: float | None = None
    qber_model: float | None = None


@dataclass(frozen=True, slots=True)
class LinkResult:
    """A link's row. Rates are per second of the link's own time, of which the block took ``light_s``; ``provenance``
    says per field what a number is.

    ``eps_total`` is ``eps_sec + eps_cor + num_tags * eps_auth`` of one amplification block of ``block_bits`` bits.
    """

    link_id: str
    ends: tuple[str, str]
    system: str
    loss_db: float
    length_km: float
    light_s: float
    sifted_rate_bits_per_s: float
    qber: float
    f_ec: float
    block_bits: int
    secret_rate_bits_per_s: float
    eps_sec: float
    eps_cor: float
    eps_auth: float
    num_tags: int
    eps_total: float
    proof: str
    keys_identical: bool
    keys_checked: int
    leaked_bits: Mapping[str, int]
    estimation_bits: int
    pad_bits_spent: int
    predicted: LinkPrediction | None = None
    life: tuple[LifeStage, ...] = ()
    intensities: tuple[IntensitySample, ...] = ()
    length_terms_bits: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, Provenance] = field(default_factory=lambda: LINK_PROVENANCE)


@dataclass(frozen=True, slots=True)
class Transfer:
    """A file that was sent under ``num_keys`` keys. ``key_route`` lists the nodes that they passed, ends included."""

    name: str
    size_bytes: int
    num_keys: int
    identical: bool
    duration_s: float
    key_route: tuple[str, ...]
    sha256: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class PoolSample:
    """What a pool held at a moment (the events' monotonic time): a link's, or one of keys prepared end to end."""

    monotonic_s: float
    pool: str
    num_bits: int
    is_end_to_end: bool = False


@dataclass(frozen=True, slots=True)
class DoorLatency:
    """How long a site's door took to answer while links made key: ``count`` calls over one kept connection."""

    site: str
    count: int
    p50_s: float
    p99_s: float
    most_s: float


@dataclass(frozen=True, slots=True)
class RelayAccount:
    """What keys between two users took from the links: bits spent = hops x key bits + authentication bits."""

    label: str
    key_bits: int
    num_hops: int
    authentication_bits: int
    qkd_bits_spent: int

    @property
    def is_balanced(self) -> bool:
        return self.qkd_bits_spent == self.num_hops * self.key_bits + self.authentication_bits


@dataclass(frozen=True, slots=True)
class Check:
    """Something that the demonstration set out to prove."""

    text: str
    held: bool


@dataclass(frozen=True, slots=True)
class PassResult:
    """A pass that made key. Expected: by the model; the rest is of this run, at photon level.

    waited_s: what would have been waited for it, and was left out; took_s: how long it took here. light_share: how much
    of the pass's light was used; 1: all.
    """

    link_id: str
    satellite: str
    station: str
    rise_utc_s: float
    set_utc_s: float
    max_elevation_deg: float
    min_range_km: float
    loss_db: tuple[float, float]
    light_s: float
    light_share: float
    sifted_bits: int
    qber: float
    f_ec: float
    secret_bits: int
    expected_sifted_bits: float
    expected_qber: float
    expected_secret_bits: float
    eps_total: float
    keys_identical: bool
    waited_s: float
    took_s: float
    air: str


@dataclass(frozen=True, slots=True)
class AnnouncedKey:
    """What a satellite has announced once: key for two stations, for as much of both downlinks' and the tags."""

    block_id: str
    route: tuple[str, ...]
    num_bits: int
    authentication_bits: int
    qkd_bits: int
    opened_at: tuple[str, ...]
    stored_at: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether each of the two stations has opened and stored it, once."""
        ends = {self.route[0], self.route[-1]}
        return set(self.opened_at) == set(self.stored_at) == ends and len(self.opened_at) == len(self.stored_at) == 2

    @property
    def is_balanced(self) -> bool:
        return self.qkd_bits == (len(self.route) - 1) * self.num_bits + self.authentication_bits


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of the way: ours in km and what it is, and what the paper prints; None: nothing."""

    name: str
    length_km: float
    kind: Provenance
    paper_km: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class SpaceResult:
    """All that went by satellite in a run."""

    passes: tuple[PassResult, ...]
    announced: tuple[AnnouncedKey, ...]
    transfer: Transfer
    delivered_event: str
    legs: tuple[Leg, ...]
    """Parts of the way from end to end."""
    title: tuple[Leg, ...]
    """The two parts that the paper's title counts, and their sum; empty for other networks."""

    @property
    def total_km(self) -> float:
        return sum(leg.length_km for leg in self.legs)


@dataclass(frozen=True, slots=True)
class DemoResult:
    """A whole run. ``software`` and ``machine`` are name -> text; times are Unix seconds and seconds. ``entropy``:
    where the devices' entropy came from and its account, as the JSON has it."""

    network: Network
    events: Sequence[Event]
    links: Sequence[LinkResult]
    transfers: Sequence[Transfer]
    checks: Sequence[Check]
    started_utc_s: float
    duration_s: float
    pool_samples: Sequence[PoolSample] = ()
    relays: Sequence[RelayAccount] = ()
    door_latency: DoorLatency | None = None
    software: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    space: SpaceResult | None = None
    """What went by satellite; None where nothing did."""
    entropy: Mapping[str, Json] = field(default_factory=lambda: {"source": "operating system"})

    @property
    def all_held(self) -> bool:
        return all(check.held for check in self.checks)
