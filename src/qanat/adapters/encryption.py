"""Encryption at rest: a master key wraps hour keys, these wrap data keys, which seal rows. All of it AES-256-GCM.

    master key --HKDF-SHA-256, a fresh salt per opening--> wrapping key --wraps--> hour keys, one per pool and hour
    hour key --wraps--> data keys --seal--> rows

Nonces are counters, so that none can come twice under one key (NIST SP 800-38D, section 8.2.1): a wrapping key and the
hour keys under it wrap during one opening of a store and count in memory; a data key seals each row number once. What
is sealed is bound to its place by the associated data: a row that was moved elsewhere does not open.

Destroying a wrapped key destroys what lies under it, as far as the medium forgets (docs/formats/key-store.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from qanat.adapters.private_files import read_private, write_private
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
"""Name of the environment variable that may hold the master key, in hexadecimal."""


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

    ``salt_of`` returns the salt of an opening by its number (1, 2, ...); ``opening`` is the current one, whose salt
    must be fresh: the counter of its wraps starts anew.
    """

    def __init__(
        self, master_key: SecretBytes, *, opening: int, salt_of: Callable[[int], bytes], entropy: Entropy
    ) -> None:
        self._master_key = master_key
        self._opening = opening
        self._salt_of = salt_of
        self._entropy = entropy
        self._ciphers: dict[int, AESGCM] = {}
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
        return opening + nonce + self._cipher(self._opening).encrypt(nonce, key, place)

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
        if len(wrapped) != WRAPPED_KEY_BYTES:
            raise damaged_row(place)
        opening = int.from_bytes(wrapped[:_OPENING_BYTES], "big")
        nonce = wrapped[_OPENING_BYTES : _OPENING_BYTES + _NONCE_BYTES]
        try:
            return DataKey(self._cipher(opening).decrypt(nonce, wrapped[_OPENING_BYTES + _NONCE_BYTES :], place))
        except InvalidTag:
            raise damaged_row(place) from None

    def _cipher(self, opening: int) -> AESGCM:
        if opening not in self._ciphers:
            self._ciphers[opening] = wrapping_cipher(self._master_key, salt=self._salt_of(opening))
        return self._ciphers[opening]


def wrapping_cipher(master_key: SecretBytes, *, salt: bytes) -> AESGCM:
    """Return the wrapping key of one opening, derived from the master key."""
    return AESGCM(derive_wrapping_key(master_key, salt=salt).take())


def derive_wrapping_key(master_key: SecretBytes, *, salt: bytes) -> SecretBytes:
    """Return the bytes of one opening's wrapping key."""
    derivation = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=b"qanat key store, wrapping key")
    return SecretBytes(derivation.derive(master_key.reveal()))


def proof_of_master_key(master_key: SecretBytes, *, salt: bytes) -> bytes:
    """Return bytes that only the holder of this master key could have made; they tell nothing about it."""
    nonce = _PROOF_COUNTER.to_bytes(_NONCE_BYTES, "big")
    return wrapping_cipher(master_key, salt=salt).encrypt(nonce, b"", b"proof")


def is_right_master_key(master_key: SecretBytes, *, salt: bytes, proof: bytes) -> bool:
    """Return whether ``proof`` was made with this master key."""
    try:
        wrapping_cipher(master_key, salt=salt).decrypt(_PROOF_COUNTER.to_bytes(_NONCE_BYTES, "big"), proof, b"proof")
    except InvalidTag:
        return False
    return True


def find_master_key(path: Path, *, environment: Mapping[str, str], entropy: Entropy) -> SecretBytes:
    """Return the master key that the environment names, else the one in the file (see ``load_master_key``).

    Raises ConfigurationError for a variable that holds no key.
    """
    text = environment.get(MASTER_KEY_VARIABLE, "")
    if not text:
        return load_master_key(path, entropy=entropy)
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"the environment variable {MASTER_KEY_VARIABLE} holds no master key",
            remedy=f"give {2 * KEY_BYTES} hexadecimal digits, or leave it out to use the file {path}",
        )
    return SecretBytes(key)


def load_master_key(path: Path, *, entropy: Entropy) -> SecretBytes:
    """Return the master key in a file of 32 raw bytes, mode 0600; a fresh one is written when there is no such file.

    Raises ConfigurationError for a file of another size, or one that other users can read.
    """
    if not path.exists():
        write_private(path, entropy.secret_bytes(KEY_BYTES).take())
    data = read_private(path)
    if len(data) != KEY_BYTES:
        raise ConfigurationError(
            f"{path} has {len(data)} bytes; a master key has {KEY_BYTES}",
            remedy="name the right file; without the master key of a key store its keys are lost",
        )
    return SecretBytes(data)


def damaged_row(place: bytes) -> StoreFailed:
    """Return the error for a row that is not what this store wrote at ``place``."""
    return StoreFailed(
        f"the key store's row {place.replace(chr(0).encode(), b' ').decode()!r} is not what was written there",
        remedy="the file was damaged or altered; move it away, void the stock at the peers, and start a fresh store",
    )
