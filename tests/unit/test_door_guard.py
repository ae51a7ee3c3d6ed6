"""Limits per application, their file, quotas over restarts, and the record of what left the door."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from qanat.adapters.connection_rules import FewWords
from qanat.adapters.door_guard import DoorGuard
from qanat.adapters.etsi014_http import etsi014_app
from qanat.adapters.http_server import PEER
from qanat.adapters.sae_limits import DAY_S, QUOTA_STEPS, Limits, Quotas, RequestRates, SaeLimits, read_limits
from qanat.doors.etsi014 import Etsi014Door
from qanat.doors.etsi014.encoding import keys_answer
from qanat.ground.errors import ConfigurationError
from qanat.ground.events import EventKind
from qanat.ground.identifiers import KeyID, NodeId, SaePair
from qanat.ground.keys import SecretBytes, SecretKey
from unit.etsi014_fakes import ALICE, BOB, CAROL, FakeSupplier

ENC_KEYS = f"/api/v1/keys/{BOB}/enc_keys"
KEY_IDS = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(1, 4)]
KEY_BYTES = b"never to be seen in any record.."


@dataclass
class World:
    """A guarded door that answers every call with three keys of 256 bits, its clocks, and what was recorded."""

    folder: Path
    monotonic_s: float = 0.0
    utc_s: float = 20_000.0 * DAY_S
    records: list[tuple[EventKind, dict[str, Any]]] = field(default_factory=list)
    status: int = 200
    body: bytes = b""

    def __post_init__(self) -> None:
        self.guard = self.started()

    @property
    def limits_file(self) -> Path:
        return self.folder / "limits.toml"

    def started(self) -> DoorGuard:
        return DoorGuard(
            self.app,
            folder=self.folder / "site",
            limits_file=self.limits_file,
            saes={ALICE, BOB, CAROL},
            record=lambda kind, **data: self.records.append((kind, data)),
            alarm=lambda code, text: self.records.append((EventKind.ALARM, {"code": code, "text": text})),
            alarm_over=lambda code: None,
            monotonic_s=lambda: self.monotonic_s,
            utc_s=lambda: self.utc_s,
        )

    async def app(self, _scope: Any, _receive: Any, send: Any) -> None:
        keys = [
            SecretKey(KeyID(one), SaePair(ALICE, BOB), SecretBytes(KEY_BYTES), (NodeId("a"),), "twin", 0.0, 0)
            for one in KEY_IDS
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": keys_answer(keys).body})

    def ask(
        self, path: str = ENC_KEYS, *, peer: str | None = ALICE, method: str = "GET"
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": self.body, "more_body": False}

        scope = {"type": "http", "method": method, "path": path, "headers": [], PEER: peer}
        asyncio.run(self.guard(scope, receive, send))
        return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def limit(folder: Path, **limits: float) -> None:
    lines = ["[default]", *(f"{name} = {value}" for name, value in limits.items())]
    (folder / "limits.toml").write_text("\n".join(lines), encoding="utf-8")


def test_every_delivery_is_recorded_with_key_ids_and_without_a_key(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.ask()[0] == 200
    assert world.ask(f"/api/v1/keys/{ALICE}/dec_keys", peer=BOB)[0] == 200
    (first_kind, first), (_, second) = world.records
    assert first_kind is EventKind.KEYS_DELIVERED
    assert first == {"to": ALICE, "master": ALICE, "slave": BOB, "num_bits": 768, "key_ids": KEY_IDS}
    assert second == {**first, "to": BOB}
    assert KEY_BYTES.decode() not in repr(world.records)


def test_the_record_of_a_delivery_names_all_slaves_whoever_fetched(tmp_path: Path) -> None:
    world = World(tmp_path)
    door = etsi014_app(Etsi014Door(FakeSupplier(), saes={ALICE, CAROL}))
    world.app = door  # type: ignore[method-assign, assignment]
    world.guard = world.started()
    world.body = json.dumps({"additional_slave_SAE_IDs": [CAROL]}).encode()
    keys = json.loads(world.ask(method="POST")[2])["keys"]
    world.body = json.dumps({"key_IDs": [{"key_ID": keys[0]["key_ID"]}]}).encode()
    assert world.ask(f"/api/v1/keys/{ALICE}/dec_keys", peer=CAROL, method="POST")[0] == 200
    (_, to_master), (_, to_slave) = world.records
    assert to_master["slave"].split() == to_slave["slave"].split() == [BOB, CAROL]
    assert (to_master["to"], to_slave["to"], to_slave["master"]) == (ALICE, CAROL, ALICE)


def test_refusals_and_calls_without_keys_are_no_deliveries(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ask(f"/api/v1/keys/{BOB}/status")
    world.ask("/openapi.json")
    world.ask(peer=None)
    world.status = 503
    world.ask()
    assert world.records == []


def test_requests_beyond_the_rate_are_answered_by_503_and_told_once_a_second(tmp_path: Path) -> None:
    limit(tmp_path, requests_per_s=2, burst_requests=3)
    world = World(tmp_path)
    assert [world.ask()[0] for _ in range(6)] == [200, 200, 200, 503, 503, 503]
    status, headers, body = world.ask()
    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert b"connection" not in headers
    assert "more than 2 requests per second" in json.loads(body)["message"]
    assert world.ask(peer=CAROL)[0] == 200, "others are not held up"
    world.monotonic_s += 1.0
    assert [world.ask()[0] for _ in range(3)] == [200, 200, 503]
    told = [data for kind, data in world.records if kind is EventKind.REQUESTS_LIMITED]
    assert [row["number"] for row in told] == [1, 4]


def test_a_quota_ends_with_the_day_and_survives_a_restart(tmp_path: Path) -> None:
    limit(tmp_path, key_bits_per_day=1000)
    world = World(tmp_path)
    assert [world.ask()[0] for _ in range(3)] == [200, 200, 503]
    world.guard = world.started()
    status, headers, _ = world.ask()
    assert (status, headers[b"retry-after"]) == (503, b"86400")
    assert world.ask(f"/api/v1/keys/{BOB}/status")[0] == 200
    assert world.ask(f"/api/v1/keys/{BOB}/dec_keys")[0] == 200, "keys that were asked for by others are given"
    world.utc_s += DAY_S
    assert world.ask()[0] == 200
    world.utc_s -= 2 * DAY_S
    assert world.ask()[0] == 200
    assert world.ask()[0] == 503, "a clock that is set back begins no new day"


def test_a_killed_process_forgets_nothing_of_a_quota_and_counts_one_step_too_much_at_most(tmp_path: Path) -> None:
    limits = SaeLimits(key_bits_per_day=256_000)
    quotas = Quotas(tmp_path / "quotas.json")
    for spent in range(256, 100_000, 256):
        quotas.spend(ALICE, 256, limits=limits, utc_s=5.0)
        if spent % 5120 == 0:
            found = Quotas(tmp_path / "quotas.json").used_bits(ALICE, utc_s=6.0)
            assert spent <= found <= spent + 256_000 / QUOTA_STEPS + 256


def test_changed_limits_count_from_the_next_second_on_and_wrong_ones_do_not(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.ask()[0] == 200
    limit(tmp_path, requests_per_s=1, burst_requests=1)
    world.guard.look()
    world.monotonic_s += 1.5
    assert [world.ask()[0] for _ in range(2)] == [200, 503]
    (changed,) = [data for kind, data in world.records if kind is EventKind.SETTINGS_CHANGED]
    assert changed["limits"]["default"]["requests_per_s"] == 1
    world.limits_file.write_text("[default]\nrequests = 7\n", encoding="utf-8")
    world.guard.look()
    world.guard.look()
    world.monotonic_s += 1.5
    assert [world.ask()[0] for _ in range(2)] == [200, 503]
    (alarm,) = [data for kind, data in world.records if kind is EventKind.ALARM]
    assert alarm["code"] == "limits-kept"


def test_a_file_of_limits_is_read_with_its_exceptions(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    assert read_limits(path, saes={ALICE, BOB}) == Limits()
    path.write_text(f'[default]\nrequests_per_s = 5\n[sae."{ALICE}"]\nkey_bits_per_day = 9\n', encoding="utf-8")
    limits = read_limits(path, saes={ALICE, BOB})
    assert limits.for_sae(BOB) == SaeLimits(requests_per_s=5)
    assert limits.for_sae(ALICE) == SaeLimits(requests_per_s=5, key_bits_per_day=9)


@pytest.mark.parametrize(
    "text",
    [
        "[default",
        "[other]",
        "default = 3",
        "sae = 3",
        "[default]\nrequests = 1",
        "[default]\nrequests_per_s = 0",
        "[default]\nrequests_per_s = nan",
        "[default]\nrequests_per_s = true",
        '[default]\nburst_requests = "9"',
        "[default]\nkey_bits_per_day = -1",
        "[default]\nkey_bits_per_day = 1.5",
        "[default]\nkey_bits_per_day = " + 400 * "9",
        "a = " + 4000 * "[" + 4000 * "]",
        f'[sae."{CAROL}"]\nkey_bits_per_day = 9',
    ],
)
def test_a_wrong_file_of_limits_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "limits.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        read_limits(path, saes={ALICE, BOB})
    assert caught.value.remedy


def test_a_quota_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "quotas.json").write_text('{"day": "x"}', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="does not say what was given"):
        Quotas(tmp_path / "quotas.json")


def test_a_flood_of_refusals_becomes_few_words_and_none_is_forgotten() -> None:
    now_s = 0.0
    told: list[str] = []
    say = FewWords(told.append, most_per_s=2, monotonic_s=lambda: now_s)
    for number in range(5):
        say(f"no {number}")
    assert told == ["no 0", "no 1"]
    now_s = 1.0
    say("no 5")
    say("no 6")
    assert told[2:] == ["no 5 (and 3 more before it)", "no 6"]


def test_a_steady_caller_at_his_rate_is_never_held_up() -> None:
    rates, limits = RequestRates(), SaeLimits(requests_per_s=100, burst_requests=2)
    assert all(rates.wait_s(ALICE, limits, now_monotonic_s=number * 0.010_001) == 0 for number in range(2000))
    assert rates.wait_s(ALICE, limits, now_monotonic_s=20.0) == 0
    assert rates.wait_s(ALICE, limits, now_monotonic_s=20.0) > 0
