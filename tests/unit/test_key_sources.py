"""Where key comes from that was made elsewhere: devices that do not keep to the standard, wrong and old files."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from interop.certificates import Authority
from qanat.adapters import device_door
from qanat.adapters.device_door import DeviceDoor
from qanat.adapters.key_sources import SourceFault, SpentBefore
from qanat.adapters.used_keys import UsedKeys
from qanat.apps import key_file_source
from qanat.apps.distil.record_files import KEY, write_arrays
from qanat.apps.key_file_source import KeyFileSource
from qanat.ground.identifiers import KeyID, LinkId
from qanat.ground.network import DeviceEnd, Etsi014Modules

IDS = [KeyID(f"10000000-0000-4000-8000-{place:012d}") for place in range(8)]
LINK = LinkId("aarau-basel")
SETTINGS = Etsi014Modules(
    driver="etsi014",
    transmitter=DeviceEnd(url="https://127.0.0.1:1", sae="aarau"),
    receiver=DeviceEnd(url="https://127.0.0.1:2", sae="basel"),
    keys_per_request=4,
)
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (device_door, key_file_source):
        monkeypatch.setattr(module, "LAG_S", 0.1)
        monkeypatch.setattr(module, "LAG_PAUSE_S", 0.02)


def test_a_key_is_claimed_once_also_by_the_next_process(tmp_path: Path) -> None:
    async def scene() -> None:
        used = UsedKeys(tmp_path / "site" / "used.sqlite")
        assert await used.claim(IDS[:3]) == ()
        assert await used.claim([IDS[3], IDS[1]]) == (IDS[1],)
        assert not await used.were_used([IDS[3]]), "none of them was claimed"
        used.close()
        again = UsedKeys(tmp_path / "site" / "used.sqlite")
        assert await again.claim(IDS[2:5]) == (IDS[2],)
        assert await again.were_used(IDS[:3])
        again.close()

    asyncio.run(scene())
    assert (tmp_path / "site" / "used.sqlite").stat().st_mode & 0o077 == 0


def test_the_oldest_of_very_many_claims_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qanat.adapters.used_keys.MAX_REMEMBERED", 3)

    async def scene() -> None:
        used = UsedKeys(tmp_path / "used.sqlite")
        for key_id in IDS[:5]:
            assert await used.claim([key_id]) == ()
        assert [await used.were_used([key_id]) for key_id in IDS[:5]] == [False, False, True, True, True]
        used.close()

    asyncio.run(scene())


def container(key_ids: list[KeyID], *, num_bytes: int = 32) -> httpx.Response:
    key = base64.b64encode(bytes(num_bytes)).decode()
    return httpx.Response(200, json={"keys": [{"key_ID": key_id, "key": key} for key_id in key_ids]})


def with_door(tmp_path: Path, handler: Handler, scene: Callable[[DeviceDoor], Any]) -> None:
    """Run a scene with a device that answers as ``handler`` does; the handshake is a matter of the interop tests."""

    async def run() -> None:
        files = Authority(tmp_path / "vendor").issue("aarau", ["aarau"])
        used = UsedKeys(tmp_path / "used.sqlite")
        door = DeviceDoor(SETTINGS.transmitter, peer_sae="basel", settings=SETTINGS, tls=files, used=used)
        await door._http.aclose()
        door._http = httpx.AsyncClient(transport=httpx.MockTransport(handler), base_url="https://device")
        try:
            await scene(door)
        finally:
            await door.close()

    asyncio.run(run())


def test_new_keys_are_asked_for_plainly_and_come_with_their_ids(tmp_path: Path) -> None:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return container(IDS[:4])

    async def scene(door: DeviceDoor) -> None:
        keys = await door.take_new(100)
        assert [key.key_id for key in keys] == IDS[:4]
        assert all(len(key.secret) == 32 and key.eps_sec == 1e-9 for key in keys)

    with_door(tmp_path, handler, scene)
    (request,) = asked
    assert (request.method, request.url.path) == ("POST", "/api/v1/keys/basel/enc_keys")
    assert json.loads(request.content) == {"number": 4, "size": 256}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (container(IDS[:5]), "device-protocol"),
        (container([IDS[0], IDS[0]]), "device-protocol"),
        (container(IDS[:2], num_bytes=16), "device-protocol"),
        (httpx.Response(200, text="welcome"), "device-protocol"),
        (httpx.Response(200, json={"keys": [{"key_ID": "one", "key": "AAAA"}]}), "device-protocol"),
        (httpx.Response(302, headers={"location": "https://elsewhere"}), "device-protocol"),
        (httpx.Response(401, json={"message": "who are you"}), "device-refuses"),
        (httpx.Response(400, json={"message": "size too large"}), "device-ids-unknown"),
    ],
)
def test_a_device_that_answers_otherwise_is_named(tmp_path: Path, answer: httpx.Response, code: str) -> None:
    async def scene(door: DeviceDoor) -> None:
        with pytest.raises(SourceFault) as fault:
            await door.take_new(4)
        assert fault.value.code == code
        assert "https://127.0.0.1:1" in fault.value.message
        assert fault.value.remedy

    with_door(tmp_path, lambda _: answer, scene)


def test_a_device_that_has_no_key_yet_gives_none(tmp_path: Path) -> None:
    async def scene(door: DeviceDoor) -> None:
        assert await door.take_new(4) == ()

    with_door(tmp_path, lambda _: httpx.Response(503, json={"message": "empty"}), scene)


def test_a_device_that_gives_a_key_twice_is_refused_whatever_the_key(tmp_path: Path) -> None:
    answers = [container(IDS[:2]), container(IDS[1:3])]

    async def scene(door: DeviceDoor) -> None:
        assert len(await door.take_new(2)) == 2
        with pytest.raises(SourceFault) as fault:
            await door.take_new(2)
        assert fault.value.code == "device-repeats-keys"
        with pytest.raises(SourceFault) as fault:
            await door.take_by_ids([IDS[0]])
        assert fault.value.code == "device-repeats-keys", "nor is it asked for again"

    with_door(tmp_path, lambda _: answers.pop(0), scene)


def test_keys_are_fetched_by_id_in_parts_and_put_in_order(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        ids = [one["key_ID"] for one in json.loads(request.content)["key_IDs"]]
        asked.append(ids)
        return container(ids[::-1])

    async def scene(door: DeviceDoor) -> None:
        assert [key.key_id for key in await door.take_by_ids(IDS)] == IDS

    with_door(tmp_path, handler, scene)
    assert asked == [IDS[:4], IDS[4:]]


def test_other_ids_than_asked_are_refused_and_unknown_ones_asked_for_a_little_longer(tmp_path: Path) -> None:
    unknown = httpx.Response(400, json={"message": "One or more keys specified are not found on KME"})
    answers = [unknown, container(IDS[:1]), container(IDS[5:6])]

    async def scene(door: DeviceDoor) -> None:
        assert len(await door.take_by_ids(IDS[:1])) == 1, "the other device was a moment ahead"
        with pytest.raises(SourceFault, match="other ids"):
            await door.take_by_ids(IDS[1:2])
        answers.extend([unknown] * 100)
        with pytest.raises(SourceFault) as fault:
            await door.take_by_ids(IDS[2:3])
        assert fault.value.code == "device-ids-unknown"

    with_door(tmp_path, lambda _: answers.pop(0), scene)


def a_file(folder: Path, key_id: KeyID, *, link: str = LINK, ending: str = ".npz", num_bits: int = 256) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"key-{int(key_id[-4:]):020d}-{key_id}{ending}"
    header = json.dumps({"block_id": key_id, "link_id": link, "eps_sec": 2e-9})
    write_arrays(path, KEY, secret=np.arange(32, dtype=np.uint8), num_bits=num_bits, header=header)
    return path


def a_source(tmp_path: Path) -> KeyFileSource:
    used = UsedKeys(tmp_path / "used.sqlite")
    return KeyFileSource(tmp_path / "keys", link_id=LINK, origin="device", used=used)


def test_files_are_taken_in_order_and_stay_until_they_are_durable_elsewhere(tmp_path: Path) -> None:
    one, two = a_file(tmp_path / "keys", IDS[0]), a_file(tmp_path / "keys", IDS[1])
    unsure = a_file(tmp_path / "keys", IDS[2], ending=".unsure.npz")

    async def scene() -> None:
        source = a_source(tmp_path)
        (first,), (second,) = await source.take_new(1), await source.take_new(1)
        assert (first.key_id, second.key_id) == (IDS[0], IDS[1])
        assert first.secret.reveal() == bytes(range(32))
        assert first.eps_sec == 2e-9
        assert [key.key_id for key in await source.take_new(1)] == [IDS[0]], "tried again after all others"
        await source.forget([IDS[0]])
        assert (one.exists(), two.exists(), unsure.exists()) == (False, True, True)
        await source.close()

    asyncio.run(scene())


def test_a_file_that_was_used_is_destroyed_and_never_given_again(tmp_path: Path) -> None:
    async def scene() -> None:
        source = a_source(tmp_path)
        await source.forget([IDS[0]])  # and a copy of it is brought again
        path = a_file(tmp_path / "keys", IDS[0])
        with pytest.raises(SpentBefore):
            await source.take_by_ids([IDS[0]])
        assert not path.exists()
        path = a_file(tmp_path / "keys", IDS[0])
        assert await source.take_new(1) == ()
        assert not path.exists()
        await source.close()

    asyncio.run(scene())


def test_a_file_that_is_wrong_is_named_and_stays(tmp_path: Path) -> None:
    async def scene() -> None:
        source = a_source(tmp_path)
        wrong = [
            a_file(tmp_path / "keys", IDS[0], link="other"),
            a_file(tmp_path / "keys", IDS[1], num_bits=8),
            a_file(tmp_path / "keys", IDS[2]),
        ]
        wrong[2].chmod(0o644)
        for path in wrong:
            with pytest.raises(SourceFault, match=path.name) as fault:
                await source.take_new(1)
            assert fault.value.code == "key-files-unreadable"
            assert ("is of link 'other'" in fault.value.message) == (path == wrong[0])
        with pytest.raises(SourceFault) as fault:
            await source.take_by_ids([IDS[5]])
        assert fault.value.code == "key-file-missing"
        assert all(path.exists() for path in wrong)
        await source.close()

    asyncio.run(scene())


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    async def scene() -> None:
        source = a_source(tmp_path)
        await source.look()
        (tmp_path / "keys").rmdir()
        with pytest.raises(SourceFault, match="is gone"):
            await source.look()
        await source.close()

    asyncio.run(scene())


def test_several_files_are_no_block(tmp_path: Path) -> None:
    async def scene() -> None:
        source = a_source(tmp_path)
        with pytest.raises(SourceFault, match="2 key files"):
            await source.take_by_ids(IDS[:2])
        await source.close()

    asyncio.run(scene())
