"""A network's own PKI: its authority, a certificate per node and per application, an initial key per link.

    <folder>/ca.pem                       the authority's certificate: every party trusts it and nothing else
    <folder>/authority/ca.key             its key: needed to issue, never to run; keep it off the nodes
    <folder>/nodes/<node>.{pem,key}       key managers and the controller: TLS server and client
    <folder>/saes/<application>.{pem,key} applications: TLS client
    <folder>/links/<link>.auth            the first pads of each link's authentication, carried to both ends by hand

Who somebody is stands in the one URI of the certificate's subject alternative names (``urn:qanat:...``). Folders have
mode 0700, keys 0600.
"""

from __future__ import annotations

import datetime
import ipaddress
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from qanat.adapters.initial_keys import initial_key_path, write_initial_key
from qanat.adapters.private_files import write_private
from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import CONTROLLER, LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.ports import Clock, Entropy

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 397
"""Validity of all but the authority's own certificate: 13 months, the longest that the web still accepts."""
CLOCK_SKEW_S = 300.0
"""Certificates are valid from a little before they were made: a peer's clock may be behind."""
SERIAL_BYTES = 19
"""RFC 5280, section 4.1.2.2: at most 20 octets, positive."""


@dataclass(frozen=True, slots=True)
class PartyFiles:
    """The three files with which a party joins mutual TLS. All exist."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def _of(cls, folder: Path, kind: str, name: str) -> Self:
        files = cls(folder / "ca.pem", folder / kind / f"{name}.pem", folder / kind / f"{name}.key")
        for path in (files.ca, files.certificate, files.key):
            if not path.is_file():
                raise ConfigurationError(
                    f"{path} is not there",
                    remedy="make certificates with `qanat pki`, or name the folder that has them",
                )
        return files


class NodeFiles(PartyFiles):
    """Those of a key manager, or of the controller."""

    @classmethod
    def of(cls, folder: Path, node: NodeId) -> Self:
        """Return the files of a node; raises ConfigurationError when one is not there."""
        return cls._of(folder, "nodes", node)


class SaeFiles(PartyFiles):
    """Those of an application."""

    @classmethod
    def of(cls, folder: Path, name: str) -> Self:
        """Return the files of an application by its name (not its URN); raises ConfigurationError."""
        return cls._of(folder, "saes", name)


def create_pki(
    folder: Path,
    network: Network,
    *,
    entropy: Entropy,
    clock: Clock,
    sessions_per_day: Mapping[LinkId, float],
    reserve_days: float = 10.0,
) -> None:
    """Make the PKI of a network in ``folder``, which must be absent or empty; it appears whole or not at all.

    The initial key of a link pays for ``reserve_days`` of its ``sessions_per_day`` distillation sessions.
    Private keys come from the cryptography library's own generator, link keys and serial numbers from ``entropy``.
    Raises ConfigurationError when there is something in ``folder``: pads and identities are never overwritten.
    """
    if CONTROLLER in network.nodes:
        raise ConfigurationError(
            f"a site is called {CONTROLLER!r}, which is the controller's name", remedy="rename the site"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(
            f"{folder} is not empty; certificates and link keys are never overwritten",
            remedy="go on with those that are there, or choose another folder",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f"{folder.name}.", dir=folder.parent, ignore_cleanup_errors=True
    ) as scratch:
        making = Path(scratch) / "pki"
        making.mkdir(mode=0o700)
        _write_certificates(making, network, Authority(network.name, entropy=entropy, clock=clock))
        _write_initial_keys(making, network, entropy, clock, sessions_per_day, reserve_days)
        making.rename(folder)


class Authority:
    """The network's certificate authority (ECDSA on P-256 with SHA-256)."""

    def __init__(self, network_name: str, *, entropy: Entropy, clock: Clock) -> None:
        self._entropy = entropy
        self._not_before = datetime.datetime.fromtimestamp(clock.utc_s() - CLOCK_SKEW_S, tz=datetime.UTC)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name(f"{network_name} authority")
        usage = _key_usage(is_authority=True)
        self.certificate = (
            self._builder(self._name, self._name, self._key.public_key(), days=AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, SHA256())
        )

    @property
    def key_pem(self) -> bytes:
        return _key_pem(self._key)

    def issue(self, urn: str, *, is_node: bool) -> tuple[bytes, bytes]:
        """Return certificate and key (PEM) of a party; nodes may serve on this machine, applications only ask."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(urn)]
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if is_node:
            names += [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
        certificate = (
            self._builder(_common_name(urn), self._name, key.public_key(), days=CERTIFICATE_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, SHA256())
        )
        return certificate.public_bytes(Encoding.PEM), _key_pem(key)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, days: int
    ) -> x509.CertificateBuilder:
        authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(int.from_bytes(self._entropy.public_bytes(SERIAL_BYTES), "big") + 1)
            .not_valid_before(self._not_before)
            .not_valid_after(self._not_before + datetime.timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(authority_id, critical=False)
        )


def _write_certificates(folder: Path, network: Network, authority: Authority) -> None:
    (folder / "ca.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    for name in ("authority", "nodes", "saes", "links"):
        (folder / name).mkdir(mode=0o700)
    write_private(folder / "authority" / "ca.key", authority.key_pem)
    for node in (*network.nodes, CONTROLLER):
        _write_party(folder / "nodes" / node, *authority.issue(network.kme(node), is_node=True))
    for application in network.applications:
        urn = network.sae(application.name)
        _write_party(folder / "saes" / application.name, *authority.issue(urn, is_node=False))


def _write_party(path: Path, certificate: bytes, key: bytes) -> None:
    # names may hold dots, so the suffix is appended, not replaced
    path.with_name(f"{path.name}.pem").write_bytes(certificate)
    write_private(path.with_name(f"{path.name}.key"), key)


def _write_initial_keys(
    folder: Path,
    network: Network,
    entropy: Entropy,
    clock: Clock,
    sessions_per_day: Mapping[LinkId, float],
    reserve_days: float,
) -> None:
    for link in network.links:
        num_sessions = math.ceil(reserve_days * sessions_per_day[link.link_id])
        write_initial_key(
            initial_key_path(folder, link.link_id),
            link,
            num_bits=max(1, num_sessions) * SESSION_PAD_BITS,
            entropy=entropy,
            utc_s=clock.utc_s(),
        )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
