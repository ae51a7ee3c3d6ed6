"""What a demonstration found: links, transfers and relays from its events, and the checks that it set out to hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qanat.apps.proof import KeyProof
from qanat.apps.report import (
    Check,
    IntensitySample,
    LinkPrediction,
    LinkResult,
    RelayAccount,
    Transfer,
    life_of_key,
)
from qanat.apps.transfer import Delivery
from qanat.ground.events import Event, EventKind, Json, chain
from qanat.ground.identifiers import EventId
from qanat.ground.network import Link, Network
from qanat.physics.analytic import link_model
from qanat.physics.systems import system_named
from qanat.protocols.decoy import BASIS_NAMES, INTENSITY_NAMES, SecurityParameters
from qanat.quantum_layer.forecast import link_forecast

FEW_LINKS = 6
"""Up to so many links each has a line of its own among the checks."""
TERM_TEXTS = {
    "entropy_rectilinear": "+ unknown to Eve, rectilinear basis",
    "entropy_diagonal": "+ unknown to Eve, diagonal basis",
    "leaked": "- told by error correction",
    "secrecy": "- secrecy (epsilon)",
    "correctness": "- correctness (epsilon)",
}
WITH_SHORTAGE = (1, 2, 3, 5, 6, 7, 8, 4, 9, 10)
WITH_ENOUGH = (1, 2, 3, 4, 9, 10)


def steps_of(events: Sequence[Event], delivered: str) -> list[Event]:
    """Return the steps of a request from 1 to 10: the chain of causes of its delivery."""
    return [event for event in chain(events, EventId(delivered)) if event.step is not None]


def _figures(link: Link, events: Sequence[Event]) -> list[Mapping[str, Json]]:
    """Return the figures of a link's finished blocks; none for a link that no route needed."""
    told = [e.data for e in events if e.kind is EventKind.LINK_QUALITY and e.data.get("link_id") == link.link_id]
    return [data for data in told if data["progress"] == 1]


def link_results(network: Network, events: Sequence[Event], proof: KeyProof) -> list[LinkResult]:
    """Return the rows of all fibres that made a block, in the network's order; passes have rows of their own."""
    return [
        _link_result(link, events, proof) for link in network.links if link.kind == "fibre" and _figures(link, events)
    ]


def _link_result(link: Link, events: Sequence[Event], proof: KeyProof) -> LinkResult:
    """Return a link's row from the figures of its last finished block."""
    data = _figures(link, events)[-1]
    details: Mapping[str, float] = data["details"]  # type: ignore[assignment]
    forecast = link_forecast(link.system, loss_db=link.loss_db, pairs=link.pairs)
    security = SecurityParameters()
    return LinkResult(
        link_id=link.link_id,
        ends=link.ends,
        system=link.system,
        loss_db=link.loss_db,
        length_km=link.length_km,
        light_s=as_number(data["link_time_s"]),
        sifted_rate_bits_per_s=as_number(data["sifted_rate_bits_per_s"]),
        qber=as_number(data["qber"]),
        f_ec=as_number(data["f_ec"]),
        block_bits=int(as_number(data["block_bits"])),
        secret_rate_bits_per_s=as_number(data["secret_rate_bits_per_s"]),
        eps_sec=security.eps_sec,
        eps_cor=security.eps_cor,
        eps_auth=security.eps_auth,
        num_tags=security.num_tags,
        eps_total=security.total,
        proof=forecast.proof,
        keys_identical=proof.blocks_are_identical(link.link_id),
        keys_checked=len(proof.blocks[link.link_id]),
        leaked_bits={
            "error correction": int(details["leaked_bits"]),
            "verification": int(details["verification_bits"]),
        },
        estimation_bits=int(details["estimation_bits"]),
        pad_bits_spent=int(details["pad_bits_spent"]),
        predicted=LinkPrediction(
            sifted_rate_bits_per_s=forecast.sifted_rate_bits_per_s,
            qber=forecast.qber,
            secret_rate_bits_per_s=forecast.secret_rate_bits_per_s,
            secret_rate_asymptotic_bits_per_s=forecast.secret_rate_asymptotic_bits_per_s,
            proof=forecast.proof,
        ),
        life=life_of_key(
            detections=int(details["detections"]),
            sifted_bits=int(as_number(data["sifted_bits"])),
            key_bits=int(details["key_bits"]),
            verified_bits=int(details["key_bits"]),
            leaked_bits=int(details["leaked_bits"]),
            secret_bits=int(details["secret_bits"]),
        ),
        intensities=_intensities(link, details),
        length_terms_bits={text: details[f"terms.{name}"] for name, text in TERM_TEXTS.items()},
        provenance={
            "loss_db": "input",
            "length_km": "input",
            "light_s": "predicted (photon level)",
            "sifted_rate_bits_per_s": "predicted (photon level)",
            "qber": "predicted (photon level)",
            "f_ec": "live run",
            "block_bits": "live run",
            "eps_total": "input",
            "secret_rate_bits_per_s": "predicted (photon level)",
            "keys_identical": "live run",
        },
    )


def _intensities(link: Link, details: Mapping[str, float]) -> tuple[IntensitySample, ...]:
    """Gain and QBER per intensity, where both chose the same basis, beside the analytic model."""
    system = system_named(link.system)
    model = link_model(system, loss_db=link.loss_db)
    expected_clicks, expected_errors = model.sifted_per_pulse(), model.sifted_errors_per_pulse()
    samples = []
    for number, name in enumerate(INTENSITY_NAMES):
        p_sent = system.source.p_intensities[number]
        pulses = details["link_slots"] * p_sent
        clicks = sum(details[f"clicks.{basis}.{name}"] for basis in BASIS_NAMES)
        errors = sum(details[f"errors.{basis}.{name}"] for basis in BASIS_NAMES)
        qber = errors / clicks if clicks else None
        samples.append(
            IntensitySample(
                name=name,
                mean_photons=system.source.mean_photon_numbers[number],
                gain=clicks / pulses,
                gain_sigma=math.sqrt(clicks) / pulses,
                gain_model=float(expected_clicks[number].sum()) / p_sent,
                qber=qber,
                qber_sigma=None if qber is None else math.sqrt(qber * (1 - qber) / clicks),
                qber_model=float(expected_errors[number].sum() / expected_clicks[number].sum()),
            )
        )
    return tuple(samples)


def transfer(delivery: Delivery, events: Sequence[Event]) -> Transfer:
    """Return what a delivery was, with the route of its keys."""
    given = [e for e in events if e.kind is EventKind.KEY_GIVEN and e.request_id == delivery.request_id]
    routes = [tuple(map(str, route)) for e in given if isinstance(route := e.data.get("route"), list)]
    return Transfer(
        name=delivery.name,
        size_bytes=delivery.size_bytes,
        num_keys=delivery.num_keys,
        identical=delivery.is_identical,
        duration_s=delivery.duration_s,
        key_route=routes[0] if routes else (),
        sha256=delivery.sha256_received,
        request_id=delivery.request_id,
    )


def relay_accounts(events: Sequence[Event]) -> list[RelayAccount]:
    """One account per relayed batch of keys, as the key manager that began it booked it."""
    return [
        RelayAccount(
            label=f"batch {number} of {int(as_number(event.data['num_keys']))} keys",
            key_bits=int(as_number(event.data["key_bits"])),
            num_hops=int(as_number(event.data["hops"])),
            authentication_bits=int(as_number(event.data["authentication_bits"])),
            qkd_bits_spent=int(as_number(event.data["qkd_bits"])),
        )
        for number, event in enumerate((e for e in events if e.kind is EventKind.KEYS_RELAYED), start=1)
    ]


def checks(
    network: Network,
    links: Sequence[LinkResult],
    deliveries: Sequence[Delivery],
    relays: Sequence[RelayAccount],
    events: Sequence[Event],
    proof: KeyProof,
) -> list[Check]:
    """Return all that the demonstration set out to prove, and whether it held."""
    return [
        *(Check(f"{d.name}: the received file equals the sent one", d.is_identical) for d in deliveries),
        *_block_checks(links),
        Check(f"all {len(proof.keys)} keys of the applications are the same at both ends", proof.keys_are_identical()),
        Check(
            "the first request went through steps 1, 2, 3, 5, 6, 7, 8, 4, 9, 10, each the cause of the next",
            numbers_of(events, deliveries[0].delivered_event) == WITH_SHORTAGE,
        ),
        Check(
            "the second request found enough key: steps 1, 2, 3, 4, 9, 10",
            numbers_of(events, deliveries[1].delivered_event) == WITH_ENOUGH,
        ),
        Check(
            "QKD bits spent = hops x key bits + authentication bits, for every relayed batch",
            bool(relays) and all(account.is_balanced for account in relays),
        ),
        *_prepared_checks(deliveries[1], events, network),
    ]


def _block_checks(links: Sequence[LinkResult]) -> list[Check]:
    if len(links) <= FEW_LINKS:
        return [
            Check(f"{link.link_id}: every key block is the same at both ends", link.keys_identical) for link in links
        ]
    return [
        Check(
            f"all {len(links)} links: every key block is the same at both ends",
            all(link.keys_identical for link in links),
        )
    ]


def _prepared_checks(letter: Delivery, events: Sequence[Event], network: Network) -> list[Check]:
    """Where keys are prepared in idle time, the second request needs no relay: its keys lie at both ends already."""
    if not network.prepared_keys:
        return []
    relayed = any(e.kind is EventKind.KEYS_RELAYED and e.request_id == letter.request_id for e in events)
    return [Check("the second request's keys lay ready at both ends: idle time had relayed them", not relayed)]


def numbers_of(events: Sequence[Event], delivered: str) -> tuple[int | None, ...]:
    """Return the numbers of a delivery's steps, from the first on."""
    return tuple(event.step for event in steps_of(events, delivered))


def as_number(value: object) -> float:
    """Return a number of an event; raises TypeError for anything else."""
    if not isinstance(value, int | float):
        raise TypeError(f"a number was expected, got {value!r}")
    return float(value)
