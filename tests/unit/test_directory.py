"""The directory file: contacts and groups as they were meant, and errors that say where and what to write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qanat.adapters.addresses import AddressBook
from qanat.adapters.folder_lock import held
from qanat.ground.errors import BadParameter, ConfigurationError, UnknownNode
from qanat.services.directory import Address, Contact, Directory, parse_directory, port_or_address
from qanat.users.people import find_people
from service_support import sae_of

WHOLE = """
[me]
name = "alice"
sae = "urn:qanat:test:sae:alice"
door = "https://kme.example:8801"
certificate = "saes/alice.pem"
key = "saes/alice.key"
ca = "ca.pem"
listen = "0.0.0.0:9000"

[contacts.bob]
sae = "urn:qanat:test:sae:bob"
address = "[::1]:9000"

[contacts.carol]
sae = "urn:qanat:test:sae:carol"

[groups]
board = ["bob", "carol"]
"""


def test_a_whole_directory_is_read() -> None:
    told = parse_directory(WHOLE, source="me.toml")
    assert told.me is not None
    assert (told.me.door, told.me.listen) == ("https://kme.example:8801", ("0.0.0.0", 9000))
    assert told.contacts["bob"] == Contact("bob", sae_of("bob"), ("::1", 9000))
    assert [contact.name for contact in told.members("board")] == ["bob", "carol"]
    assert told.name_of(sae_of("carol")) == "carol"
    assert told.name_of(sae_of("eve")) == sae_of("eve")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[contacts.bob]", 'me.toml: contacts.bob has no sae (write sae = "...")'),
        ('[contacts.bob]\nsae = "a b"', "me.toml: contacts.bob: 'a b' is no SAE id"),
        ('[contacts.Bob]\nsae = "x"', "me.toml: contacts.Bob: 'Bob' is no name"),
        ('[contacts.bob]\nsae = "x"\nport = 3', "me.toml: contacts.bob: 'port' means nothing here"),
        ('[contacts.bob]\nsae = "x"\naddress = "here"', "me.toml: contacts.bob.address: 'here' is no address"),
        ('[contacts]\nbob = "x"', "me.toml: contacts.bob is no table"),
        ('[groups]\nboard = ["dave"]', "me.toml: groups.board: 'dave' is no contact (known are: known)"),
        ('[groups]\nboard = ["known", "known"]', "me.toml: groups.board names somebody twice"),
        ('[groups]\nknown = ["known"]', "me.toml: groups.known is the name of a contact too"),
        (f"[groups]\nboard = {['known'] * 9}", "me.toml: groups.board is no list of 1 to 8 contacts"),
        ("[friends]", "me.toml: 'friends' means nothing here (known are: contacts, groups, me)"),
        ("[me]\nname = 1", "me.toml: me.name is a number, and is to be one text"),
        (
            '[contacts.bob]\nsae = "x"\naddress = ["a.example:1", "b.example:2"]',
            "me.toml: contacts.bob.address is a list, and is to be one address",
        ),
        ('[contacts.bob]\nsae = "x"\naddress = 7', "me.toml: contacts.bob.address is a number"),
        ("[contacts", "me.toml: "),
    ],
)
def test_a_slip_is_named_with_its_place_and_its_remedy(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_directory(text, source="me.toml", known={"known": Contact("known", sae_of("known"))})
    assert str(caught.value).startswith(said)
    assert caught.value.remedy


@pytest.mark.parametrize("address", ["", 'address = "other.example:9000"'])
@pytest.mark.parametrize("first", ["known", "bob"])
def test_a_second_name_of_one_application_is_refused_and_not_called_at_the_firsts_address(
    first: str, address: str
) -> None:
    text = f"""
[contacts.bob]
sae = "{sae_of("bob")}"
address = "bob.example:9000"
[contacts.second]
sae = "{sae_of(first)}"
{address}
"""
    with pytest.raises(ConfigurationError) as caught:
        parse_directory(text, source="me.toml", known={"known": Contact("known", sae_of("known"))})
    assert str(caught.value).startswith(f"me.toml: contacts.second has the SAE id of {first!r}, {sae_of(first)}")
    assert f"write its address at [contacts.{first}] alone" in caught.value.remedy


@pytest.mark.parametrize("scheme", ["URN:qanat", "Urn:QANAT"])
def test_ids_that_differ_in_the_case_of_what_has_none_are_one(scheme: str) -> None:
    """RFC 8141, 2.1 and 3.1: scheme and namespace of a URN. What follows has a case."""
    other = sae_of("bob").replace("urn:qanat", scheme)
    text = f'[contacts.bob]\nsae = "{sae_of("bob")}"\n[contacts.second]\nsae = "{other}"'
    with pytest.raises(ConfigurationError) as caught:
        parse_directory(text, source="me.toml")
    said = f"me.toml: contacts.second has the SAE id of 'bob', {other} (there {sae_of('bob')}, which is the same)"
    assert str(caught.value).startswith(said)
    others = f'[contacts.bob]\nsae = "{sae_of("bob")}"\n[contacts.second]\nsae = "{sae_of("Bob")}"'
    assert list(parse_directory(others, source="me.toml").contacts) == ["bob", "second"]


@pytest.mark.parametrize("scheme", ["urn:", "URN:"])
def test_a_contact_that_is_oneself_is_refused_by_name(scheme: str) -> None:
    text = WHOLE.replace(f'sae = "{sae_of("carol")}"', f'sae = "{sae_of("alice").replace("urn:", scheme)}"')
    with pytest.raises(ConfigurationError, match=r"me.toml: contacts.carol has the SAE id of \[me\]") as caught:
        parse_directory(text, source="me.toml")
    assert caught.value.remedy
    known = {"alice": Contact("alice", sae_of("alice"))}
    assert "alice" in parse_directory(WHOLE, source="me.toml", known=known).contacts, "the network's own list has all"


def test_the_address_of_a_contact_of_the_network_may_be_written_at_its_name() -> None:
    known = {"bob": Contact("bob", sae_of("bob"))}
    for sae in ("", f'sae = "{sae_of("bob")}"'):
        told = parse_directory(f'[contacts.bob]\n{sae}\naddress = "b.example:9"', source="me.toml", known=known)
        assert told.contacts == {"bob": Contact("bob", sae_of("bob"), ("b.example", 9))}


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(UnknownNode, match="known are: board, bob"):
        Directory({"bob": Contact("bob", sae_of("bob"))}, {"board": ("bob",)}).members("dave")
    both = {name: Contact(name, sae_of(name)) for name in ("alice", "bob")}
    with pytest.raises(UnknownNode, match=r"known are: bob\)"):
        Directory(both).members("dave", me=sae_of("alice"))


def record(data: Path) -> None:
    data.mkdir()
    names = ("alice", "bob")
    entry = {"certificate": "c.pem", "key": "k.pem", "url": "https://127.0.0.1:1"}
    told = {
        "ca": "ca.pem",
        "doors": {"suzhou": {"url": "https://127.0.0.1:1", "kme": "urn:qanat:test:kme:suzhou"}},
        "applications": {name: entry | {"sae": sae_of(name)} for name in names},
    }
    (data / "service.json").write_text(json.dumps(told), encoding="utf-8")


def test_on_the_networks_machine_names_suffice(tmp_path: Path) -> None:
    data = tmp_path / "data"
    record(data)
    people = find_people(data=data, name="alice")
    assert (people.me.sae, people.me.kme) == (sae_of("alice"), "urn:qanat:test:kme:suzhou")
    assert people.members("bob") == (Contact("bob", sae_of("bob"), None),)
    AddressBook(data / "addresses").publish("services", "bob", ("127.0.0.1", 4711))
    assert people.members("bob") == (Contact("bob", sae_of("bob"), ("127.0.0.1", 4711)),)
    with pytest.raises(BadParameter, match="itself"):
        people.members("alice")
    with pytest.raises(UnknownNode, match="--as one of: alice, bob"):
        find_people(data=data, name="dave")
    (data / "directory.toml").write_text('[groups]\nall = ["bob"]\n', encoding="utf-8")
    assert [one.name for one in find_people(data=data, name="alice").members("all")] == ["bob"]


def test_a_directory_of_its_own_needs_no_network_here(tmp_path: Path) -> None:
    path = tmp_path / "me.toml"
    path.write_text(WHOLE, encoding="utf-8")
    me = find_people(directory=path).me
    assert (me.name, me.tls.ca, me.listen) == ("alice", tmp_path / "ca.pem", ("0.0.0.0", 9000))
    with pytest.raises(ConfigurationError, match=r"no network is up .*qanat node.*--directory"):
        find_people(data=tmp_path / "nothing", name="alice")


def test_a_network_that_is_still_coming_up_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with held(data), pytest.raises(ConfigurationError, match=r"is not up yet.*wait"):
        find_people(data=data, name="alice")
    with pytest.raises(ConfigurationError, match="no network is up"):
        find_people(data=data, name="alice")


@pytest.mark.parametrize(
    ("text", "address"),
    [("80", ("127.0.0.1", 80)), ("bank.example:80", ("bank.example", 80)), ("[::1]:80", ("::1", 80))],
)
def test_a_port_alone_is_one_of_this_machine(text: str, address: Address) -> None:
    assert port_or_address(text, where="--tunnel") == address


@pytest.mark.parametrize("text", ["65536", ":80", "bank", "bank:", "-1", ""])
def test_what_is_neither_port_nor_address_is_told_with_both_forms(text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--tunnel: '{text}' is no address") as refusal:
        port_or_address(text, where="--tunnel")
    assert refusal.value.remedy == 'write "PORT" for one of this machine, or "HOST:PORT"'
