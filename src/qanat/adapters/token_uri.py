"""Names of keys in hardware modules: PKCS #11 URIs (RFC 7512), as far as a secret key of a token needs them.

pkcs11:token=site%20a;object=master?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/qanat/pin
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, unquote_to_bytes

from qanat.adapters.private_files import read_private
from qanat.ground.errors import ConfigurationError
from qanat.ground.keys import SecretBytes

SCHEME = "pkcs11:"
PIN_VARIABLE = "QANAT_TOKEN_PIN"
"""Name of the environment variable that holds the token's PIN where the URI says no source of it."""
_IN_PATH = ("token", "serial", "manufacturer", "model", "object", "id", "type")
_IN_QUERY = ("module-path", "pin-source", "pin-value")
EXAMPLE = "pkcs11:token=TOKEN;object=KEY?module-path=/usr/lib/MODULE.so&pin-source=file:/etc/qanat/pin"


@dataclass(frozen=True, slots=True)
class TokenUri:
    """A key in a token, and the module that reaches the token. What was not said is empty, and fits everything.

    ``pin_value`` is a PIN that stands in the URI itself; no text or ``repr`` of this has it.
    """

    module: Path
    token: str
    serial: str
    manufacturer: str
    model: str
    object: str
    id: bytes
    pin_source: Path | None
    pin_value: SecretBytes | None = field(repr=False)

    def __str__(self) -> str:
        """Return the URI without a PIN."""
        words = (
            *(("token", self.token), ("serial", self.serial), ("manufacturer", self.manufacturer)),
            *(("model", self.model), ("object", self.object), ("id", self.id)),
        )
        path = ";".join(f"{name}={quote(value, safe='')}" for name, value in words if value)
        query = f"module-path={quote(str(self.module))}"
        if self.pin_source is not None:
            query += f"&pin-source=file:{quote(str(self.pin_source))}"
        return f"{SCHEME}{path}?{query}"

    @property
    def title(self) -> str:
        """What to call the key in a message."""
        return f"key {self.object or self.id.hex()!r} of token {self.token or self.serial!r}"

    def pin(self, environment: Mapping[str, str]) -> SecretBytes:
        """Return the PIN; raises ConfigurationError: none anywhere, or a file that others can read."""
        if self.pin_value is not None:
            return SecretBytes(self.pin_value.reveal())
        if self.pin_source is not None:
            said = read_private(self.pin_source).rstrip(b"\r\n")
            where = str(self.pin_source)
        else:
            said, where = environment.get(PIN_VARIABLE, "").encode(), f"the environment variable {PIN_VARIABLE}"
        if not said:
            raise ConfigurationError(
                f"there is no PIN for the {self.title} in {where}",
                remedy=f"write the PIN into a file (mode 0600) that the URI names as pin-source, or set {PIN_VARIABLE}",
            )
        return SecretBytes(said)


def read_token_uri(text: str) -> TokenUri:
    """Return what a URI names; raises ConfigurationError, whose text has no value of the URI in it."""
    if not text.startswith(SCHEME):
        raise _wrong(f"it does not begin with {SCHEME}")
    path, _, query = text.removeprefix(SCHEME).partition("?")
    words = _attributes(path, between=";", known=_IN_PATH)
    asked = _attributes(query, between="&", known=_IN_QUERY)
    if unquote(words.get("type", "secret-key")) != "secret-key":
        raise _wrong("type is not secret-key")
    if not words.get("token") and not words.get("serial"):
        raise _wrong("it names no token")
    if not words.get("object") and not words.get("id"):
        raise _wrong("it names no object in the token")
    if "pin-source" in asked and "pin-value" in asked:
        raise _wrong("it has both a pin-source and a pin-value")
    module = Path(unquote(asked.get("module-path", "")))
    if not module.is_absolute():
        raise _wrong("it has no module-path that begins with /")
    return TokenUri(
        module=module,
        token=unquote(words.get("token", "")),
        serial=unquote(words.get("serial", "")),
        manufacturer=unquote(words.get("manufacturer", "")),
        model=unquote(words.get("model", "")),
        object=unquote(words.get("object", "")),
        id=unquote_to_bytes(words.get("id", "")),
        pin_source=_pin_source(asked["pin-source"]) if "pin-source" in asked else None,
        pin_value=SecretBytes(unquote_to_bytes(asked["pin-value"])) if "pin-value" in asked else None,
    )


def _attributes(text: str, *, between: str, known: tuple[str, ...]) -> dict[str, str]:
    """Return attributes by name, still encoded; no fault quotes what was said, which may be a part of a PIN."""
    found: dict[str, str] = {}
    for part in text.split(between) if text else ():
        name, equals, value = part.partition("=")
        if name not in known or not equals:
            raise _wrong(f"the attributes there that are understood are {', '.join(known)}")
        if name in found:
            raise _wrong(f"{name} is there twice")
        found[name] = value
    return found


def _pin_source(value: str) -> Path:
    source = unquote(value)
    path = Path(source.removeprefix("file:").removeprefix("//"))
    if source.startswith("|") or not path.is_absolute():
        raise _wrong("pin-source is no file: with a whole path (a program is not run)")
    return path


def _wrong(why: str) -> ConfigurationError:
    return ConfigurationError(f"this is no PKCS #11 URI of a master key: {why}", remedy=f"write it as {EXAMPLE}")
