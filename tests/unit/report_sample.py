"""A made-up run for the report's tests. No figure here was measured or computed by anything: they are FAKE."""

from __future__ import annotations

from qanat.apps.report import (
    Check,
    DemoResult,
    IntensitySample,
    LinkPrediction,
    LinkResult,
    PoolSample,
    RelayAccount,
    Transfer,
    life_of_key,
)
from qanat.ground.data import read_text
from qanat.ground.events import STEP_OF_KIND, Event
from qanat.ground.identifiers import EventId, NodeId, RequestId
from qanat.ground.network import Network, parse_network

START_S = 1_000.0
KIND_OF_STEP = {step: kind for kind, step in STEP_OF_KIND.items()}
NODE_OF_STEP = {5: "suzhou", 6: "controller", 7: "controller", 8: "suzhou", 10: "shanghai"}
FIRST = (1, 2, 3, 5, 6, 7, 8, 4, 9, 10)
SECOND = (1, 2, 3, 4, 9, 10)
AFTER_S = {1: 0.0, 2: 0.004, 3: 0.002, 5: 0.003, 6: 0.004, 7: 0.001, 8: 9.41, 4: 0.035, 9: 0.006, 10: 0.41}


def sample_network() -> Network:
    return parse_network(read_text("networks", "three-nodes.yaml"), source="three-nodes.yaml")


def sample_events() -> list[Event]:
    events: list[Event] = []
    now_s = START_S
    for request, steps in (("first", FIRST), ("second", SECOND)):
        cause: EventId | None = None
        for step in steps:
            now_s += AFTER_S[step]
            event_id = EventId(f"{step:08x}-fake-{request}")
            node = NodeId(NODE_OF_STEP.get(step, "suzhou"))
            kind = KIND_OF_STEP[step]
            events.append(
                Event(event_id, cause, RequestId(request), node, now_s, 1_500_000_000 + now_s, kind, {"fake": True})
            )
            cause = event_id
        now_s += 1.0
    return events


def sample_link(name: str, ends: tuple[str, str], loss_db: float, length_km: float, scale: float) -> LinkResult:
    detections = 15_000_000
    return LinkResult(
        link_id=name,
        ends=ends,
        system="backbone-625",
        loss_db=loss_db,
        length_km=length_km,
        light_s=7.0,
        sifted_rate_bits_per_s=1_234_567 * scale,
        qber=0.0123,
        f_ec=1.111,
        block_bits=4_194_304,
        secret_rate_bits_per_s=123_456 * scale,
        eps_sec=9.99e-10,
        eps_cor=1e-15,
        eps_auth=1e-22,
        num_tags=6,
        eps_total=9.99001e-10,
        proof="a proof (FAKE)",
        keys_identical=True,
        keys_checked=321,
        leaked_bits={"cascade": 456_789, "verification": 1_024},
        estimation_bits=1_111_111,
        pad_bits_spent=1_024,
        predicted=LinkPrediction(1_222_222 * scale, 0.0121, 121_212 * scale, 222_222 * scale, "a fake proof"),
        life=life_of_key(
            detections=detections,
            sifted_bits=detections // 2,
            key_bits=4_300_000,
            verified_bits=4_194_304,
            leaked_bits=456_789,
            secret_bits=1_234_560,
        ),
        intensities=(
            IntensitySample("signal", 0.6, 3.456e-3, 2.1e-6, 3.4575e-3, 0.0123, 0.0001, 0.01225),
            IntensitySample("decoy", 0.2, 1.165e-3, 1.9e-6, 1.1612e-3, 0.0141, 0.0003, 0.0139),
            IntensitySample("vacuum", 0.0, 6.1e-7, 4.4e-8, 6.0e-7, 0.49, 0.03, 0.5),
        ),
        length_terms_bits={"one-photon": 2_345_678.0, "phase errors": -654_321.0, "error correction": -456_789.0},
    )


def sample_pools() -> tuple[PoolSample, ...]:
    samples = [PoolSample(START_S, pool, 0) for pool in ("suzhou-kunshan/suzhou", "suzhou-kunshan/kunshan")]
    for step in range(1, 12):
        for number, pool in enumerate(
            ("suzhou-kunshan/suzhou", "suzhou-kunshan/kunshan", "kunshan-shanghai/kunshan", "kunshan-shanghai/shanghai")
        ):
            bits = max(0, 60_000 * (step - number) - (30_000 if step > 9 else 0))
            samples.append(PoolSample(START_S + step, pool, bits))
        samples.append(PoolSample(START_S + step, "suzhou-kunshan/authentication", 20_000 + 300 * step))
        samples.append(PoolSample(START_S + step, "kunshan-shanghai/authentication", 20_100 + 200 * step))
    return tuple(samples)


def sample_result() -> DemoResult:
    transfers = tuple(
        Transfer(name, size, keys, True, took_s, ("suzhou", "kunshan", "shanghai"), "fa" * 32, request)
        for name, size, keys, took_s, request in (
            ("FAKE-letter.bin", 10_000_000, 10, 0.42, "first"),
            ("FAKE-postscript.txt", 321, 1, 0.02, "second"),
        )
    )
    return DemoResult(
        network=sample_network(),
        events=sample_events(),
        links=(
            sample_link("suzhou-kunshan", ("suzhou", "kunshan"), 10.3, 41.1, 1.0),
            sample_link("kunshan-shanghai", ("kunshan", "shanghai"), 16.0, 63.8, 0.34),
        ),
        transfers=transfers,
        checks=(
            Check("FAKE: the received files equal the sent ones, byte by byte", True),
            Check("FAKE: every key is the same at both ends", True),
            Check("FAKE: each step's cause is the step before it", True),
            Check("FAKE: bits spent add up", True),
        ),
        started_utc_s=1_500_000_000.0 + START_S - 2.0,
        duration_s=14.2,
        pool_samples=sample_pools(),
        relays=(RelayAccount("alice to bob", 19_968, 2, 1_024, 40_960),),
        software={"Qanat": "0.0.fake", "Python": "3.11", "numpy": "0.fake"},
        machine={"cores": "2", "processor": "a fake one"},
    )
