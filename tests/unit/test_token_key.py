"""Master keys in a real token (SoftHSM 2): derived as NIST has it, never outside, refused with a remedy."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from interop.canary import scan_files
from qanat.adapters.encryption import MasterKey, find_master_key, load_master_key, named_in_token
from qanat.adapters.private_files import write_private
from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.adapters.sqlite.rewrapping import does_open, rewrap
from qanat.adapters.sqlite.zeroization import zeroize
from qanat.adapters.system import SystemEntropy
from qanat.adapters.token_key import LABEL, TokenKey
from qanat.adapters.token_uri import read_token_uri
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import KeyID, NodeId, RequestId, SaeId, SaePair
from qanat.ground.keys import SecretBytes, SecretKey
from qanat.ground.requirements import Repeatable
from token_support import PIN, SoftToken, forget_module, soft_token

T = TypeVar("T")
ALICE, BOB = SaeId("urn:qanat:t:sae:alice"), SaeId("urn:qanat:t:sae:bob")
PAIR = SaePair(ALICE, BOB)
KEY_ID = KeyID("3c1b5f74-e4fd-4d2b-960e-6b69cea2d062")
ANSWERED = KeyID("9367d220-ede8-421e-aa6c-f8ef28cedaeb")
CALL = Repeatable(ALICE, "a nonce", "enc_keys", 0.0, 300.0)


@pytest.fixture
def token(tmp_path: Path) -> Iterator[SoftToken]:
    with soft_token(tmp_path / "hsm") as made:
        yield made


def key_of(uri: str) -> TokenKey:
    return TokenKey(read_token_uri(uri), {})


def made_key(token: SoftToken, name: str = "master") -> TokenKey:
    key = key_of(token.uri(name))
    key.make()
    return key


def put_object(token: SoftToken, value: bytes, name: str = "known", **changed: Any) -> None:
    """Bring a key of known bytes into the token, as a master key would be but for ``changed``."""
    import pkcs11
    from pkcs11 import Attribute, KeyType, ObjectClass

    said: dict[str, Any] = {"KEY_TYPE": KeyType.GENERIC_SECRET, "PRIVATE": True, "SENSITIVE": True, "SIGN": True}
    said |= {"CLASS": ObjectClass.SECRET_KEY, "LABEL": name, "VALUE": value, "EXTRACTABLE": False, "TOKEN": True}
    with pkcs11.lib(token.module).get_token(token_label="site").open(user_pin=PIN, rw=True) as session:
        session.create_object({Attribute[word]: given for word, given in (said | changed).items()})


def test_the_derivation_is_that_of_sp_800_108(token: SoftToken) -> None:
    """The outside authority: KBKDFHMAC of the cryptography library, on a key whose bytes are known here."""
    value, salt = bytes(range(32)), b"s" * 32
    put_object(token, value)
    authority = KBKDFHMAC(SHA256(), Mode.CounterMode, 32, 4, 4, CounterLocation.BeforeFixed, LABEL, salt, None)
    (derived, other) = key_of(token.uri("known")).wrapping_keys([salt, b"t" * 32])
    assert derived.reveal() == authority.derive(value)
    assert derived != other


def test_what_a_token_makes_cannot_be_read(token: SoftToken) -> None:
    import pkcs11
    from pkcs11 import Attribute, ObjectClass

    made_key(token)
    opened = pkcs11.lib(token.module).get_token(token_label="site")
    with opened.open() as session:
        assert list(session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})) == [], "not without the PIN"
    with opened.open(user_pin=PIN) as session:
        (found,) = session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})
        assert found[Attribute.NEVER_EXTRACTABLE]
        assert found[Attribute.ALWAYS_SENSITIVE]
        with pytest.raises(pkcs11.AttributeSensitive):
            found[Attribute.VALUE]


def test_a_key_is_made_once_and_two_tokens_have_two(token: SoftToken) -> None:
    key = made_key(token)
    with pytest.raises(ConfigurationError, match="is a key 'master' of token 'site' already"):
        key.make()
    first = key.wrapping_keys([b"salt"])
    assert first == key.wrapping_keys([b"salt"])
    assert first != made_key(token, "another").wrapping_keys([b"salt"])


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"EXTRACTABLE": True}, "extractable"),
        ({"SENSITIVE": False}, "not sensitive"),
        ({"PRIVATE": False}, "not private"),
        ({"SIGN": False}, "not allowed to sign"),
        ({"VALUE": bytes(16)}, "shorter than 256 bits"),
    ],
)
def test_a_key_that_is_less_safe_than_it_should_be_is_refused(
    token: SoftToken, changed: dict[str, Any], why: str
) -> None:
    put_object(token, bytes(range(32)), **changed)
    with pytest.raises(ConfigurationError, match=f"cannot be a master key: it is {why}") as caught:
        key_of(token.uri("known")).wrapping_keys([b"salt"])
    assert "qanat node master-key make" in (caught.value.remedy or "")


def test_a_key_of_another_kind_is_refused(token: SoftToken) -> None:
    from pkcs11 import KeyType

    put_object(token, bytes(32), KEY_TYPE=KeyType.AES)
    with pytest.raises(ConfigurationError, match="not a generic secret"):
        key_of(token.uri("known")).wrapping_keys([b"salt"])


def refused(key: TokenKey) -> tuple[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        key.wrapping_keys([b"salt"])
    return caught.value.message, caught.value.remedy or ""


def test_what_fails_is_told_apart_and_no_pin_is_told(token: SoftToken, monkeypatch: pytest.MonkeyPatch) -> None:
    made_key(token)
    said = refused(key_of(token.uri("mistress")))
    assert "there is no key 'mistress' of token 'site'" in said[0]
    assert "there is no token 'cite'" in refused(key_of(token.uri(token="cite")))[0]
    module = token.uri().replace(token.module, "/nowhere/module.so")
    assert "/nowhere/module.so cannot be used as a PKCS #11 module" in refused(key_of(module))[0]
    assert "name its file as module-path" in refused(key_of(module))[1]
    no_module = token.uri().replace(token.module, str(Path(__file__)))
    assert "cannot be used as a PKCS #11 module" in refused(key_of(no_module))[0]
    token.set_pin("5678-wrong")
    said = refused(key_of(token.uri()))
    assert "does not take this PIN" in said[0]
    assert "lock after a few wrong ones" in said[1]
    assert "5678" not in " ".join(said)
    token.init()
    forget_module(token.uri())
    assert ("are 2 tokens 'site'" in (said := refused(key_of(token.uri())))[0], "serial" in said[1]) == (True, True)
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    assert "pip install 'qanat[hsm]'" in refused(key_of(token.uri()))[1]


def test_a_token_that_would_lock_is_left_alone(token: SoftToken, monkeypatch: pytest.MonkeyPatch) -> None:
    """SoftHSM never locks: the flag that other tokens raise is put on here."""
    from pkcs11 import TokenFlag

    made_key(token)

    class LastTry:
        label, flags = "site", TokenFlag.USER_PIN_FINAL_TRY

    monkeypatch.setattr(TokenKey, "_token", lambda _: LastTry())
    message, remedy = refused(key_of(token.uri()))
    assert "locks after one more wrong PIN" in message
    assert "log in by hand" in remedy


def test_it_is_named_in_the_environment_or_in_the_file(token: SoftToken, tmp_path: Path) -> None:
    made_key(token)
    path, entropy = tmp_path / "master.key", SystemEntropy()
    environment = {"QANAT_MASTER_KEY": token.uri()}
    found = find_master_key(path, environment=environment, entropy=entropy)
    assert isinstance(found, TokenKey)
    assert not path.exists()
    write_private(path, f"{token.uri()}\n".encode())
    loaded = load_master_key(path, entropy=entropy)
    assert isinstance(loaded, TokenKey)
    assert loaded.uri == found.uri
    assert named_in_token(path, environment={}) == replace(loaded, environment={})
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="other users"):
        load_master_key(path, entropy=entropy)


def new_key(key_id: KeyID) -> SecretKey:
    return SecretKey(key_id, PAIR, SecretBytes(b"\xa5\x5a" * 16), (NodeId("a"), NodeId("b")), "twin", 1.5e9, 512)


def play(path: Path, master_key: MasterKey, scene: Callable[[SqliteKeyStore], Awaitable[T]]) -> T:
    async def run() -> T:
        writer = StoreWriter()
        try:
            store = await SqliteKeyStore.open(path, master_key=master_key, writer=writer)
            await store.open_epoch()
            return await scene(store)
        finally:
            await writer.close()

    return asyncio.run(run())


async def fill(store: SqliteKeyStore) -> None:
    """Put a key into stock, and one into an answer that may be asked for again."""
    await store.put([new_key(ANSWERED)], entitled=frozenset({ALICE}), confirmed=True)
    await store.supply(PAIR, count=1, size_bits=256, request_id=RequestId("r"), repeat=CALL)
    await store.put([new_key(KEY_ID)], entitled=frozenset({ALICE}), confirmed=True)


async def put_another(store: SqliteKeyStore) -> None:
    await store.put([new_key(KeyID(KEY_ID[:-1] + "3"))], entitled=frozenset({ALICE}), confirmed=True)


async def check(store: SqliteKeyStore) -> None:
    answer = await store.repeated(CALL)
    assert answer is not None
    keys = [*answer, *await store.supply(PAIR, count=1, size_bits=256, request_id=RequestId("s"))]
    assert [(key.key_id, key.take()) for key in keys] == [(name, b"\xa5\x5a" * 16) for name in (ANSWERED, KEY_ID)]


def test_a_store_lives_under_it_and_its_keys_survive_a_wrong_start(token: SoftToken, tmp_path: Path) -> None:
    key, path = made_key(token), tmp_path / "keys.sqlite"
    play(path, key, fill)
    token.set_pin("wrong")
    with pytest.raises(ConfigurationError, match="does not take this PIN"):
        play(path, key, check)
    token.set_pin(PIN)
    for other in (made_key(token, "another"), SecretBytes(bytes(32))):
        with pytest.raises(ConfigurationError, match="does not fit"):
            play(path, other, check)
    token.tokens.rename(tmp_path / "away")
    forget_module(token.uri())
    with pytest.raises(ConfigurationError, match=r"no token 'site'|failed|cannot be used"):
        play(path, key, check)
    (tmp_path / "away").rename(token.tokens)
    forget_module(token.uri())
    play(path, key, check)


def test_an_open_store_does_not_need_the_token(token: SoftToken, tmp_path: Path) -> None:
    key, path = made_key(token), tmp_path / "keys.sqlite"
    play(path, key, fill)

    async def without(store: SqliteKeyStore) -> None:
        key.destroy()
        await check(store)
        await put_another(store)

    play(path, key, without)
    with pytest.raises(ConfigurationError, match="there is no key 'master'"):
        play(path, key, check)


def test_a_store_moves_from_a_file_into_a_token_whole(token: SoftToken, tmp_path: Path) -> None:
    old, new = SecretBytes(bytes(range(32))), made_key(token)
    path, entropy = tmp_path / "keys.sqlite", SystemEntropy()
    play(path, old, fill)
    with pytest.raises(ConfigurationError, match="does not fit"):
        rewrap(path, old=SecretBytes(bytes(32)), new=new, entropy=entropy)
    assert does_open(path, old)
    assert rewrap(path, old=old, new=new, entropy=entropy) == 2, "the hour key of the pair, and an answer"
    assert rewrap(path, old=old, new=new, entropy=entropy) == 0
    assert not does_open(path, old)
    with pytest.raises(ConfigurationError, match="does not fit"):
        play(path, old, check)
    play(path, new, check)


def test_a_zeroized_store_goes_on_under_another_key(token: SoftToken, tmp_path: Path) -> None:
    key, path = made_key(token), tmp_path / "keys.sqlite"
    play(path, key, fill)
    key.destroy()
    zeroize(path)
    another = made_key(token, "another")
    play(path, another, put_another)
    assert does_open(path, another)


def test_neither_pin_nor_wrapping_keys_are_in_files(token: SoftToken, tmp_path: Path) -> None:
    value, path = bytes(range(100, 132)), tmp_path / "data" / "keys.sqlite"
    put_object(token, value)
    key = key_of(token.uri("known"))
    play(path, key, fill)
    import sqlite3

    with sqlite3.connect(path) as connection:
        salts = [salt for (salt,) in connection.execute("SELECT salt FROM opening")]
    connection.close()
    secrets = [value, PIN.encode(), *(wrapping.reveal() for wrapping in key.wrapping_keys(salts))]
    assert scan_files([path.parent], secrets) == []
    assert PIN not in repr(key) + str(key)


@pytest.mark.parametrize("dies_in", ["destroy_private", "write_private"])
def test_a_move_that_ended_in_the_middle_is_ended_by_a_second_one(
    token: SoftToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    from qanat.apps.cli import master_key as command

    site, old = tmp_path / "data" / "suzhou", SecretBytes(bytes(range(32)))
    write_private(site / "master.key", old.reveal())
    play(site / "keys.sqlite", old, fill)
    made_key(token)

    def move() -> int:
        return command.run_move(
            token.uri(), "three-nodes", ["suzhou"], config=None, data=tmp_path / "data", as_json=True
        )

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(command, dies_in, die)
        with pytest.raises(KeyboardInterrupt):
            move()
    assert move() == 0
    named = named_in_token(site / "master.key", environment={})
    assert named is not None
    play(site / "keys.sqlite", named, check)
    assert old.reveal() not in b"".join(path.read_bytes() for path in site.iterdir())
