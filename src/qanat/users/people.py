"""Who somebody is and whom it knows: from a running network's data folder, from a directory file, or from both.

On the machine where ``qanat up`` runs, names of applications suffice: its ``service.json`` says where the doors and
certificates are, and who receives says in ``addresses/services`` where.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qanat.adapters.addresses import AddressBook
from qanat.adapters.folder_lock import is_held
from qanat.adapters.tls import TlsFiles
from qanat.adapters.user_files import (
    DIRECTORY_FILE,
    directory_file_in,
    read_directory_file,
    read_service_record,
    write_directory_file,
)
from qanat.ground.errors import BadParameter, ConfigurationError, UnknownNode
from qanat.ground.identifiers import KmeId, SaeId
from qanat.services.directory import Address, Contact, Directory, parse_directory
from qanat.services.directory_changes import check_group, with_group


@dataclass(frozen=True, slots=True)
class Identity:
    """One application: its id, its key manager's door, its certificate, and its own folder on this machine."""

    name: str
    sae: SaeId
    door: str
    tls: TlsFiles
    home: Path
    kme: KmeId | None = None
    listen: Address | None = None


@dataclass(frozen=True, slots=True)
class People:
    """An identity, its directory, and where those who receive on this machine say that they do.

    ``path``: the directory file, which need not be there yet. ``known``: contacts that are not written in it.
    """

    me: Identity
    directory: Directory
    addresses: AddressBook | None = None
    path: Path | None = None
    known: Mapping[str, Contact] = field(default_factory=dict)

    def members(self, name: str) -> tuple[Contact, ...]:
        """Return who is meant by a name of a contact or a group, with the addresses of this moment.

        Raises UnknownNode, and BadParameter when it is oneself.
        """
        members = tuple(map(self._found, self.directory.members(name, me=self.me.sae)))
        if any(contact.sae == self.me.sae for contact in members):
            raise BadParameter(f"{name!r} is, or has in it, {self.me.name!r} itself", remedy="name somebody else")
        return members

    def single(self, name: str, *, what: str) -> Contact:
        """Return the one contact of a name, where ``what`` goes to one only; raises as ``members``, and BadParameter
        for a group of several."""
        first, *others = self.members(name)
        if others:
            raise BadParameter(
                f"{name!r} is a group, and {what} has one other end",
                remedy=f"name one of them: {', '.join(one.name for one in (first, *others))}",
            )
        return first

    def with_group(self, name: str, members: Sequence[str] | None) -> People:
        """Write a group into the directory file, anew or in place of what it was, or take it out where ``members`` is
        None; returns the people with it. Raises BadParameter, UnknownNode, ConfigurationError and MachineFault.
        """
        assert self.path is not None
        if members is not None:
            check_group(self.directory, name, members, me=Contact(self.me.name, self.me.sae))
        text = read_directory_file(self.path) if self.path.exists() else ""
        changed = with_group(text, name, members, source=str(self.path), known=self.known)
        write_directory_file(self.path, changed)
        told = parse_directory(changed, source=str(self.path), known=self.known)
        return replace(self, directory=told)

    def contact_of(self, sae: SaeId) -> Contact:
        """Return the contact with this id, who may be a stranger without address."""
        for contact in self.directory.contacts.values():
            if contact.sae == sae:
                return self._found(contact)
        return Contact(sae, sae)

    def _found(self, contact: Contact) -> Contact:
        if contact.address is None and self.addresses is not None:
            return replace(contact, address=self.addresses.find("services", contact.name))
        return contact


def find_people(*, data: Path | None = None, name: str | None = None, directory: Path | None = None) -> People:
    """Return who ``name`` is and whom it knows.

    ``data``: the data folder of a network that is up. ``directory``: a directory file; without it, the one in the data
    folder, if any. ``name`` may be left out where the directory has a [me]. Raises ConfigurationError, UnknownNode.
    """
    record = read_service_record(data) if data else {}
    known = {app: Contact(app, SaeId(entry["sae"])) for app, entry in record.get("applications", {}).items()}
    path = directory or (directory_file_in(data) if data else None)
    told = Directory(known)
    if path is not None:
        told = parse_directory(read_directory_file(path), source=str(path), known=known)
    if told.me is not None and name in (None, told.me.name) and path is not None:
        addresses = AddressBook(data / "addresses") if data else None
        return People(_told_identity(told, path), told, addresses, path, known)
    if data is None:
        raise ConfigurationError(
            "nobody says who you are", remedy="name the data folder of a network that is up, or a file with a [me]"
        )
    addresses = AddressBook(data / "addresses")
    return People(_identity(record, data, name), told, addresses, path or data / DIRECTORY_FILE, known)


def _identity(record: Mapping[str, Any], data: Path, name: str | None) -> Identity:
    applications = record.get("applications", {})
    if not applications and is_held(data):
        raise ConfigurationError(
            f"the network on {data} is not up yet",
            remedy="wait until `qanat up` shows its doors; a first start takes long",
        )
    if not applications:
        raise ConfigurationError(
            f"no network is up on {data}",
            remedy=f"start it: qanat up NETWORK --data {data}; or name its folder with --data; where sites run by "
            "themselves (qanat node), write a directory file with a [me] and name it with --directory",
        )
    if name is None or name not in applications:
        fault = "nobody says who you are" if name is None else f"no application {name!r} in this network"
        raise UnknownNode(fault, remedy=f"say --as one of: {', '.join(sorted(applications))}")
    entry = applications[name]
    if entry["url"] is None:
        raise ConfigurationError(f"the door of {name} has not said where it is", remedy="start its site, then again")
    doors = {door["url"]: door["kme"] for group in ("doors", "apart") for door in record.get(group, {}).values()}
    return Identity(
        name=name,
        sae=SaeId(entry["sae"]),
        door=entry["url"],
        tls=TlsFiles(certificate=Path(entry["certificate"]), key=Path(entry["key"]), ca=Path(record["ca"])),
        home=data / "users" / name,
        kme=doors.get(entry["url"]),
    )


def _told_identity(told: Directory, path: Path) -> Identity:
    assert told.me is not None
    me, folder = told.me, path.resolve().parent
    return Identity(
        name=me.name,
        sae=me.sae,
        door=me.door,
        tls=TlsFiles(certificate=folder / me.certificate, key=folder / me.key, ca=folder / me.ca),
        home=folder / f"{me.name}-data",
        kme=None if me.kme is None else KmeId(me.kme),
        listen=me.listen,
    )
