"""A made-up run of a backbone of 31 spans for the report's tests: names are the paper's (Fig. 4b), figures are FAKE.

Nothing here was measured. Losses, rates and deviations come from a seeded generator and a straight line, places from
points between four cities; they only look as the real ones might.
"""

from __future__ import annotations

import dataclasses
import math
import random
from itertools import pairwise

from qanat.apps.report import (
    Check,
    DemoResult,
    DoorLatency,
    IntensitySample,
    LinkPrediction,
    LinkResult,
    PoolSample,
    RelayAccount,
    Transfer,
    life_of_key,
)
from qanat.ground.events import Event
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Application, Link, Network, PreparedKeys, Site
from unit.report_sample import START_S, sample_events, sample_result

RELAYS = (
    *("Beijing", "Gaocun", "Wangqingtuo", "Tianjin", "Ziya", "Cangzhoubei", "Dongguang", "Dezhou"),
    *("Yucheng", "Jinan", "Taian", "Qufu", "Tengzhou", "Xuecheng", "Xuzhou", "Zhuangli"),
    *("Fuli", "Junwang", "Yuhui", "Wuxu", "Hefei", "Dashu", "Chuzhou", "Nanjing"),
    *("Jurong", "Zhenjiang", "Danyang", "Changzhou", "Wuxi", "Suzhou", "Kunshan", "Shanghai"),
)
CORNERS = ((0, 39.9, 116.4), (9, 36.65, 117.0), (20, 31.85, 117.25), (23, 32.05, 118.8), (31, 31.23, 121.47))
"""Number of the relay, latitude and longitude (degrees) between which the others are put evenly: FAKE places."""

GENERATION_S = 31.4
NUM_SPANS = len(RELAYS) - 1
ROUTE = ("user-beijing", *(name.lower() for name in RELAYS), "user-shanghai")


def backbone_network() -> Network:
    """Return the line: a user, 32 relays, a user."""
    places = [_place(number) for number in range(len(RELAYS))]
    sites = [
        Site(name=name.lower(), kind="relay", title=name, latitude_deg=lat, longitude_deg=lon, counted_as="backbone")
        for name, (lat, lon) in zip(RELAYS, places, strict=True)
    ]
    users = [
        Site(name=f"user-{name}", kind="user", title=f"{name.title()} (user)", latitude_deg=lat, longitude_deg=lon)
        for name, lat, lon in (("beijing", 40.0, 116.3), ("shanghai", 31.1, 121.6))
    ]
    losses = (6.2, *_losses_db(), 5.4)
    links = [
        Link(
            name=f"{one}-{other}",
            transmitter=one,
            receiver=other,
            system="backbone-625",
            loss_db=loss_db,
            length_km=round(63.8 * loss_db / 16.0, 1),
            counted_as="backbone" if 0 < number <= NUM_SPANS else "",
        )
        for number, (loss_db, (one, other)) in enumerate(zip(losses, pairwise(ROUTE), strict=True))
    ]
    return Network(
        format="qanat-network/1",
        name="fake-backbone",
        title="A backbone of 31 spans (FAKE)",
        sites=(users[0], *sites, users[1]),
        links=tuple(links),
        applications=(Application(name="alice", site=ROUTE[0]), Application(name="bob", site=ROUTE[-1])),
        prepared_keys=(PreparedKeys(master="alice", slave="bob", count=1000),),
    )


def _place(number: int) -> tuple[float, float]:
    for (first, lat, lon), (last, to_lat, to_lon) in pairwise(CORNERS):
        if first <= number <= last:
            share = (number - first) / (last - first)
            return lat + share * (to_lat - lat), lon + share * (to_lon - lon)
    raise ValueError(f"no corner beyond relay {number}")


def _losses_db() -> list[float]:
    dice = random.Random(31)
    losses = [round(min(20.0, max(11.0, dice.gauss(16.1, 2.2))), 1) for _ in range(NUM_SPANS)]
    losses[6], losses[18] = 10.3, 20.5
    return losses


def fake_rate_bits_per_s(loss_db: float) -> float:
    """A straight line in decibels through 200 kbit/s at 10.3 dB and 26 kbit/s at 20.5 dB."""
    return 200e3 * math.exp(-(loss_db - 10.3) * math.log(200 / 26) / 10.2)


def backbone_link(link: Link, dice: random.Random) -> LinkResult:
    rate = fake_rate_bits_per_s(link.loss_db)
    verified = 4_194_304
    leaked = round(0.055 * verified * (1 + 0.02 * dice.gauss(0, 1)))
    return LinkResult(
        link_id=link.link_id,
        ends=link.ends,
        system=link.system,
        loss_db=link.loss_db,
        length_km=link.length_km,
        light_s=verified / (3.1 * rate),
        sifted_rate_bits_per_s=3.4 * rate,
        qber=0.0055 + 0.0002 * dice.gauss(0, 1) + 2e-5 * link.loss_db,
        f_ec=1.052 + 0.003 * dice.gauss(0, 1),
        block_bits=verified,
        secret_rate_bits_per_s=rate,
        eps_sec=9.99e-10,
        eps_cor=1e-15,
        eps_auth=1e-22,
        num_tags=6,
        eps_total=9.99001e-10,
        proof="a proof (FAKE)",
        keys_identical=True,
        keys_checked=2,
        leaked_bits={"error correction": leaked},
        estimation_bits=720_000,
        pad_bits_spent=1_024,
        predicted=LinkPrediction(3.4 * rate, 0.0055 + 2e-5 * link.loss_db, 0.985 * rate, 1.3 * rate, "a fake proof"),
        life=life_of_key(
            detections=10_000_000,
            sifted_bits=4_660_000,
            key_bits=verified,
            verified_bits=verified,
            leaked_bits=leaked,
            secret_bits=round(0.32 * verified),
        ),
        intensities=tuple(_sample(name, mu, dice) for name, mu in (("signal", 0.6), ("decoy", 0.2), ("vacuum", 0.0))),
        length_terms_bits={"one-photon": 2_345_678.0, "phase errors": -654_321.0, "error correction": -leaked},
    )


def _sample(name: str, mean_photons: float, dice: random.Random) -> IntensitySample:
    gain, qber = 3e-3 * mean_photons + 6e-7, 0.005 if mean_photons else 0.5
    return IntensitySample(
        name=name,
        mean_photons=mean_photons,
        gain=gain * (1 + 0.001 * dice.gauss(0, 1)),
        gain_sigma=0.001 * gain,
        gain_model=gain,
        qber=qber * (1 + 0.01 * dice.gauss(0, 1)),
        qber_sigma=0.01 * qber,
        qber_model=qber,
    )


def backbone_pools(network: Network) -> tuple[PoolSample, ...]:
    """Each link's pool is filled by a block when it is done, drained by the file and topped up by a second block."""
    dice = random.Random(4)
    done_s = {link.name: 4 + 27 * dice.random() for link in network.links}
    samples = []
    for look in range(160):
        now_s = 0.3 * look
        drained = 40_000 * (now_s > 33) + 6_000 * max(0.0, now_s - 34)
        for link in network.links:
            num_blocks = (now_s > done_s[link.name]) + (now_s > 2 * done_s[link.name] + 8)
            block_bits = 4.6 * fake_rate_bits_per_s(link.loss_db) + 900_000
            bits = round(max(0.0, num_blocks * block_bits - (drained if num_blocks else 0)))
            samples.append(PoolSample(START_S + now_s, link.name, bits))
        ready = min(1000, round(90 * max(0.0, now_s - 34)))
        samples.append(PoolSample(START_S + now_s, "alice to bob", 256 * ready, is_end_to_end=True))
    return tuple(samples)


def backbone_events() -> list[Event]:
    """The two requests of the small sample, at the ends of the long line, with a generation of half a minute."""
    node = {"suzhou": ROUTE[0], "shanghai": ROUTE[-1], "controller": "controller"}
    extent = {3: {"route": ROUTE}, 4: {"num_keys": 128}, 6: {"route": ROUTE}, 7: {"links": ROUTE[1:]}}
    events, late_s = [], 0.0
    for event in sample_events():
        if event.step == 8:
            late_s = GENERATION_S - 9.41
        events.append(
            dataclasses.replace(
                event,
                node=NodeId(node[event.node]),
                monotonic_s=event.monotonic_s + late_s,
                utc_s=event.utc_s + late_s,
                data=extent.get(event.step, {}),
            )
        )
    return events


def backbone_result() -> DemoResult:
    network, dice = backbone_network(), random.Random(9)
    links = tuple(backbone_link(link, dice) for link in network.links)
    transfers = tuple(
        Transfer(name, size, keys, True, took_s, ROUTE, "fa" * 32, request)
        for name, size, keys, took_s, request in (
            ("FAKE-file.bin", 10_000_000, 10, 32.1, "first"),
            ("FAKE-letter.txt", 98, 1, 0.2, "second"),
        )
    )
    relays = tuple(
        RelayAccount(f"batch {number} of {keys} keys", 128 * keys, 33, 33 * 256, 33 * (128 * keys + 256))
        for number, keys in enumerate((128, 26, 2, *[64] * 15), start=1)
    )
    checks = (
        Check("FAKE: the received files equal the sent ones, byte by byte", True),
        *(Check(f"FAKE: {link.link_id}: every key block is the same at both ends", True) for link in links),
        Check("FAKE: bits spent add up", True),
    )
    return dataclasses.replace(
        sample_result(),
        network=network,
        events=backbone_events(),
        links=links,
        transfers=transfers,
        checks=checks,
        started_utc_s=1_500_000_000.0 + START_S - 4.0,
        duration_s=52.5,
        pool_samples=backbone_pools(network),
        relays=relays,
        door_latency=DoorLatency("user-beijing", 4_321, 0.0021, 0.0113, 0.0612),
    )
