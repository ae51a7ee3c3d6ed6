"""Lines under TLS by a pre-shared key: what goes over them, who agrees with whom, OpenSSL's own programs as peers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import socket
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interop.fleet import free_port
from qanat.adapters import buffer_line, psk_tls
from qanat.adapters.buffer_line import AnsweredInClear, BufferLine, dial
from qanat.adapters.line_server import LineServer
from qanat.adapters.psk import HANDSHAKE, PreSharedKey
from qanat.adapters.psk_tls import PskTls, identity_in
from qanat.ground.errors import (
    AuthenticationFailed,
    BadParameter,
    ChannelClosed,
    ChannelTimeout,
    FrameError,
    QanatError,
)
from qanat.ground.framing import encode_frame
from qanat.services.ciphers import KeyUnknown, NotForUs
from qanat.services.conversation import RefusedByPeer
from qanat.users.tunnel import Tunnel
from service_support import House, sae_of, until
from unit.service_fakes import FakeSupply, KeyStock
from unit.test_file_delivery import run
from unit.test_tunnel import CANARY, noise, tunnel

SUITES = {16: "TLS_AES_128_GCM_SHA256", 32: "TLS_AES_256_GCM_SHA384"}
has_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl command here")


def psk(num_bytes: int = 16, *, label: str = "key", identity: bytes = b"the key of today") -> PreSharedKey:
    return PreSharedKey(identity, hashlib.shake_128(label.encode()).digest(num_bytes))


@contextlib.asynccontextmanager
async def answering(known: PreSharedKey | None, faults: list[QanatError]) -> AsyncIterator[int]:
    """Give the port of a server that says each frame again, to callers under ``known`` too."""

    async def find(identity: bytes) -> PreSharedKey:
        if known is None or identity != known.identity:
            raise KeyUnknown("no such key", remedy="none")
        return known

    async def say_again(line: BufferLine) -> None:
        try:
            while True:
                frame = bytes(await line.receive(timeout_s=5.0))
                assert not line.has_news(), "nothing follows before the answer"
                await line.send(frame)
        except ChannelClosed:
            return
        except QanatError as fault:
            faults.append(fault)

    server = LineServer(say_again, psk_of=find)
    await server.start()
    try:
        yield server.port
    finally:
        await server.stop()


@pytest.mark.parametrize("num_bytes", [16, 32])
def test_frames_of_all_sizes_go_both_ways_under_the_suite_of_the_keys_length(num_bytes: int) -> None:
    async def work() -> None:
        key, faults = psk(num_bytes), list[QanatError]()
        async with answering(key, faults) as port:
            line = await dial("127.0.0.1", port)
            await line.secure(key, timeout_s=5.0)
            assert line.suite == SUITES[num_bytes]
            assert not line.has_news()
            for size in (0, 1, 16_384, 1_000_000):
                frame = encode_frame(7, {}, noise(size))
                await line.send(frame)
                assert bytes(await line.receive(timeout_s=5.0)) == frame
            await line.close()
        assert faults == []

    run(work())


def test_who_has_another_key_agrees_on_nothing_and_both_ends_are_told() -> None:
    async def work() -> None:
        faults = list[QanatError]()
        async with answering(psk(label="mine"), faults) as port:
            line = await dial("127.0.0.1", port)
            with pytest.raises(AuthenticationFailed, match="the other end says"):
                await line.secure(psk(label="another"), timeout_s=5.0)
            with pytest.raises(ChannelClosed):
                await line.send(b"in clear?")
            await until(lambda: bool(faults))
        assert isinstance(faults[0], AuthenticationFailed)
        assert "binder does not verify" in faults[0].message

    run(work())


def test_a_caller_never_goes_on_in_clear() -> None:
    """Whoever sits on the line can answer in clear; then nothing more is said there."""

    async def mock(line: BufferLine) -> None:
        frame = encode_frame(1, {"reason": "TLS? Just say it."})
        await line.send(frame)
        with pytest.raises((ChannelClosed, FrameError)):
            await line.receive(timeout_s=5.0)

    async def work() -> None:
        server = LineServer(mock)
        await server.start()
        line = await dial("127.0.0.1", server.port)
        with pytest.raises(AnsweredInClear) as told:
            await line.secure(psk(), timeout_s=5.0)
        assert b"Just say it" in told.value.answer
        with pytest.raises(ChannelClosed):
            await line.send(CANARY)
        await server.stop()

    run(work())


def test_what_is_no_tls_of_ours_is_named() -> None:
    caller = PskTls(psk(), is_caller=True)
    caller.shake_hands()
    flight = caller.outgoing()
    assert flight[0] == HANDSHAKE
    assert identity_in(flight) == b"the key of today"
    for other in (b"GET / HTTP/1.1\r\n\r\n", bytes([HANDSHAKE]) + flight[5:], flight[:-1]):
        with pytest.raises(FrameError, match=r"no TLS 1\.3 under a pre-shared key"):
            identity_in(other)
    with pytest.raises(BadParameter, match="192 bits"):
        PreSharedKey(b"odd", bytes(24))
    assert repr(psk()).count("secret") == 0


@pytest.mark.parametrize("odd", ["dripping", "half", "too long", "in pieces"])
def test_a_first_flight_costs_one_look_however_it_comes(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger who says it byte by byte must not have OpenSSL begin anew with each."""
    looks = list[int]()

    def counted(flight: bytes) -> bytes:
        looks.append(len(flight))
        return identity_in(flight)

    monkeypatch.setattr(psk_tls, "identity_in", counted)
    monkeypatch.setattr(buffer_line, "STALL_TIMEOUT_S", 0.3)

    async def work() -> None:
        key, faults, loop = psk(), list[QanatError](), asyncio.get_running_loop()
        caller = PskTls(key, is_caller=True)
        caller.shake_hands()
        flight = caller.outgoing()
        said = {"half": flight[:100], "too long": flight[:3] + b"\x40\x00" + bytes(2**14)}.get(odd, flight)
        if odd == "in pieces":
            said = flight[:3] + (50).to_bytes(2) + flight[5:55]
        async with answering(key, faults) as port:
            with socket.create_connection(("127.0.0.1", port)) as line:
                line.setblocking(False)
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for place in range(0, len(said), 7 if odd == "dripping" else len(said)):
                    await loop.sock_sendall(line, said[place : place + 7] if odd == "dripping" else said)
                    await asyncio.sleep(0)
                answer = await loop.sock_recv(line, 4096)
        if odd == "dripping":
            assert answer[0] == HANDSHAKE
        else:
            assert isinstance(faults[0], ChannelTimeout if odd == "half" else FrameError)
        assert looks == {"dripping": [len(flight)], "in pieces": [55]}.get(odd, [])

    run(work())


@has_openssl
def test_a_stock_openssl_calls_and_is_answered() -> None:
    """RFC 8446's own words by other hands: ``openssl s_client`` against the answering side."""

    async def work() -> None:
        key, faults = psk(), list[QanatError]()
        frame = encode_frame(7, {}, CANARY)
        async with answering(key, faults) as port:
            words = ("-connect", f"127.0.0.1:{port}", "-tls1_3", "-quiet", "-psk", key.secret.hex())
            client = await openssl("s_client", *words, "-psk_identity", key.identity.decode())
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write(frame)
            async with asyncio.timeout(10):
                assert await client.stdout.readexactly(len(frame)) == frame
            client.terminate()  # it goes on at the end of its input
            await client.wait()
        assert faults == []

    run(work())


@has_openssl
def test_a_stock_openssl_is_called_and_understands() -> None:
    async def work() -> None:
        key, port = psk(), free_port()
        server = await openssl(
            *("s_server", "-accept", f"127.0.0.1:{port}", "-tls1_3", "-nocert", "-naccept", "1", "-quiet"),
            *("-psk", key.secret.hex(), "-psk_identity", key.identity.decode()),
        )
        assert server.stdout is not None
        line = await connected(port)
        await line.secure(key, timeout_s=5.0)
        assert line.suite == SUITES[16]
        await line.send(CANARY)
        async with asyncio.timeout(10):
            assert await server.stdout.readexactly(len(CANARY)) == CANARY
        await line.close()
        with contextlib.suppress(ProcessLookupError):
            server.terminate()
        await server.wait()

    run(work())


async def openssl(*words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec("openssl", *words, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)


async def connected(port: int) -> BufferLine:
    """Return a line to a program that is still starting."""
    while True:
        with contextlib.suppress(ChannelClosed):
            return await dial("127.0.0.1", port)
        await asyncio.sleep(0.05)


def records_of(seen: bytes) -> list[int]:
    """Return the content types of what a caller said, if that is nothing but records of TLS (RFC 8446, 5.1)."""
    types = []
    while seen:
        kind, version, size = seen[0], seen[1:3], int.from_bytes(seen[3:5])
        assert version in (b"\x03\x01", b"\x03\x03")
        assert len(seen) >= 5 + size
        types.append(kind)
        seen = seen[5 + size :]
    return types


def test_a_spy_on_a_tunnel_finds_tls_and_no_letter_of_who_says_what(tmp_path: Path) -> None:
    """Not even which service it is: hello goes through TLS too."""

    async def work() -> None:
        async with tunnel(tmp_path) as way:
            assert await way.asked(CANARY + noise(100_000)) == CANARY + noise(100_000)
            await until(lambda: bool(way.ended))
            heard = bytes(way.spy.seen_of_caller)
            caller, answerer, key_id = (identity_in(heard) or b"").decode().split("/")
            assert (caller, answerer) == (sae_of("alice"), sae_of("bob"))
            assert key_id in [key.key_id for key in way.keys]
            assert len(way.keys) == 2, "the records have a key of their own"
            assert set(records_of(heard)) <= {20, 22, 23}
            assert b"tunnel" not in way.spy.seen
            assert CANARY not in way.spy.seen

    run(work())


def test_a_tunnel_without_tls_takes_a_key_less_and_tells_no_suite(tmp_path: Path) -> None:
    async def work() -> None:
        num_keys, suites = [], []
        for with_tls in (True, False):
            (place := tmp_path / str(with_tls)).mkdir()
            async with tunnel(place, with_tls=with_tls) as way:
                assert await way.asked(b"hello") == b"hello"
                num_keys.append(len(way.keys))
                suites.append(way.suites)
                assert (b"tunnel" in way.spy.seen) != with_tls
        assert num_keys == [2, 1]
        assert suites == [[SUITES[16]], []]

    run(work())


def test_a_call_that_is_played_again_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with tunnel(tmp_path) as way:
            assert await way.asked(b"hello") == b"hello"
            recorded = bytes(way.spy.seen_of_caller)
            with socket.create_connection(("127.0.0.1", way.spy.target_port)) as line:
                line.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(line, recorded)
                answer = await loop.sock_recv(line, 4096)
            assert b"does not hold for us" in answer
            await until(lambda: bool(way.bobs_faults))
            assert isinstance(way.bobs_faults[0], KeyUnknown)

    run(work())


@pytest.mark.parametrize(
    ("broken", "kind", "words"),
    [("address", NotForUs, "answers at the address of"), ("lost key", KeyUnknown, "does not hold for us")],
)
def test_who_refuses_before_there_is_tls_says_why(
    tmp_path: Path, broken: str, kind: type[QanatError], words: str
) -> None:
    async def work() -> None:
        house, faults = House(tmp_path / "data"), list[QanatError]()
        if broken == "lost key":
            house.supplies["carol"] = FakeSupply(KeyStock(), sae_of("carol"))
        async with contextlib.AsyncExitStack() as stack:
            reception = await stack.enter_async_context(house.reception("carol"))
            alice = await stack.enter_async_context(house.user("alice"))
            to = "carol"
            if broken == "address":
                assert alice.people.addresses is not None
                alice.people.addresses.publish("services", "bob", ("127.0.0.1", reception.port))
                to = "bob"
            async with Tunnel(alice, to, on_fault=faults.append) as entrance:
                reader, writer = await asyncio.open_connection("127.0.0.1", entrance.port)
                with pytest.raises(ConnectionError):
                    await reader.read(-1)
                writer.close()
            await until(lambda: bool(faults and house.faults["carol"]))
            assert isinstance(faults[0], RefusedByPeer)
            assert words in faults[0].message
            assert isinstance(house.faults["carol"][0], kind)

    run(work())
