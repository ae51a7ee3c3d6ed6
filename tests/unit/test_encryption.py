"""Keys at rest: nonces never repeat, nothing opens elsewhere, the master key is checked before it is used."""

from __future__ import annotations

import itertools
import stat
from pathlib import Path

import pytest

from qanat.adapters.encryption import (
    KEY_BYTES,
    Vault,
    identity,
    is_proof_by,
    load_master_key,
    proof_by,
    wrapping_ciphers,
)
from qanat.adapters.system import SystemEntropy
from qanat.ground.errors import ConfigurationError, StoreFailed
from qanat.ground.keys import SecretBytes

MASTER_KEY, OTHER_KEY = SecretBytes(bytes(32)), SecretBytes(bytes([1]) * 32)
SALTS = {1: b"first salt", 2: b"second salt"}
PLACE = identity("share", "link", "node", "block")


def new_vault(*, opening: int = 1, master_key: SecretBytes = MASTER_KEY) -> Vault:
    return Vault(wrapping_ciphers(master_key, SALTS), opening=opening, entropy=SystemEntropy())


def test_a_wrapped_key_opens_what_the_key_sealed_in_a_later_life() -> None:
    key, wrapped = new_vault(opening=1).new_data_key(PLACE)
    sealed = key.seal(7, b"secret", PLACE)
    assert new_vault(opening=2).unwrap(wrapped, PLACE).open(7, sealed, PLACE) == b"secret"


def test_nothing_opens_at_another_place() -> None:
    vault = new_vault()
    key, wrapped = vault.new_data_key(PLACE)
    sealed = key.seal(7, b"secret", PLACE)
    for number, place in ((8, PLACE), (7, identity("share", "link", "node", "other"))):
        with pytest.raises(StoreFailed, match="damaged or altered"):
            key.open(number, sealed, place)
    with pytest.raises(StoreFailed, match="share link node other"):
        vault.unwrap(wrapped, identity("share", "link", "node", "other"))
    for wrong in (b"", wrapped[:-1], wrapped + b"x", wrapped[:-1] + bytes([wrapped[-1] ^ 1])):
        with pytest.raises(StoreFailed):
            vault.unwrap(wrong, PLACE)


def test_nonces_of_wraps_never_repeat_within_an_opening() -> None:
    vault = new_vault()
    nonces = [vault.new_data_key(PLACE)[1][:16] for _ in range(1000)]
    proof_nonce = (1).to_bytes(4, "big") + bytes(12)
    assert len({*nonces, proof_nonce}) == 1001


def test_two_openings_have_two_wrapping_keys() -> None:
    """The counter of wraps starts anew at each opening, so the key must be another one."""
    _, wrapped = new_vault(opening=1).new_data_key(PLACE)
    moved = (2).to_bytes(4, "big") + wrapped[4:]
    with pytest.raises(StoreFailed):
        new_vault(opening=2).unwrap(moved, PLACE)


def test_places_are_told_apart() -> None:
    places = [identity(*parts) for parts in itertools.product(["a", "ab", "b", ""], repeat=3)]
    assert len(set(places)) == len(places)


def test_the_proof_fits_one_master_key_and_one_salt() -> None:
    right, other_salt = wrapping_ciphers(MASTER_KEY, SALTS).values()
    proof = proof_by(right)
    assert is_proof_by(right, proof)
    assert not is_proof_by(wrapping_ciphers(OTHER_KEY, SALTS)[1], proof)
    assert not is_proof_by(other_salt, proof)


def test_a_master_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "node" / "master.key"
    first = load_master_key(path, entropy=SystemEntropy())
    assert first == load_master_key(path, entropy=SystemEntropy())
    assert len(first) == KEY_BYTES == path.stat().st_size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_master_key_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(b"too short")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="9 bytes"):
        load_master_key(path, entropy=SystemEntropy())
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_master_key(path, entropy=SystemEntropy())
