"""Who is who: a small TOML file with oneself, contacts and groups. It is text here; adapters read the file.

[me]
name = "alice"
sae = "urn:qanat:city:sae:alice"
door = "https://kme.example:8801"      # the key manager's ETSI 014 door
kme = "urn:qanat:city:kme:suzhou"      # may be left out: then any key manager of the authority's is talked to
certificate = "alice.pem"              # paths are taken from the file's folder
key = "alice.key"
ca = "ca.pem"
listen = "0.0.0.0:9000"                # where `qanat receive` listens

[contacts.bob]
sae = "urn:qanat:city:sae:bob"
address = "bob.example:9000"           # may be left out: then only his texts and files come to me

[groups]
board = ["bob", "carol"]               # at most 8
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from qanat.ground.errors import ConfigurationError, UnknownNode
from qanat.ground.identifiers import MAX_ID_CHARACTERS, SaeId, is_name, members_of

Address: TypeAlias = tuple[str, int]
MOST_MEMBERS = 8
"""Of a group: its keys go to all at once (``additional_slave_SAE_IDs``)."""
MAX_PORT = 65_535
THIS_MACHINE = "127.0.0.1"
ME_PATHS = ("certificate", "key", "ca")


@dataclass(frozen=True, slots=True)
class Me:
    """The application that this directory is of. Paths are as they stand in the file."""

    name: str
    sae: SaeId
    door: str
    kme: str | None
    certificate: str
    key: str
    ca: str
    listen: Address | None = None


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody to talk to; ``address`` is None where nobody says how to call."""

    name: str
    sae: SaeId
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Directory:
    """Contacts and groups by name."""

    contacts: Mapping[str, Contact] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    me: Me | None = None

    def members(self, name: str, *, me: SaeId | None = None) -> tuple[Contact, ...]:
        """Return the contact of this name, or those of the group; raises UnknownNode with the names there are, but for
        one's own."""
        if contact := self.contacts.get(name):
            return (contact,)
        if name in self.groups:
            return tuple(self.contacts[member] for member in self.groups[name])
        known = ", ".join(sorted([*self.others(me), *self.groups])) or "nobody"
        raise UnknownNode(f"no contact or group {name!r}", remedy=f"known are: {known}")

    def others(self, me: SaeId | None) -> list[str]:
        """Return the names of all contacts but oneself."""
        return [name for name, contact in self.contacts.items() if contact.sae != me]

    def name_of(self, sae: SaeId) -> str:
        """Return the name of an application, or its id where it is no contact; of several together, each."""
        contacts = self.contacts.values()
        names = [next((contact.name for contact in contacts if contact.sae == one), one) for one in members_of(sae)]
        return ", ".join(names)


def parse_directory(text: str, *, source: str, known: Mapping[str, Contact] | None = None) -> Directory:
    """Return the directory that ``text`` describes; contacts in ``known`` are there without being written.

    Raises ConfigurationError that names ``source``, the entry and what to write.
    """
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigurationError(f"{source}: {fault}", remedy="write it as TOML: docs/how-to-use-services.md") from None
    _check_keys(told, {"me", "contacts", "groups"}, source)
    me = _me(_table(told, "me", source), source) if "me" in told else None
    contacts = dict(known or {})
    for name, entry in _table(told, "contacts", source).items():
        contacts[name] = _contact(name, entry, f"{source}: contacts.{name}", contacts.get(name))
    _check_no_sae_twice(contacts, source)
    if me is not None:
        _check_not_oneself(me, contacts, told, source)
    groups = {
        name: _group(name, members, contacts, f"{source}: groups.{name}")
        for name, members in _table(told, "groups", source).items()
    }
    return Directory(contacts, groups, me)


def address_of(text: str, *, where: str) -> Address:
    """Return host and port of ``HOST:PORT``; raises ConfigurationError."""
    host, _, port = text.rpartition(":")
    if host and port.isdecimal() and 0 <= int(port) <= MAX_PORT:
        return host.strip("[]"), int(port)
    raise ConfigurationError(f"{where}: {text!r} is no address", remedy='write "HOST:PORT"')


def port_or_address(text: str, *, where: str) -> Address:
    """Return host and port of ``HOST:PORT``, or of a port of this machine alone; raises ConfigurationError."""
    if text.isdecimal() and int(text) <= MAX_PORT:
        return THIS_MACHINE, int(text)
    try:
        return address_of(text, where=where)
    except ConfigurationError as fault:
        raise ConfigurationError(fault.message, remedy='write "PORT" for one of this machine, or "HOST:PORT"') from None


def _me(entry: Mapping[str, Any], source: str) -> Me:
    where = f"{source}: me"
    _check_keys(entry, {"name", "sae", "door", "kme", "listen", *ME_PATHS}, where)
    words = {key: _word(entry, key, where) for key in ("name", "sae", "door", *ME_PATHS)}
    kme = _word(entry, "kme", where) if "kme" in entry else None
    listen = address_of(_word(entry, "listen", where), where=f"{where}.listen") if "listen" in entry else None
    _check_name(words["name"], where)
    return Me(
        name=words["name"],
        sae=_sae(words["sae"], where),
        door=words["door"],
        kme=kme,
        certificate=words["certificate"],
        key=words["key"],
        ca=words["ca"],
        listen=listen,
    )


def _contact(name: str, entry: Any, where: str, known: Contact | None) -> Contact:
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{where} is no table", remedy=f"write [contacts.{name}] and its lines below")
    _check_name(name, where)
    _check_keys(entry, {"sae", "address"}, where)
    sae = known.sae if known and "sae" not in entry else _sae(_word(entry, "sae", where), where)
    if "address" not in entry:
        return Contact(name, sae, known.address if known else None)
    return Contact(name, sae, address_of(_word(entry, "address", where), where=f"{where}.address"))


def _check_no_sae_twice(contacts: Mapping[str, Contact], source: str) -> None:
    """Raise ConfigurationError where two names are of one application: only one of two addresses could be used."""
    names: dict[str, str] = {}
    for name, contact in contacts.items():
        if (first := names.setdefault(_compared(contact.sae), name)) != name:
            written = contacts[first].sae
            as_there = "" if written == contact.sae else f" (there {written}, which is the same)"
            raise ConfigurationError(
                f"{source}: contacts.{name} has the SAE id of {first!r}, {contact.sae}{as_there}",
                remedy=f"give each its own id; if it is the same one, write its address at [contacts.{first}] alone",
            )


def _check_not_oneself(me: Me, contacts: Mapping[str, Contact], told: Mapping[str, Any], source: str) -> None:
    """Raise ConfigurationError where a contact that is written here is [me]: nobody talks to oneself."""
    for name in told.get("contacts", {}):
        if _compared(contacts[name].sae) == _compared(me.sae):
            raise ConfigurationError(
                f"{source}: contacts.{name} has the SAE id of [me], {contacts[name].sae}",
                remedy=f"write the id of {name} there, or leave the entry out",
            )


def _compared(sae: SaeId) -> str:
    """Return an id as ids are compared: the first two parts of a URN, ``urn`` and what kind it is, have no case."""
    parts = sae.split(":", 2)
    if len(parts) > 2 and parts[0].lower() == "urn":
        return ":".join((parts[0].lower(), parts[1].lower(), parts[2]))
    return sae


def _group(name: str, members: Any, contacts: Mapping[str, Contact], where: str) -> tuple[str, ...]:
    _check_name(name, where)
    if name in contacts:
        raise ConfigurationError(f"{where} is the name of a contact too", remedy="give the group another name")
    if not isinstance(members, list) or not 1 <= len(members) <= MOST_MEMBERS:
        raise ConfigurationError(f"{where} is no list of 1 to {MOST_MEMBERS} contacts", remedy='write ["bob", "carol"]')
    for member in members:
        if member not in contacts:
            known = ", ".join(sorted(contacts)) or "nobody"
            raise ConfigurationError(f"{where}: {member!r} is no contact", remedy=f"known are: {known}")
    if len(set(members)) < len(members):
        raise ConfigurationError(f"{where} names somebody twice", remedy="name everybody once")
    return tuple(members)


def _table(told: Mapping[str, Any], key: str, source: str) -> Mapping[str, Any]:
    entry = told.get(key, {})
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{source}: {key} is no table", remedy=f"write [{key}] and its lines below")
    return entry


def _word(entry: Mapping[str, Any], key: str, where: str) -> str:
    word = entry.get(key, "")
    if not isinstance(word, str):
        due = "one text" if key != "address" else "one address: one is called at one place"
        raise ConfigurationError(f"{where}.{key} is {_kind(word)}, and is to be {due}", remedy=f'write {key} = "..."')
    if not word:
        raise ConfigurationError(f"{where} has no {key}", remedy=f'write {key} = "..."')
    return word


def _kind(value: Any) -> str:
    match value:
        case list():
            return "a list"
        case dict():
            return "a table"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case _:
            return "a time"


def _sae(text: str, where: str) -> SaeId:
    if " " in text or "/" in text or len(text) > MAX_ID_CHARACTERS:
        raise ConfigurationError(
            f"{where}: {text!r} is no SAE id", remedy=f"at most {MAX_ID_CHARACTERS} characters, no blank, no slash"
        )
    return SaeId(text)


def _check_name(name: str, where: str) -> None:
    if not is_name(name):
        raise ConfigurationError(f"{where}: {name!r} is no name", remedy="lower-case letters, digits, '.', '_', '-'")


def _check_keys(entry: Mapping[str, Any], known: set[str], where: str) -> None:
    if odd := sorted(set(entry) - known):
        raise ConfigurationError(
            f"{where}: {odd[0]!r} means nothing here", remedy=f"known are: {', '.join(sorted(known))}"
        )
