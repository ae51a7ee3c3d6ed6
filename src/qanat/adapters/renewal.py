"""Certificates that are made anew or taken back, in a PKI that ``qanat pki`` made.

A certificate that was renewed is kept in ``authority/former/`` (without its key), so that taking somebody's
certificates back takes back all that were ever made for him.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509

from qanat.adapters.authority import Authority, hosts_of
from qanat.adapters.machine_faults import machine_faults_named
from qanat.adapters.private_files import destroy_private, write_private
from qanat.adapters.revocation import NOTHING_REVOKED, crl_path, read_revocations
from qanat.adapters.tls import own_identity
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId
from qanat.ground.ports import Clock, Entropy

KINDS = ("nodes", "saes", "twins")
_FORMER = Path("authority") / "former"


def revoke(pki: Path, names: Sequence[str], *, clock: Clock, entropy: Entropy) -> Mapping[str, Sequence[str]]:
    """Put all certificates of ``names`` on the authority's list; return their serial numbers (hexadecimal).

    Raises ConfigurationError for a name without certificate, or without the authority's key; MachineFault.
    """
    with machine_faults_named(pki):
        serials = {name: _serials_of(pki, _certificate_of(pki, name)) for name in names}
        authority = Authority.load(pki, None, entropy, clock)
        before = read_revocations(pki / "ca.pem") or NOTHING_REVOKED
        _replace(crl_path(pki / "ca.pem"), authority.revoke(before, [one for each in serials.values() for one in each]))
    return {name: [f"{serial:x}" for serial in found] for name, found in serials.items()}


def renew(
    pki: Path, names: Sequence[str], *, clock: Clock, entropy: Entropy, hosts: Mapping[NodeId, str] | None = None
) -> Sequence[Path]:
    """Make a new certificate and key for each of ``names`` in the place of the old; return the certificates' paths.

    A new certificate names the hosts that the old one names; with ``hosts``, where the doors of sites are called from
    elsewhere, that of a site names the one of these in their place.

    Raises ConfigurationError as ``revoke`` does.
    """
    with machine_faults_named(pki):
        paths = [_certificate_of(pki, name) for name in names]
        authority = Authority.load(pki, None, entropy, clock)
        for path in paths:
            _renew(pki, path, authority, _hosts_for(path, hosts))
    return paths


def _hosts_for(path: Path, hosts: Mapping[NodeId, str] | None) -> Sequence[str]:
    node = NodeId(path.name.removesuffix(".pem"))
    if hosts is None or path.parent.name != "nodes":
        return hosts_of(path)
    return [hosts[node]] if node in hosts else []


def _renew(pki: Path, path: Path, authority: Authority, hosts: Sequence[str]) -> None:
    urn = own_identity(path)
    if urn is None:
        raise ConfigurationError(f"{path} proves no identity", remedy="remove it, and make it anew with `qanat pki`")
    former = pki / _FORMER / path.parent.name
    former.mkdir(mode=0o700, parents=True, exist_ok=True)
    _replace(former / f"{path.stem}.{_serial(path):x}.pem", path.read_bytes())
    certificate, key = authority.issue(urn, is_node=path.parent.name != "saes", hosts=hosts)
    # names may hold dots, so the suffix is cut off and put on by hand
    key_path = path.with_name(path.name.removesuffix(".pem") + ".key")
    partial = key_path.with_name(f"{key_path.name}.part")
    partial.unlink(missing_ok=True)
    write_private(partial, key)
    spent = key_path.with_name(f"{key_path.name}.spent")
    os.link(key_path, spent)
    partial.rename(key_path)
    _replace(path, certificate)
    destroy_private(spent)


def _certificate_of(pki: Path, name: str) -> Path:
    """Return the certificate of a node or application; raises ConfigurationError when there is none, or several."""
    kind, slash, rest = name.rpartition("/")
    found = [
        pki / folder / f"{rest}.pem"
        for folder in KINDS
        if (not slash or folder == kind) and (pki / folder / f"{rest}.pem").is_file()
    ]
    if not found:
        raise ConfigurationError(
            f"{pki} has no certificate of {name!r}", remedy="name the folder with --out, and a node or application"
        )
    if len(found) > 1:
        choices = " or ".join(f"{path.parent.name}/{rest}" for path in found)
        raise ConfigurationError(f"{name!r} is the name of several", remedy=f"say {choices}")
    return found[0]


def _serials_of(pki: Path, path: Path) -> list[int]:
    """Return the serial numbers of all certificates that were ever made for whom ``path`` is of."""
    urn = own_identity(path)
    former = sorted((pki / _FORMER / path.parent.name).glob("*.pem"))
    return [_serial(path), *(_serial(old) for old in former if own_identity(old) == urn)]


def _serial(path: Path) -> int:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).serial_number
    except ValueError as fault:
        raise ConfigurationError(f"{path} is no certificate: {fault}", remedy="name a PEM file") from None


def _replace(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all, durable on return."""
    partial = path.with_name(f"{path.name}.part")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
