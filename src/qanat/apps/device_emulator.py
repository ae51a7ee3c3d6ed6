"""A pair of QKD devices for rehearsals: two ETSI 014 doors that deliver the same random keys, with faults on command.

No quantum light is involved, and its keys protect nothing from who can read this process. It stands where a vendor's
devices would: its doors have certificates of an authority of their own, and know one SAE each.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import Encoding

from qanat.adapters.authority import Authority
from qanat.adapters.etsi014_http import etsi014_app
from qanat.adapters.http_server import HttpDoor
from qanat.adapters.living_tls import LivingTls
from qanat.adapters.private_files import write_private
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.adapters.tls import TlsFiles
from qanat.apps.link_modules import device_files
from qanat.apps.workplace import Workplace
from qanat.doors.etsi014 import Etsi014Door, Limits
from qanat.ground.errors import BadParameter, ConfigurationError, KeyNotFound, KeyShortage, RequirementUnmet
from qanat.ground.identifiers import EventId, KeyID, NodeId, RequestId, SaeId, SaePair, uuid4_from
from qanat.ground.keys import KeyStatus, SecretBytes, SecretKey
from qanat.ground.network import DeviceEnd, Etsi014Modules, Link
from qanat.ground.requirements import Requirements

EndName: TypeAlias = Literal["transmitter", "receiver"]
ENDS: tuple[EndName, EndName] = ("transmitter", "receiver")
ANY = Requirements()
STOCK_S = 10.0
"""The devices have so many seconds of key in stock at most."""
SLOW_FACTOR = 1e-4
MAX_WAITING_KEYS = 2**18
COMMANDS = (
    *(f"unplug {end}" for end in ENDS),
    *(f"plug {end}" for end in ENDS),
    *(f"wrong-certificate {end}" for end in ENDS),
    *("slow", "wrong-ids", "different-bytes", "restart", "well"),
)


@dataclass(frozen=True, slots=True)
class _Given:
    keys: Sequence[SecretKey]
    event_id: EventId
    classical_route: Sequence[NodeId] = ()
    unmet: Sequence[str] = ()


@dataclass(slots=True)
class EmulatedPair:
    """Both devices' stock of key, and what is wrong with them. It serves both doors, which ask in their SAEs' names."""

    rate_bits_per_s: float
    key_size_bits: int
    max_keys_per_request: int
    faults: set[str] = field(default_factory=set)
    _stock_bits: float = 0.0
    _counted_s: float = 0.0
    _waiting: OrderedDict[tuple[SaePair, KeyID], SecretBytes] = field(default_factory=OrderedDict, repr=False)
    _clock: SystemClock = field(default_factory=SystemClock)
    _entropy: SystemEntropy = field(default_factory=SystemEntropy)

    def begin(self, fault: str) -> None:
        """Have something be wrong from now on; devices that are slow have nothing in stock either."""
        self.faults.add(fault)
        self._stock_bits = 0.0

    def forget(self) -> None:
        """Lose what was not delivered, as devices do that restart."""
        self._stock_bits = 0.0
        self._waiting.clear()

    async def get_status(self, *, master: SaeId, slave: SaeId) -> KeyStatus:
        self._make_key()
        return KeyStatus(
            source_kme="emulated device",
            target_kme="emulated device",
            master=master,
            slave=slave,
            key_size_bits=self.key_size_bits,
            min_key_size_bits=8,
            max_key_size_bits=2**20,
            stored_key_count=int(self._stock_bits // self.key_size_bits),
            max_key_count=MAX_WAITING_KEYS,
            max_keys_per_request=self.max_keys_per_request,
        )

    async def get_keys(
        self,
        *,
        master: SaeId,
        slave: SaeId,
        count: int,
        size_bits: int,
        request_id: RequestId | None,  # noqa: ARG002 - of key managers of ours
        cause: EventId | None,  # noqa: ARG002
        patience_s: float | None,  # noqa: ARG002
        more_slaves: Sequence[SaeId] = (),
        require: Requirements = ANY,
        prefer: Requirements = ANY,  # noqa: ARG002
        nonce: str | None = None,  # noqa: ARG002 - its doors say that they know none
        priority: int | None = None,  # noqa: ARG002 - who comes first is served first
    ) -> _Given:
        """Return fresh keys and lay the same ready for ``slave``, unless a fault was commanded."""
        if more_slaves or require != ANY:
            raise RequirementUnmet("a pair of devices makes keys for its two applications, and of one kind")
        self._make_key()
        if self._stock_bits < count * size_bits:
            raise KeyShortage("the devices have made too little key so far", retry_after_s=1.0)
        self._stock_bits -= count * size_bits
        return _Given([self._new_key(SaePair(master, slave), size_bits) for _ in range(count)], EventId(""))

    async def get_keys_by_id(
        self,
        *,
        caller: SaeId,
        master: SaeId,
        key_ids: Sequence[KeyID],
        nonce: str | None = None,  # noqa: ARG002
    ) -> Sequence[SecretKey]:
        """Return to ``caller`` the keys that ``master`` was given, all or none, and once."""
        pair = SaePair(master, caller)
        if any((pair, key_id) not in self._waiting for key_id in key_ids) or len(set(key_ids)) != len(key_ids):
            raise KeyNotFound("at least one of these keys is not here")
        return [self._key(pair, key_id, self._waiting.pop((pair, key_id))) for key_id in key_ids]

    def _new_key(self, pair: SaePair, size_bits: int) -> SecretKey:
        if size_bits % 8:
            raise BadParameter("the size is no multiple of 8 bits")
        key_id, secret = KeyID(uuid4_from(self._entropy.public_bytes(16))), self._entropy.secret_bytes(size_bits // 8)
        other_id, other = key_id, bytearray(secret.reveal())
        if "wrong-ids" in self.faults:
            other_id = KeyID(uuid4_from(self._entropy.public_bytes(16)))
        if "different-bytes" in self.faults:
            other[0] ^= 1
        self._waiting[pair, other_id] = SecretBytes(other)
        while len(self._waiting) > MAX_WAITING_KEYS:
            self._waiting.popitem(last=False)
        return self._key(pair, key_id, secret)

    def _key(self, pair: SaePair, key_id: KeyID, secret: SecretBytes) -> SecretKey:
        return SecretKey(key_id, pair, secret, (), "device", self._clock.utc_s(), 0)

    def _make_key(self) -> None:
        now_s = self._clock.monotonic_s()
        rate = self.rate_bits_per_s * (SLOW_FACTOR if "slow" in self.faults else 1.0)
        elapsed_s = min(STOCK_S, now_s - self._counted_s)
        self._counted_s = now_s
        self._stock_bits = min(self._stock_bits + rate * elapsed_s, STOCK_S * self.rate_bits_per_s)


class DeviceEmulator:
    """The doors of a link's devices: ``async with DeviceEmulator(...) as devices``, then ``command``."""

    def __init__(self, link: Link, place: Workplace, *, rate_bits_per_s: float) -> None:
        if not isinstance(link.modules, Etsi014Modules):
            raise ConfigurationError(
                f"link {link.name!r} has no devices behind ETSI 014 doors",
                remedy="give it modules with 'driver: etsi014' in the network file"
                if link.makes_key_on_order
                else "it is a satellite's and has twins alone: run it with `qanat up`",
            )
        self.link = link
        self._settings = link.modules
        self._place = place
        self._pair = EmulatedPair(rate_bits_per_s, self._settings.key_size_bits, self._settings.keys_per_request)
        self._doors: dict[EndName, HttpDoor] = {}
        self._files: dict[EndName, TlsFiles] = {}

    async def __aenter__(self) -> DeviceEmulator:
        self._files = emulator_files(self.link, self._settings, self._place)
        for end in ENDS:
            await self._plug(end, self._files[end])
        return self

    async def __aexit__(self, *_: object) -> None:
        for end in ENDS:
            await self._unplug(end)

    @property
    def urls(self) -> dict[EndName, str]:
        """Where the doors answer."""
        return {end: _end(self._settings, end).url for end in ENDS}

    async def command(self, line: str) -> None:
        """Do one of ``COMMANDS``; raises BadParameter for anything else."""
        match line.split():
            case ["unplug", ("transmitter" | "receiver") as end]:
                await self._unplug(end)
            case ["plug", ("transmitter" | "receiver") as end]:
                await self._replug(end, self._files[end])
            case ["wrong-certificate", ("transmitter" | "receiver") as end]:
                with tempfile.TemporaryDirectory() as folder:
                    await self._replug(end, self._strange_files(Path(folder), end))
            case [("slow" | "wrong-ids" | "different-bytes") as fault]:
                self._pair.begin(fault)
            case ["restart"]:
                self._pair.forget()
                await self._replug_all()
            case ["well"]:
                self._pair.faults.clear()
                await self._replug_all()
            case _:
                raise BadParameter(f"{line!r} is no command", remedy=f"one of: {', '.join(COMMANDS)}")

    async def _replug_all(self) -> None:
        for end in ENDS:
            await self._replug(end, self._files[end])

    async def _replug(self, end: EndName, files: TlsFiles) -> None:
        await self._unplug(end)
        await self._plug(end, files)

    async def _unplug(self, end: EndName) -> None:
        if (door := self._doors.pop(end, None)) is not None:
            await door.stop(grace_s=0.1)

    async def _plug(self, end: EndName, files: TlsFiles) -> None:
        where = urlsplit(_end(self._settings, end).url)
        limits = Limits(
            key_size_bits=self._settings.key_size_bits,
            min_key_size_bits=8,
            max_key_size_bits=2**20,
            max_keys_per_request=self._settings.keys_per_request,
            max_request_bits=self._settings.keys_per_request * 2**20,
            max_additional_slaves=0,
            repeat_window_s=0,
        )
        sae = SaeId(_end(self._settings, end).sae)
        door = HttpDoor(
            etsi014_app(Etsi014Door(self._pair, saes=[sae], limits=limits)),
            tls=LivingTls(files),
            host=where.hostname or "127.0.0.1",
            port=where.port or 443,
        )
        await door.start()
        self._doors[end] = door

    def _strange_files(self, folder: Path, end: EndName) -> TlsFiles:
        """Return the certificate of an authority that nobody here knows."""
        authority = Authority.create("strange-devices", SystemEntropy(), SystemClock())
        name = _device_id(self.link, end)
        _write(folder / "strange", *authority.issue(name, is_node=True))
        return TlsFiles(folder / "strange.pem", folder / "strange.key", self._files[end].ca)


def emulator_files(link: Link, settings: Etsi014Modules, place: Workplace) -> dict[EndName, TlsFiles]:
    """Return the certificates of both emulated devices. At the first time they are made, with those by which the two
    sites' key managers call them, which are put where the sites look for them."""
    folder = place.pki / "devices" / f"{link.name}.emulated"
    ca = folder / "ca.pem"
    found = {end: TlsFiles(folder / f"{end}.pem", folder / f"{end}.key", ca) for end in ENDS}
    if ca.exists():
        return found
    if not (place.pki / "ca.pem").is_file():
        raise ConfigurationError(
            f"{place.pki} has no certificates of the sites yet",
            remedy="make them first with `qanat pki`, or `qanat up`",
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = Authority.create("emulated-devices", SystemEntropy(), SystemClock())
    pem = authority.certificate.public_bytes(Encoding.PEM)
    for end, node in zip(ENDS, link.ends, strict=True):
        _write(folder / end, *authority.issue(_device_id(link, end), is_node=True))
        client = device_files(place, link, node)
        if client.certificate.exists():
            raise ConfigurationError(
                f"{client.certificate} is there, and would be replaced by one for an emulated device",
                remedy="rehearse with another data folder than that of the real devices",
            )
        _write(client.certificate.with_suffix(""), *authority.issue(_end(settings, end).sae, is_node=False))
        client.ca.write_bytes(pem)
    ca.write_bytes(pem)
    return found


def _end(settings: Etsi014Modules, end: EndName) -> DeviceEnd:
    return settings.transmitter if end == "transmitter" else settings.receiver


def _device_id(link: Link, end: EndName) -> str:
    assert isinstance(link.modules, Etsi014Modules)
    return _end(link.modules, end).kme or f"urn:emulated-device:{link.name}:{end}"


def _write(path: Path, certificate: bytes, key: bytes) -> None:
    key_path = path.with_name(f"{path.name}.key")
    key_path.unlink(missing_ok=True)  # of an interrupted start
    write_private(key_path, key)
    path.with_name(f"{path.name}.pem").write_bytes(certificate)
