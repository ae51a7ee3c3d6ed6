"""A master key that never leaves its hardware module (PKCS #11): the module itself derives the wrapping keys.

The key is a generic secret of 256 bits or more, private, sensitive and not extractable, which may sign. A wrapping key
is one block of the key derivation in counter mode of NIST SP 800-108r1 (section 4.1) with HMAC-SHA-256, which is one
signature by the module:

    HMAC-SHA-256(key, 00000001 | label | 00 | salt of the opening | 00000100)

The package python-pkcs11 (extra ``hsm``) is loaded when the first such key is used. A session lasts for one call: the
token is needed, and its PIN is read, while a store is opened and at no other time.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qanat.adapters.token_uri import TokenUri
from qanat.ground.errors import ConfigurationError
from qanat.ground.keys import SecretBytes

if TYPE_CHECKING:
    import pkcs11

LABEL = b"qanat key store, wrapping key"
_KEY_BITS = 256
_ONE_SESSION = threading.Lock()
"""A process is logged in to a token as a whole (PKCS #11 v2.40, section 5.6): a second login would fail."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A master key in a token, by its name. ``environment`` may hold the PIN."""

    uri: TokenUri
    environment: Mapping[str, str] = field(repr=False)

    def wrapping_keys(self, salts: Sequence[bytes]) -> list[SecretBytes]:
        """Return the wrapping key for each salt, in one session; raises ConfigurationError."""
        with self._session() as session:
            from pkcs11 import Mechanism

            key = self._key(session)
            return [SecretBytes(key.sign(_fixed_input(salt), mechanism=Mechanism.SHA256_HMAC)) for salt in salts]

    def try_out(self) -> None:
        """See that the key can be used, PIN and all; raises ConfigurationError."""
        self.wrapping_keys([b""])

    def make(self) -> None:
        """Have the token make the key; raises ConfigurationError, also when it has one of this name."""
        with self._session(rw=True) as session:
            from pkcs11 import KeyType

            if self._found(session):
                raise ConfigurationError(
                    f"there is a {self.uri.title} already", remedy="use it, or name another object in the URI"
                )
            session.generate_key(
                KeyType.GENERIC_SECRET,
                _KEY_BITS,
                label=self.uri.object or None,
                id=self.uri.id or None,
                store=True,
                template=_template(),
            )

    def destroy(self) -> None:
        """Have the token destroy the key; raises ConfigurationError."""
        with self._session(rw=True) as session:
            self._key(session).destroy()

    def look(self) -> None:
        """See that module and token are there and a PIN is given, without trying it; raises ConfigurationError."""
        self.uri.pin(self.environment).wipe()
        with self._told_apart():
            self._token()

    @contextlib.contextmanager
    def _session(self, *, rw: bool = False) -> Iterator[pkcs11.Session]:
        pin = self.uri.pin(self.environment)
        with _ONE_SESSION, self._told_apart():
            token = self._token()
            self._leave_last_try(token)
            with token.open(user_pin=pin.take().decode(errors="replace"), rw=rw) as session:
                yield session

    def _token(self) -> pkcs11.Token:
        import pkcs11

        try:
            library = pkcs11.lib(str(self.uri.module))
        except pkcs11.PKCS11Error as fault:
            raise ConfigurationError(
                f"{self.uri.module} cannot be used as a PKCS #11 module: {fault or type(fault).__name__}",
                remedy="install the vendor's module, and name its file as module-path; some need settings in the"
                " environment",
            ) from None
        found = [token for token in library.get_tokens() if self._is_meant(token)]
        if len(found) != 1:
            count = "is no token" if not found else f"are {len(found)} tokens"
            raise ConfigurationError(
                f"there {count} {self.uri.token or self.uri.serial!r} behind {self.uri.module}",
                remedy="connect the token, and name it in the URI; nothing is lost meanwhile"
                if not found
                else "name its serial in the URI, too",
            )
        return found[0]

    def _is_meant(self, token: pkcs11.Token) -> bool:
        uri, serial = self.uri, token.serial.decode(errors="replace").strip()
        said = ((uri.token, token.label), (uri.serial, serial), (uri.model, token.model))
        pairs = (*said, (uri.manufacturer, token.manufacturer_id))
        return all(not wanted or wanted == str(has).strip() for wanted, has in pairs)

    def _leave_last_try(self, token: pkcs11.Token) -> None:
        from pkcs11 import TokenFlag

        if token.flags & TokenFlag.USER_PIN_FINAL_TRY:
            raise ConfigurationError(
                f"token {token.label!r} locks after one more wrong PIN, and so no PIN is tried",
                remedy="log in by hand with the right PIN (the vendor's tool does it), and give the same PIN here",
            )

    def _found(self, session: pkcs11.Session) -> list[Any]:
        from pkcs11 import Attribute, ObjectClass

        wanted: dict[Any, Any] = {Attribute.CLASS: ObjectClass.SECRET_KEY}
        if self.uri.object:
            wanted[Attribute.LABEL] = self.uri.object
        if self.uri.id:
            wanted[Attribute.ID] = self.uri.id
        return list(session.get_objects(wanted))

    def _key(self, session: pkcs11.Session) -> Any:
        found = self._found(session)
        if len(found) != 1:
            count = "no" if not found else f"{len(found)} keys like the"
            raise ConfigurationError(
                f"there is {count} {self.uri.title}",
                remedy="name the right one; without the master key of a key store its keys are lost. A new one is made"
                " by `qanat node master-key make URI`",
            )
        if faults := list(_faults_of(found[0])):
            raise ConfigurationError(
                f"the {self.uri.title} cannot be a master key: it is {', '.join(faults)}",
                remedy="make one by `qanat node master-key make URI` under another name",
            )
        return found[0]

    @contextlib.contextmanager
    def _told_apart(self) -> Iterator[None]:
        """Turn what the module says into errors that name the remedy."""
        try:
            import pkcs11
        except ImportError:
            raise ConfigurationError(
                "master keys in hardware modules need the package python-pkcs11", remedy="pip install 'qanat[hsm]'"
            ) from None
        try:
            yield
        except (pkcs11.PinIncorrect, pkcs11.PinLenRange, pkcs11.PinInvalid):
            raise ConfigurationError(
                f"token {self.uri.token or self.uri.serial!r} does not take this PIN",
                remedy="correct the PIN before the next start: most tokens lock after a few wrong ones",
            ) from None
        except (pkcs11.PinLocked, pkcs11.PinExpired, pkcs11.UserPinNotInitialized) as fault:
            raise ConfigurationError(
                f"token {self.uri.token or self.uri.serial!r} lets nobody in: {type(fault).__name__}",
                remedy="have the token's security officer set the PIN anew; the key in it stays",
            ) from None
        except pkcs11.PKCS11Error as fault:
            raise ConfigurationError(
                f"the {self.uri.title} failed: {type(fault).__name__} {fault}".rstrip(),
                remedy="look whether the token is connected and can do this (HMAC-SHA-256 with generic secrets)",
            ) from None


def _fixed_input(salt: bytes) -> bytes:
    return (1).to_bytes(4, "big") + LABEL + b"\0" + salt + _KEY_BITS.to_bytes(4, "big")


def _template() -> dict[Any, bool]:
    """Return what the key is to be, beside its name and length; the rest of PKCS #11's words are the token's choice."""
    from pkcs11 import Attribute

    forbidden = ("VERIFY", "ENCRYPT", "DECRYPT", "WRAP", "UNWRAP", "DERIVE", "EXTRACTABLE")
    wanted = dict.fromkeys((Attribute.PRIVATE, Attribute.SENSITIVE, Attribute.SIGN), True)
    return wanted | {Attribute[name]: False for name in forbidden}


def _faults_of(key: Any) -> Iterator[str]:
    """Yield what keeps a key from being a master key."""
    from pkcs11 import Attribute, KeyType

    if key[Attribute.KEY_TYPE] not in (KeyType.GENERIC_SECRET, KeyType.SHA256_HMAC):
        yield "not a generic secret"
    elif key[Attribute.VALUE_LEN] < _KEY_BITS // 8:
        yield f"shorter than {_KEY_BITS} bits"
    if key[Attribute.EXTRACTABLE]:
        yield "extractable"
    if not key[Attribute.SENSITIVE]:
        yield "not sensitive"
    if not key[Attribute.PRIVATE]:
        yield "not private"
    if not key[Attribute.SIGN]:
        yield "not allowed to sign"
