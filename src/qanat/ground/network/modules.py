"""What stands at the ends of a link where it is no twin: devices behind ETSI 014 doors of their own, or key files."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from qanat.ground.keys import Origin
from qanat.ground.network.part import Part, fault_of_field

MAX_KEYS_PER_BLOCK = 16_384
MIN_BLOCK_BITS = 16_384
"""Below, what a block takes from the authentication reserve would weigh too much (1,024 bits each)."""
MAX_BLOCK_BITS = 2**27
MAX_PORT = 65_535
_URL = re.compile(r"https://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?/?")


class DeviceEnd(Part):
    """The ETSI GS QKD 014 door of the device at one end, and who the key manager of that end is to it.

    ``sae`` is the SAE id that the device knows this end by; ``kme`` the one URI in the certificate of the device, where
    it has one: without it, the host name of ``url`` must stand there.
    """

    url: str
    sae: str = Field(min_length=1, max_length=256)
    kme: str = Field(default="", max_length=256)

    @field_validator("url")
    @classmethod
    def _checked_url(cls, url: str) -> str:
        match = _URL.fullmatch(url)
        if match is None or not 0 < int(match["port"] or 443) <= MAX_PORT:
            raise fault_of_field(f"{url!r} is no address of a key delivery door", remedy="write https://HOST:PORT")
        return url.rstrip("/")


class Etsi014Modules(Part):
    """A pair of QKD devices that make key by themselves and deliver it through ETSI GS QKD 014 doors of their own.

    The transmitter's end asks for new keys (``enc_keys``), the receiver's for the same by their ids (``dec_keys``);
    ``keys_per_block`` keys of ``key_size_bits`` become one block. ``expected_rate_bits_per_s`` is what the pair is
    expected to give (0: what the link's system would); ``slow_after_s`` without a key while one is wanted is too slow.
    """

    driver: Literal["etsi014"]
    transmitter: DeviceEnd
    receiver: DeviceEnd
    key_size_bits: int = Field(default=256, ge=64, le=2**20, multiple_of=8)
    keys_per_block: int = Field(default=4096, ge=1, le=MAX_KEYS_PER_BLOCK)
    keys_per_request: int = Field(default=128, ge=1, le=1024)
    expected_rate_bits_per_s: float = Field(default=0.0, ge=0, le=1e12)
    slow_after_s: float = Field(default=10.0, gt=0, le=3600)
    eps_sec: float = Field(default=1e-9, gt=0, lt=1)
    """The secrecy of a block of these keys, as you take it from the vendor's claim: 014 has no word for it."""

    @property
    def block_bits(self) -> int:
        return self.key_size_bits * self.keys_per_block

    @model_validator(mode="after")
    def _two_devices(self) -> Etsi014Modules:
        if self.transmitter.sae == self.receiver.sae:
            raise fault_of_field(
                "both ends have the same SAE id; devices deliver a key to two",
                remedy="give each end an id of its own, as the devices know them",
            )
        if not MIN_BLOCK_BITS <= self.block_bits <= MAX_BLOCK_BITS:
            raise fault_of_field(
                f"a block would have {self.block_bits} bits, and {MIN_BLOCK_BITS} to {MAX_BLOCK_BITS} are allowed",
                remedy="choose another keys_per_block",
            )
        return self


class KeyFileModules(Part):
    """Key that was made elsewhere and lies in files, such as those of ``qanat distil``: one folder at each end.

    A folder is absolute, or relative to the folder of the site; empty: ``key-files/<link>`` there. ``origin`` is what
    you say of them: keys of devices, or of twins.
    """

    driver: Literal["key-files"]
    transmitter_folder: str = ""
    receiver_folder: str = ""
    origin: Origin = "twin"


Modules: TypeAlias = Annotated[Etsi014Modules | KeyFileModules, Field(discriminator="driver")]
DRIVERS = ("etsi014", "key-files")
