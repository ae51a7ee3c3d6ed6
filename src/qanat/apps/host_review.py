"""What a host of a deployment has and lacks: certificates, lists of revoked ones, initial keys, stores, room on disk.

Nothing is changed, and no process needs to run. What the processes say to each other is in ``place_review``.
"""

from __future__ import annotations

import datetime
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from qanat.adapters.encryption import named_in_token
from qanat.adapters.folder_lock import is_held
from qanat.adapters.initial_keys import initial_key_path
from qanat.adapters.pki import NodeFiles, TwinFiles
from qanat.adapters.revocation import CRL_NAME, NOTHING_REVOKED, read_revocations
from qanat.adapters.sqlite.schema import SCHEMA_VERSION
from qanat.adapters.tls import TlsFiles, client_context, own_identity
from qanat.apps.deployment import Deployment
from qanat.apps.workplace import Workplace
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import CONTROLLER, STANDBY, NodeId, kme_id, twin_id
from qanat.ground.network import Link

SOON = datetime.timedelta(days=30)
LITTLE_BYTES, TOO_LITTLE_BYTES = 2**30, 100 * 2**20
State = Literal["well", "look", "down", "fault"]
"""In order; to be looked at, though it runs; does not run, or does not answer; will not run, or is not safe."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what to do where it is not well."""

    subject: str
    state: State
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Party:
    """A process of the deployment that belongs on this host: its private key lies here, or it was asked for."""

    kind: Literal["site", "twin", "controller"]
    name: str
    identity: str
    folder: Path

    @property
    def title(self) -> str:
        return self.name if self.kind == "controller" else f"{self.kind} {self.name}"

    @property
    def command(self) -> str:
        option = {
            "site": f" --site {self.name}",
            "twin": f" --link {self.name}",
            "controller": " --standby" if self.name == STANDBY else "",
        }[self.kind]
        return f"qanat {'node' if self.kind == 'site' else self.kind} --config FILE{option}"

    @property
    def is_running(self) -> bool:
        """Whether a process holds the party's folder."""
        return is_held(self.folder)


def all_parties(deployment: Deployment, place: Workplace) -> Iterator[Party]:
    """Yield every process that the deployment has, here or elsewhere."""
    network = deployment.network
    yield Party("controller", CONTROLLER, kme_id(network=network.name, name=CONTROLLER), place.site(CONTROLLER))
    if deployment.has_standby:
        identity = kme_id(network=network.name, name=STANDBY)
        yield Party("controller", STANDBY, identity, place.site(STANDBY))
    for node in network.nodes:
        yield Party("site", node, network.kme(node), place.site(node))
    for link in network.links:
        if link.modules is None:
            twin = twin_id(network=network.name, link_id=link.link_id)
            yield Party("twin", link.name, twin, place.twin(link.link_id))


def is_here(party: Party, place: Workplace) -> bool:
    """Return whether the party's private key lies on this host."""
    folder = "twins" if party.kind == "twin" else "nodes"
    return (place.pki / folder / f"{party.name}.key").exists()


def files_of(party: Party, deployment: Deployment, place: Workplace) -> TlsFiles:
    """Return a party's certificate and key; raises ConfigurationError where one is not there."""
    if party.kind == "twin":
        link = next(link for link in deployment.network.links if link.name == party.name)
        found: NodeFiles | TwinFiles = TwinFiles.of(place.pki, link.link_id)
    else:
        found = NodeFiles.of(place.pki, NodeId(party.name))
    return TlsFiles(certificate=found.certificate, key=found.key, ca=found.ca)


def review_host(deployment: Deployment, place: Workplace, parties: list[Party]) -> Iterator[Finding]:
    """Yield what lies on this host for these parties, and whether it is well."""
    yield from _space(place)
    yield from _revocations(place)
    for party in parties:
        yield _certificate(party, deployment, place)
        if party.kind == "site":
            yield _store(party, place)
            yield from _initial_keys(party, deployment.network.links_of(NodeId(party.name)), place)
    yield from _permissions(place, parties)


def _space(place: Workplace) -> Iterator[Finding]:
    folder = place.folder
    if not folder.is_dir():
        yield Finding("data folder", "fault", f"{folder} is not there", "make it, and bring the files of `pki` into it")
        return
    free = shutil.disk_usage(folder).free
    state: State = "fault" if free < TOO_LITTLE_BYTES else "look" if free < LITTLE_BYTES else "well"
    remedy = "" if state == "well" else "make room: stores, audit logs and event logs grow"
    yield Finding("room on the disk", state, f"{free / 2**30:.1f} GiB free for {folder}", remedy)


def _revocations(place: Workplace) -> Iterator[Finding]:
    ca, subject = place.pki / "ca.pem", "revoked certificates"
    if not ca.is_file():
        return  # each party says so
    try:
        found = read_revocations(ca)
    except ConfigurationError as fault:
        yield Finding(subject, "fault", fault.message, fault.remedy)
        return
    if found is None:
        yield Finding(subject, "well", f"no {CRL_NAME} beside {ca}: none was taken back, or none was brought here")
    else:
        yield Finding(subject, "well", f"list {found.number} of the authority names {len(found.serials)}")


def _certificate(party: Party, deployment: Deployment, place: Workplace) -> Finding:
    """Look whether a party can prove who it is, and for how long."""
    subject, again = f"certificate of {party.title}", f"qanat pki renew {party.name} --out PKI, and bring the files"
    try:
        files = files_of(party, deployment, place)
        client_context(files)
        identity = own_identity(files.certificate)
        revoked = read_revocations(files.ca) or NOTHING_REVOKED
    except ConfigurationError as fault:
        return Finding(subject, "fault", fault.message, fault.remedy)
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    authority = x509.load_pem_x509_certificate(files.ca.read_bytes())
    if identity != party.identity:
        return Finding(subject, "fault", f"it is of {identity}, not of {party.identity}", "bring the right one")
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return Finding(subject, "fault", f"{files.ca} did not issue it", "bring ca.pem and certificate of one PKI")
    if certificate.serial_number in revoked.serials:
        return Finding(subject, "fault", "it was taken back", again)
    return _age(subject, certificate, authority, again)


def _age(subject: str, certificate: x509.Certificate, authority: x509.Certificate, again: str) -> Finding:
    now = datetime.datetime.now(datetime.UTC)
    begins = max(certificate.not_valid_before_utc, authority.not_valid_before_utc)
    ends = min(certificate.not_valid_after_utc, authority.not_valid_after_utc)
    if ends == authority.not_valid_after_utc:
        again = "make a new PKI for the network: the authority itself runs out"
    if now < begins:
        return Finding(subject, "fault", f"it begins at {begins:%Y-%m-%d %H:%M} UTC", "set this machine's clock")
    if now > ends:
        return Finding(subject, "fault", f"it ran out on {ends:%Y-%m-%d}", again)
    days = (ends - now).days
    if ends - now < SOON:
        return Finding(subject, "look", f"{days} days left", again)
    return Finding(subject, "well", f"{days} days left")


def _store(party: Party, place: Workplace) -> Finding:
    path, subject = place.store(NodeId(party.name)), f"store of {party.title}"
    if not path.exists():
        return Finding(subject, "well", "none yet; the first start makes it")
    if party.is_running:
        return Finding(subject, "well", "in use by its process")
    try:
        version = schema_version(path)
    except sqlite3.Error as fault:
        if path.with_name(f"{path.name}-wal").exists():
            return Finding(subject, "well", "its process was killed; the next start recovers it")
        return Finding(subject, "fault", f"{path} cannot be read: {fault}", "it is no key store, or it is damaged")
    if version > SCHEMA_VERSION:
        return Finding(
            subject, "fault", f"schema {version}, and this program knows {SCHEMA_VERSION}", "update this program"
        )
    after = "" if version == SCHEMA_VERSION else f", brought to {SCHEMA_VERSION} by the next start"
    path_of_key = place.master_key_of(NodeId(party.name))
    try:
        in_token = named_in_token(path_of_key, environment=os.environ)
        if in_token is not None:
            in_token.look()
            return Finding(
                subject, "well", f"schema {version}{after}; its master key: {in_token.uri.title}, PIN not tried"
            )
    except ConfigurationError as fault:
        return Finding(subject, "fault", fault.message, fault.remedy)
    if not path_of_key.exists():
        return Finding(
            subject,
            "look",
            f"schema {version}{after}; its master key is not in {path_of_key}",
            "bring the master key back, or start the site with it in the environment",
        )
    return Finding(subject, "well", f"schema {version}{after}")


def schema_version(path: Path) -> int:
    """Return the schema of a store that no process has open; raises sqlite3.Error where it is none."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        row = connection.execute("SELECT value FROM state WHERE name = 'schema_version'").fetchone()
        return int(row[0])
    except TypeError:
        raise sqlite3.DatabaseError("it has no schema version") from None
    finally:
        connection.close()


def _initial_keys(party: Party, links: tuple[Link, ...], place: Workplace) -> Iterator[Finding]:
    """Look for the initial keys of a site that has no store yet; one that has took them in."""
    if place.store(NodeId(party.name)).exists():
        return
    missing = [link.name for link in links if not initial_key_path(place.pki, link.link_id).exists()]
    subject = f"initial keys of {party.title}"
    if missing:
        remedy = f"bring links/LINK.auth of {', '.join(missing)} into {place.pki}, the same to both ends, mode 0600"
        yield Finding(subject, "fault", f"none for {', '.join(missing)}", remedy)
    else:
        yield Finding(subject, "well", f"{len(links)} of {len(links)} links")


def _permissions(place: Workplace, parties: list[Party]) -> Iterator[Finding]:
    """Look who can read secrets, and the folders that they lie in."""
    secret = [path for pattern in _SECRETS for path in sorted(place.folder.glob(pattern))]
    folders = [place.folder, place.pki, *(party.folder for party in parties)]
    modes: Mapping[Path, str] = dict.fromkeys(secret, "600") | dict.fromkeys(folders, "700")
    open_to_others = [path for path in modes if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    for path in open_to_others:
        state: State = "fault" if path in secret else "look"
        yield Finding("permissions", state, f"others can read {path}", f"chmod {modes[path]} {path}")
    if not open_to_others:
        yield Finding("permissions", "well", f"{len(secret)} secret files are their owner's alone")


_SECRETS = ("master.key", "*/master.key", "*/keys.sqlite*", "pki/*/*.key", "pki/links/*.auth")
