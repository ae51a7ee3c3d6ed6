"""Encryption at rest: a master key wraps hour keys, these wrap data keys, which seal rows. All of it AES-256-GCM.

    master key --derivation, a fresh salt per opening--> wrapping key --wraps--> hour keys, one per pool and hour
    hour key --wraps--> data keys --seal--> rows

The derivation is HKDF-SHA-256 for a master key that this process has (a file, the environment), and the token's own for
one that never leaves a hardware module (``token_key``).

Nonces are counters, so that none can come twice under one key (NIST SP 800-38D, section 8.2.1): a wrapping key and the
hour keys under it wrap during one opening of a store and count in memory; a data key seals each row number once. What
is sealed is bound to its place by the associated data: a row that was moved elsewhere does not open.

Destroying a wrapped key destroys what lies under it, as far as the medium forgets (docs/formats/key-store.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from qanat.adapters.private_files import read_private, write_private
from qanat.adapters.token_key import TokenKey
from qanat.adapters.token_uri import SCHEME, read_token_uri
from qanat.ground.errors import ConfigurationError, StoreFailed
from qanat.ground.keys import SecretBytes
from qanat.ground.ports import Entropy

KEY_BYTES = 32
SALT_BYTES = 32
_NONCE_BYTES = 12
_OPENING_BYTES = 4
_TAG_BYTES = 16
_PROOF_COUNTER = 0
WRAPPED_DATA_KEY_BYTES = _NONCE_BYTES + KEY_BYTES + _TAG_BYTES
"""Nonce, ciphertext, tag."""
WRAPPED_KEY_BYTES = _OPENING_BYTES + WRAPPED_DATA_KEY_BYTES
"""Number of the opening whose wrapping key it is, and the rest as above."""
MASTER_KEY_VARIABLE = "QANAT_MASTER_KEY"
"""Name of the environment variable that may hold the master key, in hexadecimal, or the PKCS #11 URI of one."""


class KeyElsewhere(Protocol):
    """A master key that is not in this process: it gives wrapping keys, and never itself."""

    def wrapping_keys(self, salts: Sequence[bytes]) -> Sequence[SecretBytes]:
        """Return the wrapping key of each salt, 32 bytes; raises ConfigurationError when it cannot."""
        ...


MasterKey: TypeAlias = SecretBytes | KeyElsewhere


def identity(*parts: str | int) -> bytes:
    """Return associated data that name a row; parts hold no NUL, so no two lists of parts give the same bytes."""
    return "\0".join(map(str, parts)).encode()


class DataKey:
    """Seals the rows of one batch; ``number`` is a row's place in it and is used once."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, number: int, plain: bytes | memoryview, place: bytes) -> bytes:
        """Return ciphertext and tag."""
        return self._cipher.encrypt(number.to_bytes(_NONCE_BYTES, "big"), plain, place)

    def open(self, number: int, sealed: bytes, place: bytes) -> bytes:
        """Return the plain bytes; raises StoreFailed when they are not what was sealed at this place."""
        try:
            return self._cipher.decrypt(number.to_bytes(_NONCE_BYTES, "big"), sealed, place)
        except InvalidTag:
            raise damaged_row(place) from None


class Vault:
    """The wrapping keys of one store: this opening's, which wraps, and those of earlier ones, which only unwrap.

    ``ciphers`` has them by the numbers of their openings (1, 2, ...), all of those that anything is wrapped under;
    ``opening`` is the current one, whose salt must be fresh: the counter of its wraps starts anew.
    """

    def __init__(self, ciphers: Mapping[int, AESGCM], *, opening: int, entropy: Entropy) -> None:
        self._ciphers = ciphers
        self._opening = opening
        self._entropy = entropy
        self._wraps = _PROOF_COUNTER

    def new_data_key(self, place: bytes) -> tuple[DataKey, bytes]:
        """Return a fresh key, and the same wrapped under this opening's wrapping key."""
        key = self._entropy.secret_bytes(KEY_BYTES).take()
        return DataKey(key), self.wrap(key, place)

    def wrap(self, key: bytes, place: bytes) -> bytes:
        """Return a key wrapped under this opening's wrapping key."""
        self._wraps += 1
        nonce = self._wraps.to_bytes(_NONCE_BYTES, "big")
        opening = self._opening.to_bytes(_OPENING_BYTES, "big")
        return opening + nonce + self._ciphers[self._opening].encrypt(nonce, key, place)

    def wrap_under(self, above: DataKey, number: int, place: bytes) -> tuple[DataKey, bytes]:
        """Return a fresh data key, and the same wrapped under another key; ``number`` comes once under that one."""
        key = self._entropy.secret_bytes(KEY_BYTES).take()
        return DataKey(key), number.to_bytes(_NONCE_BYTES, "big") + above.seal(number, key, place)

    @staticmethod
    def unwrap_under(above: DataKey, wrapped: bytes, place: bytes) -> DataKey:
        """Return what ``wrap_under`` wrapped for the same place; raises StoreFailed."""
        if len(wrapped) != WRAPPED_DATA_KEY_BYTES:
            raise damaged_row(place)
        number = int.from_bytes(wrapped[:_NONCE_BYTES], "big")
        return DataKey(above.open(number, wrapped[_NONCE_BYTES:], place))

    def unwrap(self, wrapped: bytes, place: bytes) -> DataKey:
        """Return a data key that ``new_data_key`` wrapped for the same place; raises StoreFailed."""
        return DataKey(self._unwrapped(wrapped, place))

    def rewrap(self, wrapped: bytes, place: bytes, *, onto: Vault) -> bytes:
        """Return a key of this vault, wrapped by another one for the same place; raises StoreFailed."""
        return onto.wrap(self._unwrapped(wrapped, place), place)

    def _unwrapped(self, wrapped: bytes, place: bytes) -> bytes:
        cipher = self._ciphers.get(opening_of(wrapped))
        if len(wrapped) != WRAPPED_KEY_BYTES or cipher is None:
            raise damaged_row(place)
        nonce = wrapped[_OPENING_BYTES : _OPENING_BYTES + _NONCE_BYTES]
        try:
            return cipher.decrypt(nonce, wrapped[_OPENING_BYTES + _NONCE_BYTES :], place)
        except InvalidTag:
            raise damaged_row(place) from None


def opening_of(wrapped: bytes) -> int:
    """Return the number of the opening whose wrapping key a wrapped key names."""
    return int.from_bytes(wrapped[:_OPENING_BYTES], "big")


def derive_wrapping_keys(master_key: MasterKey, salts: Sequence[bytes]) -> Sequence[SecretBytes]:
    """Return the wrapping keys of openings by their salts; raises ConfigurationError when a token cannot."""
    if not isinstance(master_key, SecretBytes):
        return master_key.wrapping_keys(salts)
    return [_derived(master_key, salt) for salt in salts]


def _derived(master_key: SecretBytes, salt: bytes) -> SecretBytes:
    derivation = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=b"qanat key store, wrapping key")
    return SecretBytes(derivation.derive(master_key.reveal()))


def wrapping_ciphers(master_key: MasterKey, salts: Mapping[int, bytes]) -> dict[int, AESGCM]:
    """Return the wrapping keys of openings by their numbers, ready to be used; raises as ``derive_wrapping_keys``."""
    keys = derive_wrapping_keys(master_key, list(salts.values()))
    return {opening: AESGCM(key.take()) for opening, key in zip(salts, keys, strict=True)}


def proof_by(cipher: AESGCM) -> bytes:
    """Return bytes that only the holder of this wrapping key could have made; they tell nothing about it."""
    return cipher.encrypt(_PROOF_COUNTER.to_bytes(_NONCE_BYTES, "big"), b"", b"proof")


def is_proof_by(cipher: AESGCM, proof: bytes) -> bool:
    """Return whether ``proof`` was made with this wrapping key."""
    try:
        cipher.decrypt(_PROOF_COUNTER.to_bytes(_NONCE_BYTES, "big"), proof, b"proof")
    except InvalidTag:
        return False
    return True


def find_master_key(path: Path, *, environment: Mapping[str, str], entropy: Entropy) -> MasterKey:
    """Return the master key that the environment names, else the one in the file (see ``load_master_key``).

    Raises ConfigurationError for a variable that holds no key and no PKCS #11 URI.
    """
    text = environment.get(MASTER_KEY_VARIABLE, "").strip()
    if not text:
        return load_master_key(path, environment=environment, entropy=entropy)
    if text.startswith(SCHEME):
        return TokenKey(read_token_uri(text), environment)
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"the environment variable {MASTER_KEY_VARIABLE} holds no master key",
            remedy=f"give {2 * KEY_BYTES} hexadecimal digits or a PKCS #11 URI, or leave it out to use the file {path}",
        )
    return SecretBytes(key)


def load_master_key(
    path: Path, *, environment: Mapping[str, str] = MappingProxyType({}), entropy: Entropy
) -> MasterKey:
    """Return the master key in a file of mode 0600: 32 raw bytes, or the PKCS #11 URI of a key in a token, whose PIN
    ``environment`` may hold. A fresh key is written when there is no such file.

    Raises ConfigurationError for a file that holds neither, or one that other users can read.
    """
    if not path.exists():
        write_private(path, entropy.secret_bytes(KEY_BYTES).take())
    data = read_private(path)
    if data.startswith(SCHEME.encode()):
        return TokenKey(read_token_uri(data.decode(errors="replace").strip()), environment)
    if len(data) != KEY_BYTES:
        raise ConfigurationError(
            f"{path} has {len(data)} bytes; a master key has {KEY_BYTES}",
            remedy="name the right file; without the master key of a key store its keys are lost",
        )
    return SecretBytes(data)


def named_in_token(path: Path, *, environment: Mapping[str, str]) -> TokenKey | None:
    """Return the key in a token that environment or file name as master key, None where they name none.

    Makes no file. Raises ConfigurationError for a URI that cannot be understood, or a file that others can read.
    """
    text = environment.get(MASTER_KEY_VARIABLE, "").strip()
    if not text and path.exists() and (data := read_private(path)).startswith(SCHEME.encode()):
        text = data.decode(errors="replace").strip()
    return TokenKey(read_token_uri(text), environment) if text.startswith(SCHEME) else None


def damaged_row(place: bytes) -> StoreFailed:
    """Return the error for a row that is not what this store wrote at ``place``."""
    return StoreFailed(
        f"the key store's row {place.replace(chr(0).encode(), b' ').decode()!r} is not what was written there",
        remedy="the file was damaged or altered; move it away, void the stock at the peers, and start a fresh store",
    )
