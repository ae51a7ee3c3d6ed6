"""Key hooks on programs that are real processes: scripts that note what ``wg`` and ``swanctl`` would be given."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from qanat.adapters import encryptor_programs
from qanat.adapters.encryptor_programs import CommandSlot, KeyForm, StrongswanSlot, WireguardSlot
from qanat.adapters.machine_faults import MachineFault
from qanat.apps.cli import hook as hook_command
from qanat.apps.cli.hook import FOLLOWS, LEADS, Faults, Rotation, _follow, command_slot, run_hook
from qanat.apps.cli.main import app
from qanat.apps.cli.service_options import Who
from qanat.ground.errors import BadParameter, ChannelClosed, ConfigurationError, KeyShortage, QanatError
from qanat.ground.identifiers import KeyID, SaeId
from qanat.ground.keys import SecretKey
from qanat.services import conversation
from qanat.services.conversation import RefusedByPeer
from qanat.services.hook import KeySlot
from qanat.users.hook import Hook
from qanat.users.reception import Listeners, Reception
from service_support import House, Spy, sae_of, until
from unit.service_fakes import FakeSupply
from unit.test_collect_command import is_gone
from unit.test_file_delivery import run

PEER_KEY = base64.b64encode(bytes(range(32))).decode()
"""In the form of wg(8)."""


def program(place: Path, *, fails: bool = False) -> str:
    """Return a program that notes its words and what it is told on standard input, as lines of ``<program>.log``. Asked
    for peers, as wg is, it names one."""
    path = place
    end = "echo 'Operation not permitted' >&2; exit 1" if fails else ""
    show = f'if [ "$1" = show ]; then echo {PEER_KEY}; exit; fi'
    path.write_text(f'#!/bin/sh\n{show}\necho "$@ <$(cat)" >> "$0.log"\n{end}\n', encoding="utf-8")
    path.chmod(0o700)
    return str(path)


def noted(path: str) -> list[str]:
    log = Path(f"{path}.log")
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


@contextlib.asynccontextmanager
async def following(
    house: House, slot: KeySlot, *, name: str = "office", leader: str = "alice"
) -> AsyncIterator[tuple[Spy, list[KeyID], list[QanatError]]]:
    keys: list[KeyID] = []
    faults: list[QanatError] = []
    async with house.user("bob") as bob:
        hook = Hook(bob, leader, slot, name=name, on_key=keys.append)
        listeners = Listeners(on_fault=faults.append)
        async with (
            Reception(bob, house.folder("bob"), listeners=listeners, more={"hook": hook.serve}),
            house.spied("bob") as spy,
        ):
            yield spy, keys, faults


def test_both_ends_of_wireguard_get_the_same_fresh_keys_and_none_is_on_a_line_or_command(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        wg = [program(tmp_path / name) for name in ("wg-alice", "wg-bob")]
        async with following(house, WireguardSlot("wg1", PEER_KEY, wg[1])) as (spy, keys, faults):
            async with house.user("alice") as alice:
                hook = Hook(alice, "bob", WireguardSlot("wg0", PEER_KEY, wg[0]), name="office")
                set_here = [await hook.rotate() for _ in range(3)]
            await until(lambda: len(keys) == 3)
        assert (keys, faults) == (set_here, [])
        told = [[line.split(" <") for line in noted(one)] for one in wg]
        words = f"peer {PEER_KEY} preshared-key /dev/stdin"
        assert {line[0] for line in told[0]} == {f"set wg0 {words}"}
        assert {line[0] for line in told[1]} == {f"set wg1 {words}"}
        secrets = [[base64.b64decode(line[1]) for line in one] for one in told]
        assert secrets[0] == secrets[1]
        assert len(set(secrets[0])) == 3
        assert all(len(secret) == 32 and secret not in spy.seen for secret in secrets[0])
        assert all(secret in house.stock.given for secret in secrets[0]), "keys of the network"

    run(work())


def swanctl(folder: Path, *, up: str = "") -> str:
    """Return a program that notes its words as ``program`` does, includes ``<folder>/*.conf``, knows the connection
    ``office``, and has an IKE SA of the name ``up``."""
    folder.mkdir()
    path = folder / "swanctl"
    path.write_text(
        f"""#!/bin/sh
echo "$@" >> "$0.log"
cd "{folder}" && touch none.conf
case "$1 $3" in
    "--list-conns "*) echo "office: IKEv2, no reauthentication" ;;
    "--load-creds "*) sed -n "s/^  \\(ppk-[0-9a-f-]*\\) {{/loaded ppk secret '\\1'/p" *.conf ;;
    "--list-sas {up}") echo "{up}: #1, ESTABLISHED" ;;
esac
""",
        encoding="utf-8",
    )
    path.chmod(0o700)
    return str(path)


LOADING = "--load-creds --noprompt"


def test_strongswan_gets_its_secret_in_a_file_of_its_own_and_is_told_to_load_it(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        programs = [swanctl(tmp_path / name) for name in ("alice", "bob")]
        files = [tmp_path / "alice" / "qanat.conf", tmp_path / "bob" / "qanat.conf"]
        async with following(house, StrongswanSlot(files[1], "qanat", programs[1])), house.user("alice") as alice:
            await Hook(alice, "bob", StrongswanSlot(files[0], "qanat", programs[0]), name="office").rotate()
        assert noted(programs[0]) == noted(programs[1]) == [LOADING]
        (written,) = {next(line for line in file.read_text().splitlines() if "secret =" in line) for file in files}
        assert files[0].stat().st_mode & 0o077 == 0
        assert written.strip() in [f"secret = 0x{key.hex()}" for key in house.stock.given]

    run(work())


@pytest.mark.parametrize(("up", "made_anew"), [("office", ["--rekey --ike office --reauth"]), ("home", [])])
def test_a_connection_that_is_up_is_made_anew_once_its_key_is_loaded(
    tmp_path: Path, up: str, made_anew: list[str]
) -> None:
    program = swanctl(tmp_path / "alice", up=up)
    slot = StrongswanSlot(tmp_path / "alice" / "qanat.conf", "qanat", program, "office")
    run(slot.put(bytes(32)))
    assert noted(program) == ["--list-conns", LOADING, "--list-sas --ike office", *made_anew]


def test_a_connection_that_strongswan_does_not_have_is_refused_before_the_key_is_set(tmp_path: Path) -> None:
    file = tmp_path / "alice" / "qanat.conf"
    slot = StrongswanSlot(file, "qanat", swanctl(tmp_path / "alice"), "offfice")
    with pytest.raises(ConfigurationError, match="has no connection offfice"):
        run(slot.put(bytes(32)))
    assert not file.exists()


def test_a_file_of_secrets_that_swanctl_does_not_include_is_told(tmp_path: Path) -> None:
    """swanctl would say nothing of it, and end with status 0; so it would where another file has a key of the id."""
    program = swanctl(tmp_path / "alice")
    slot = StrongswanSlot(tmp_path / "qanat.conf", "qanat", program)
    with pytest.raises(ConfigurationError, match="did not load the key from") as fault:
        run(slot.put(bytes(32)))
    assert "include this file" in str(fault.value.remedy)
    run(StrongswanSlot(tmp_path / "alice" / "old.conf", "qanat", program).put(bytes(32)))
    with pytest.raises(ConfigurationError, match="did not load the key from"):
        run(slot.put(bytes(32)))


def test_two_files_for_one_id_are_refused_and_for_two_ids_taken(tmp_path: Path) -> None:
    """Of two keys with one id strongSwan takes either."""
    folder = tmp_path / "alice"
    program = swanctl(folder)
    run(StrongswanSlot(folder / "one.conf", "office", program).put(bytes(32)))
    run(StrongswanSlot(folder / "other.conf", "home", program).put(bytes(32)))
    with pytest.raises(ConfigurationError, match="loaded more keys of this id than the one from"):
        run(StrongswanSlot(folder / "third.conf", "office", program).put(bytes(32)))


@pytest.mark.parametrize("ppk_id", ["", 'of"fice', "of\\fice", "office\n", "büro"])
def test_an_id_that_would_spoil_the_file_of_secrets_is_refused(tmp_path: Path, ppk_id: str) -> None:
    with pytest.raises(BadParameter, match="cannot be the id of a PPK"):
        StrongswanSlot(tmp_path / "qanat.conf", ppk_id)


def test_the_end_that_follows_makes_no_connection_anew() -> None:
    """Its key is set first: a connection made anew then would meet two keys."""
    words = "hook strongswan --with bob --file x.conf --ppk-id office --reauth office --follow"
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code != 0
    assert "--reauth with --follow" in result.output


def test_who_follows_hears_that_the_leaders_program_took_no_key(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        good, bad = program(tmp_path / "wg"), program(tmp_path / "wg-alice", fails=True)
        async with following(house, WireguardSlot("wg1", PEER_KEY, good)) as (_, keys, faults):
            async with house.user("alice") as alice:
                with pytest.raises(ConfigurationError, match="Operation not permitted"):
                    await Hook(alice, "bob", WireguardSlot("wg0", PEER_KEY, bad), name="office").rotate()
            await until(lambda: bool(faults))
        refusal = f"{sae_of('alice')} refused: it could not put the key to its program"
        assert faults[0].message == f"a call of alice from 127.0.0.1: {refusal}", "the same each time, to be told once"
        assert "its own output says why" in faults[0].remedy
        assert keys == []

    run(work())


def test_a_program_that_takes_no_key_is_told_and_the_leader_does_not_set_its_own(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        good, bad = program(tmp_path / "wg"), program(tmp_path / "wg-bob", fails=True)
        async with following(house, WireguardSlot("wg1", PEER_KEY, bad)) as (_, keys, faults):
            async with house.user("alice") as alice:
                with pytest.raises(RefusedByPeer, match="could not put the key to its program"):
                    await Hook(alice, "bob", WireguardSlot("wg0", PEER_KEY, good), name="office").rotate()
            await until(lambda: bool(faults))
        assert isinstance(faults[0], ConfigurationError)
        assert "Operation not permitted" in faults[0].message
        assert (keys, noted(good)) == ([], [])

    run(work())


@pytest.mark.parametrize(
    ("leader", "name", "said"),
    [("carol", "office", "sets no keys here"), ("alice", "home", "a key for 'office', and here is 'home'")],
)
def test_a_stranger_or_another_slot_is_refused(tmp_path: Path, leader: str, name: str, said: str) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        wg = program(tmp_path / "wg")
        slot = WireguardSlot("wg0", PEER_KEY, wg)
        async with following(house, slot, name=name, leader=leader), house.user("alice") as alice:
            with pytest.raises(RefusedByPeer, match=said):
                await Hook(alice, "bob", slot, name="office").rotate()
        assert noted(wg) == []

    run(work())


def test_a_leader_goes_on_after_faults(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        wg = program(tmp_path / "wg")
        slot = WireguardSlot("wg0", PEER_KEY, wg)
        faults: list[QanatError] = []
        async with house.user("alice") as alice:
            leading = asyncio.create_task(
                Hook(alice, "bob", slot, name="office").lead(every_s=0.01, on_fault=faults.append)
            )
            await until(lambda: bool(faults))  # bob is away
            async with following(house, slot) as (_, keys, _):
                await until(lambda: len(keys) >= 2)
            leading.cancel()
            await asyncio.gather(leading, return_exceptions=True)

    run(work())


def without_interface(place: Path) -> str:
    """Return a program that says what wg says of an interface that is not there."""
    place.write_text("#!/bin/sh\necho 'Unable to access interface: No such device' >&2\nexit 1\n", encoding="utf-8")
    place.chmod(0o700)
    return str(place)


def test_a_leader_tells_that_its_interface_is_missing_while_nobody_follows(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        slot = WireguardSlot("wg0", PEER_KEY, without_interface(tmp_path / "wg"))
        faults: list[QanatError] = []
        async with house.user("alice") as alice:
            one = Hook(alice, "bob", slot, name="office")
            leading = asyncio.create_task(one.lead(every_s=0.01, on_fault=faults.append))
            await until(lambda: len(faults) >= 2)
            leading.cancel()
            await asyncio.gather(leading, return_exceptions=True)
        told = "does not show interface wg0: Unable to access interface: No such device"
        assert all(told in fault.message for fault in faults)
        assert house.stock.given == [], "no key was taken for it"

    run(work())


def test_a_follower_tells_at_its_start_that_its_interface_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work() -> None:
        stop = asyncio.Event()
        async with House(tmp_path / "data").user("bob") as bob:
            slot = WireguardSlot("wg0", PEER_KEY, without_interface(tmp_path / "wg"))
            one = Hook(bob, "alice", slot, name="office")
            following = asyncio.create_task(_follow(bob, one, stop, Faults(FOLLOWS)))
            await until(lambda: stop.is_set() or "no key can be set here yet" in capsys.readouterr().err)
            stop.set()
            await following

    run(work())


class HookWithFaults:
    """A hook that leads: its rotations fail three times, one brings a key, two fail, and the last brings a key."""

    def __init__(self, *_: Any, on_key: Callable[[KeyID], None], **__: Any) -> None:
        self._on_key = on_key

    async def lead(self, *, on_fault: Callable[[QanatError], None], **_: Any) -> None:
        for fault in ("bob is away", "bob is away", "wg0 is missing"):
            on_fault(ChannelClosed(fault))
        self._on_key(KeyID("first"))
        on_fault(ChannelClosed("wg0 is missing"))
        on_fault(ChannelClosed("wg0 is missing"))
        self._on_key(KeyID("second"))


def test_a_leader_tells_a_fault_once_until_another_one_or_a_key_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    house = House(tmp_path / "data")
    monkeypatch.setattr(hook_command, "people_of", lambda _: house.user("alice").people)
    monkeypatch.setattr(hook_command, "UserServices", lambda _: house.user("alice"))
    monkeypatch.setattr(hook_command, "Hook", HookWithFaults)
    rotation = Rotation("bob", "office", 120.0, follow=False, count=2)
    assert run_hook(CommandSlot(("true",)), rotation, who=Who("alice", None, None), as_json=False) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"{LEADS}: bob is away",
        f"{LEADS}: wg0 is missing",
        "office: both ends hold key first",
        f"{LEADS}: wg0 is missing",
        "office: both ends hold key second",
    ]


@pytest.mark.parametrize("comes_after", [1, 2])
def test_a_key_that_comes_late_finds_the_follower_there_and_one_that_does_not_is_told_as_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comes_after: int
) -> None:
    """The follower waits for no more than 0.3 s; the key manager has the key of the rotation, or of the line, later."""
    monkeypatch.setattr(conversation, "HELLO_PATIENCE_S", 0.3)
    monkeypatch.setattr(conversation, "FIRST_RECORD_PATIENCE_S", 0.3)

    class LateSupply(FakeSupply):
        async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
            if len(self.requests) == comes_after - 1 and time.monotonic() < late_s:
                raise KeyShortage("no key in the pool with bob", retry_after_s=0.2)
            return await super().get_keys(peer, count=count, size_bits=size_bits)

    async def work() -> None:
        house, waits = House(tmp_path / "data"), list[int]()
        house.supplies["alice"] = LateSupply(house.stock, sae_of("alice"))
        slots = [command_slot("cat", "hex"), command_slot("cat", "hex")]
        async with following(house, slots[1]) as (spy, keys, faults), house.user("alice") as alice:
            hook = Hook(alice, "bob", slots[0], name="office", on_wait=lambda: waits.append(1))
            key_id = await hook.rotate()
            await until(lambda: bool(keys))
            assert (keys, faults, waits) == ([key_id], [], [1])
            alice.terms = replace(alice.terms, patience_s=0.0)
            house.supplies["alice"].requests.clear()
            nonlocal late_s
            late_s = math.inf
            with pytest.raises(KeyShortage, match="no key in the pool with bob") as told:
                await hook.rotate()
            assert "the network has to make key first" in told.value.remedy
            await until(lambda: spy.num_lines == 3)

    late_s = time.monotonic() + 1.0
    run(work())


class HookThatWaits:
    """Stands in for a hook that waits for its first key."""

    def __init__(self, *_: Any, on_key: Callable[[KeyID], None], on_wait: Callable[[], None], **__: Any) -> None:
        self._on_key = on_key
        self._on_wait = on_wait

    async def lead(self, **_: Any) -> None:
        self._on_wait()
        self._on_key(KeyID("first"))


def test_a_leader_without_key_tells_that_it_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    house = House(tmp_path / "data")
    monkeypatch.setattr(hook_command, "people_of", lambda _: house.user("alice").people)
    monkeypatch.setattr(hook_command, "UserServices", lambda _: house.user("alice"))
    monkeypatch.setattr(hook_command, "Hook", HookThatWaits)
    rotation = Rotation("bob", "office", 120.0, follow=False, count=1)
    assert run_hook(CommandSlot(("true",)), rotation, who=Who("alice", None, None), as_json=False) == 0
    waits, holds = capsys.readouterr().err.splitlines()
    assert waits.startswith("waiting for key with bob: the network has too little and has to make it first; up to ")
    assert holds == "office: both ends hold key first"


@pytest.mark.parametrize("form", list(KeyForm))
def test_a_command_of_ones_own_reads_each_key_in_the_form_that_was_asked(tmp_path: Path, form: KeyForm) -> None:
    """Both ends' commands write what they read into files: the same bytes, which are a key of the network."""

    async def work() -> None:
        house = House(tmp_path / "data")
        files = [tmp_path / "alice key", tmp_path / "bob key"]
        slots = [command_slot(f"tee '{file}'", form.value) for file in files]
        async with following(house, slots[1]) as (spy, keys, faults), house.user("alice") as alice:
            await Hook(alice, "bob", slots[0], name="office").rotate()
            await until(lambda: bool(keys))
        assert faults == []
        written, other = (file.read_bytes() for file in files)
        assert written == other
        read = {
            KeyForm.HEX: lambda: bytes.fromhex(written.decode()),
            KeyForm.BASE64: lambda: base64.b64decode(written, validate=False),
            KeyForm.RAW: lambda: written,
        }
        key = read[form]()
        assert len(key) == 32
        assert key in house.stock.given
        assert key not in spy.seen
        assert written.endswith(b"\n") == (form is not KeyForm.RAW)

    run(work())


def test_a_rotation_does_not_wait_for_what_its_command_leaves_running(tmp_path: Path) -> None:
    """Also where it holds the command's output open."""
    late = tmp_path / "late"
    run(CommandSlot(("sh", "-c", f"(sleep 3; touch '{late}') & cat > /dev/null")).put(bytes(32)))
    assert not late.exists()


def test_a_command_that_takes_too_long_is_killed_with_what_it_started_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encryptor_programs, "PATIENCE_S", 0.5)
    late, started = tmp_path / "late", tmp_path / "started"
    with pytest.raises(ConfigurationError, match=r"sh took longer than 0\.5 s"):
        run(CommandSlot(("sh", "-c", f"(sleep 3; touch '{late}') & echo $! > '{started}'; wait")).put(bytes(32)))
    assert not late.exists()
    assert is_gone(int(started.read_text()))


def test_a_command_that_says_things_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryptor_programs, "MOST_SAID_BYTES", 100_000)
    with pytest.raises(ConfigurationError, match="yes said more than 100,000 bytes") as refusal:
        run(CommandSlot(("yes",)).put(bytes(32)))
    assert "let it say less" in refusal.value.remedy


def test_a_command_that_fails_or_is_not_there_is_told_by_its_option(tmp_path: Path) -> None:
    async def work() -> None:
        with pytest.raises(ConfigurationError, match="did not take the key: Operation not permitted"):
            await CommandSlot((program(tmp_path / "set", fails=True), "now")).put(bytes(32))
        with pytest.raises(MachineFault, match="nowhere") as fault:
            await CommandSlot((str(tmp_path / "nowhere"),)).put(bytes(32))
        assert "--run" in str(fault.value.remedy)

    run(work())
    for command, form in (("", "hex"), ("set 'it", "hex"), ("set it", "octal")):
        with pytest.raises(BadParameter):
            command_slot(command, form)


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("command --run ./nope.sh", "--run: './nope.sh'"),
        (f"wireguard --interface wg0 --peer {PEER_KEY} --program nope-wg", "--program: 'nope-wg'"),
        ("strongswan --file x.conf --ppk-id office --program nope-swanctl", "--program: 'nope-swanctl'"),
    ],
)
def test_a_program_that_is_not_there_is_told_before_any_key_is_asked_for(words: str, option: str) -> None:
    result = CliRunner().invoke(app, ["hook", *words.split(), "--with", "bob"])
    assert result.exit_code == 2
    assert f"{option} cannot be started" in result.output
