"""The demonstration: a network comes up, a file and a letter cross it on keys made from photons, and all is checked."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from rich.markup import escape

from qanat.adapters.system import SystemEntropy
from qanat.apps import machine
from qanat.apps.bootstrap import Service
from qanat.apps.event_log import EventLog
from qanat.apps.proof import KeyProof
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
from qanat.apps.transfer import Courier, Delivery
from qanat.ground.errors import ConfigurationError
from qanat.ground.events import Event, EventKind, Json, chain
from qanat.ground.identifiers import EventId
from qanat.ground.network import Application, Link, Network
from qanat.ground.units import format_size
from qanat.physics.analytic import link_model
from qanat.physics.systems import system_named
from qanat.protocols.decoy import BASIS_NAMES, INTENSITY_NAMES, SecurityParameters
from qanat.quantum_layer.forecast import link_forecast
from qanat.services.file import Progress, file_name_for_all

GENERATED_FILE_BYTES = 10_000_000
LETTER = "From {sender} to {receiver}: keys are born from photons, carried by a relay we trust, and used once.\n"
SAMPLE_PERIOD_S = 0.25
TERM_TEXTS = {
    "entropy_rectilinear": "+ unknown to Eve, rectilinear basis",
    "entropy_diagonal": "+ unknown to Eve, diagonal basis",
    "leaked": "- told by error correction",
    "secrecy": "- secrecy (epsilon)",
    "correctness": "- correctness (epsilon)",
}
WITH_SHORTAGE = (1, 2, 3, 5, 6, 7, 8, 4, 9, 10)
WITH_ENOUGH = (1, 2, 3, 4, 9, 10)


class View(Protocol):
    """Who watches the demonstration."""

    def say(self, text: str) -> None: ...

    def on_event(self, event: Event) -> None: ...

    def show_progress(self, name: str, fraction: float, note: str = "") -> None: ...


async def demonstrate(network: Network, folder: Path, *, file: Path | None, view: View) -> DemoResult:
    """Run the demonstration in ``folder`` (empty) and return what it found. Raises what any part raises."""
    sender, receiver = _correspondents(network)
    source = file or _generated_file(folder / "sent")
    letter = folder / "sent" / "letter.txt"
    letter.parent.mkdir(parents=True, exist_ok=True)
    letter.write_text(LETTER.format(sender=sender.name, receiver=receiver.name), encoding="utf-8")
    (folder / "received").mkdir()

    proof = KeyProof(SystemEntropy())
    with EventLog(keep=True) as log:
        log.listen(view.on_event)
        service = Service(
            network, folder / "network", log=log, num_workers=_num_workers(), wrap_module=proof.watch_module
        )
        view.say("preparing (once): compiling and loading the kernels")
        began_s, began_utc_s = service.clock.monotonic_s(), service.clock.utc_s()
        async with service:
            await service.warm_up()
            view.say(f"{network.title or network.name}: {len(service.managers)} key managers answer, pools are empty")
            courier = Courier(service, sender, receiver, watch_supply=proof.watch_supply)
            deliveries = []
            async with _PoolSampler(service) as sampler:
                for path in (source, letter):
                    view.say(
                        f"{sender.name} sends {_shown(path)} ({format_size(path.stat().st_size)}) to {receiver.name}"
                    )
                    target = folder / "received" / path.name
                    deliveries.append(await courier.deliver(path, target, on_progress=_file_progress(view, path)))
        duration_s = service.clock.monotonic_s() - began_s
    links = [_link_result(link, log.events, proof) for link in network.links if _figures(link, log.events)]
    transfers = [_transfer(delivery, log.events) for delivery in deliveries]
    relays = _relay_accounts(log.events)
    return DemoResult(
        network=network,
        events=log.events,
        links=links,
        transfers=transfers,
        checks=_checks(links, deliveries, relays, log.events, proof),
        started_utc_s=began_utc_s,
        duration_s=duration_s,
        pool_samples=sampler.samples,
        relays=relays,
        software=machine.versions(),
        machine={"machine": machine.machine()},
    )


def steps_of(events: Sequence[Event], delivered: str) -> list[Event]:
    """Return the steps of a request from 1 to 10: the chain of causes of its delivery."""
    return [event for event in chain(events, EventId(delivered)) if event.step is not None]


def _num_workers() -> int:
    return max(1, machine.num_cores() - 1)


def _correspondents(network: Network) -> tuple[Application, Application]:
    for sender in network.applications:
        for receiver in network.applications:
            if sender.site != receiver.site:
                return sender, receiver
    raise ConfigurationError(
        f"network {network.name!r} has no two applications at different sites",
        remedy="the demonstration sends from one site to another: put an application at each of two",
    )


def _generated_file(folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = folder / "file-10MB.bin"
    path.write_bytes(SystemEntropy().public_bytes(GENERATED_FILE_BYTES))
    return path


def _shown(path: Path) -> str:
    """Return a file's name as it may stand in a line for people: on one line, with no markup in it."""
    return escape(file_name_for_all(path.name))


def _file_progress(view: View, path: Path) -> Callable[[Progress], None]:
    def show(progress: Progress) -> None:
        total = progress.total_bytes or progress.done_bytes or 1
        view.show_progress(file_name_for_all(path.name), progress.done_bytes / total, format_size(progress.done_bytes))

    return show


class _PoolSampler:
    """Looks at the pools of every first end now and then, once more at the end; both ends hold the same."""

    def __init__(self, service: Service) -> None:
        self.samples: list[PoolSample] = []
        self._service = service

    async def __aenter__(self) -> _PoolSampler:
        self._sampling = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._sampling.cancel()
        await asyncio.gather(self._sampling, return_exceptions=True)
        if kind is None:
            await self._sample()

    async def _run(self) -> None:
        while True:
            await self._sample()
            await asyncio.sleep(SAMPLE_PERIOD_S)

    async def _sample(self) -> None:
        now_s = self._service.clock.monotonic_s()
        for link in self._service.network.links:
            levels = await self._service.stores[link.ends[0]].levels()
            stock = sum(
                level.available_bits
                for pool, level in levels.items()
                if pool.link_id == link.link_id and not pool.is_reserve
            )
            self.samples.append(PoolSample(now_s, link.name, stock))


def _figures(link: Link, events: Sequence[Event]) -> list[Mapping[str, Json]]:
    """Return the figures of a link's finished blocks; none for a link that no route needed."""
    told = [e.data for e in events if e.kind is EventKind.LINK_QUALITY and e.data.get("link_id") == link.link_id]
    return [data for data in told if data["progress"] == 1]


def _link_result(link: Link, events: Sequence[Event], proof: KeyProof) -> LinkResult:
    """Return a link's row from the figures of its last finished block."""
    data = _figures(link, events)[-1]
    details: Mapping[str, float] = data["details"]  # type: ignore[assignment]
    forecast = link_forecast(link.system, loss_db=link.loss_db)
    security = SecurityParameters()
    return LinkResult(
        link_id=link.link_id,
        ends=link.ends,
        system=link.system,
        loss_db=link.loss_db,
        length_km=link.length_km,
        light_s=_number(data["link_time_s"]),
        sifted_rate_bits_per_s=_number(data["sifted_rate_bits_per_s"]),
        qber=_number(data["qber"]),
        f_ec=_number(data["f_ec"]),
        block_bits=int(_number(data["block_bits"])),
        secret_rate_bits_per_s=_number(data["secret_rate_bits_per_s"]),
        eps_sec=security.eps_sec,
        eps_cor=security.eps_cor,
        eps_auth=security.eps_auth,
        num_tags=security.num_tags,
        eps_total=security.total,
        proof=forecast.proof,
        keys_identical=proof.blocks_are_identical(link.link_id),
        keys_checked=len(proof.blocks[link.link_id]),
        leaked_bits={"error correction": int(details["leaked_bits"])},
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
            sifted_bits=int(_number(data["sifted_bits"])),
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


def _transfer(delivery: Delivery, events: Sequence[Event]) -> Transfer:
    relayed = [e for e in events if e.kind is EventKind.KEYS_RELAYED and e.request_id == delivery.request_id]
    routes = [tuple(map(str, route)) for e in relayed if isinstance(route := e.data.get("route"), list)]
    return Transfer(
        name=delivery.name,
        size_bytes=delivery.size_bytes,
        num_chunks=delivery.num_chunks,
        num_keys=delivery.num_keys,
        identical=delivery.is_identical,
        duration_s=delivery.duration_s,
        key_route=routes[0] if routes else (),
        sha256=delivery.sha256_received,
        request_id=delivery.request_id,
    )


def _relay_accounts(events: Sequence[Event]) -> list[RelayAccount]:
    """One account per relayed batch of keys, as the key manager that began it booked it."""
    return [
        RelayAccount(
            label=f"batch {number} of {int(_number(event.data['num_keys']))} keys",
            key_bits=int(_number(event.data["key_bits"])),
            num_hops=int(_number(event.data["hops"])),
            authentication_bits=int(_number(event.data["authentication_bits"])),
            qkd_bits_spent=int(_number(event.data["qkd_bits"])),
        )
        for number, event in enumerate((e for e in events if e.kind is EventKind.KEYS_RELAYED), start=1)
    ]


def _checks(
    links: Sequence[LinkResult],
    deliveries: Sequence[Delivery],
    relays: Sequence[RelayAccount],
    events: Sequence[Event],
    proof: KeyProof,
) -> list[Check]:
    return [
        *(Check(f"{d.name}: the received file equals the sent one", d.is_identical) for d in deliveries),
        *(Check(f"{link.link_id}: every key block is the same at both ends", link.keys_identical) for link in links),
        Check(f"all {len(proof.keys)} keys of the applications are the same at both ends", proof.keys_are_identical()),
        Check(
            "the first request went through steps 1, 2, 3, 5, 6, 7, 8, 4, 9, 10, each the cause of the next",
            _steps(events, deliveries[0]) == WITH_SHORTAGE,
        ),
        Check(
            "the second request found enough key: steps 1, 2, 3, 4, 9, 10",
            _steps(events, deliveries[1]) == WITH_ENOUGH,
        ),
        Check(
            "QKD bits spent = hops x key bits + authentication bits, for every relayed batch",
            bool(relays) and all(account.is_balanced for account in relays),
        ),
    ]


def _steps(events: Sequence[Event], delivery: Delivery) -> tuple[int | None, ...]:
    return tuple(event.step for event in steps_of(events, delivery.delivered_event))


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"a number was expected, got {value!r}")
    return float(value)
