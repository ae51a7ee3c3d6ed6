"""A network's certificate authority: who somebody is, signed.

Who somebody is stands in the one URI of the certificate's subject alternative names (``urn:qanat:...``).
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from qanat.adapters.private_files import read_private, write_private
from qanat.adapters.revocation import RevocationList, signed_revocations
from qanat.ground.errors import ConfigurationError
from qanat.ground.network import Network
from qanat.ground.ports import Clock, Entropy

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 397
"""Validity of all but the authority's own certificate: 13 months, the longest that the web still accepts."""
CLOCK_SKEW_S = 300.0
"""Certificates are valid from a little before they were made: a peer's clock may be behind."""
SERIAL_BYTES = 19
"""RFC 5280, section 4.1.2.2: at most 20 octets, positive."""
OWN_HOSTS = ("localhost", "127.0.0.1")
"""What every node's certificate names, so that its door can be called from its own machine."""
MAX_COMMON_NAME = 64
"""RFC 5280, appendix A.1 (ub-common-name). Who somebody is does not stand there."""
MAX_LABEL = 63
"""RFC 1035, section 2.3.4: the longest part of a host's name between two dots."""
_OWN_FILES = "name the folder that `qanat pki` made, with the authority's own key in it"


class Authority:
    """The network's certificate authority (ECDSA on P-256 with SHA-256)."""

    def __init__(
        self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, entropy: Entropy, clock: Clock
    ) -> None:
        self.certificate = certificate
        self._key = key
        self._entropy = entropy
        self._clock = clock
        self._not_before = _not_before(clock)

    @classmethod
    def create(cls, network_name: str, entropy: Entropy, clock: Clock) -> Self:
        """Return a new authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _common_name(_authority_name(network_name))
        certificate = (
            _builder(name, name, key.public_key(), key.public_key(), entropy)
            .not_valid_before(_not_before(clock))
            .not_valid_after(_not_before(clock) + datetime.timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(is_authority=True), critical=True)
            .sign(key, SHA256())
        )
        return cls(key, certificate, entropy, clock)

    @classmethod
    def load(cls, folder: Path, network: Network | None, entropy: Entropy, clock: Clock) -> Self:
        """Return the authority of a PKI that is there. Raises ConfigurationError when its key is not, or of another.

        Without ``network``, whose it is does not matter.
        """
        path = folder / "authority" / "ca.key"
        if not path.is_file():
            raise ConfigurationError(
                f"something has to be signed, and the authority's key is not at {path}",
                remedy="put it there, run this again, and take it away again",
            )
        try:
            certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
            key = load_pem_private_key(read_private(path), password=None)
        except ValueError as fault:
            raise ConfigurationError(f"{folder} has no authority that loads: {fault}", remedy=_OWN_FILES) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ConfigurationError(f"{path} is not the key of {folder / 'ca.pem'}", remedy=_OWN_FILES)
        if network is not None and certificate.subject != _common_name(_authority_name(network.name)):
            raise ConfigurationError(
                f"{folder} is the PKI of another network than {network.name!r}", remedy="name another folder"
            )
        return cls(key, certificate, entropy, clock)

    def write(self, folder: Path) -> None:
        """Put certificate and key into a new PKI's folder."""
        (folder / "ca.pem").write_bytes(self.certificate.public_bytes(Encoding.PEM))
        write_private(folder / "authority" / "ca.key", _key_pem(self._key))

    def issue(self, urn: str, *, is_node: bool, hosts: Iterable[str] = ()) -> tuple[bytes, bytes]:
        """Return certificate and key (PEM) of a party; nodes may serve on this machine, and at ``hosts`` (addresses or
        names), applications only ask. Raises ConfigurationError for a host that no certificate can name."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(urn)]
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if is_node:
            names += [_host_name(host) for host in dict.fromkeys((*OWN_HOSTS, *hosts))]
            uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
        certificate = (
            _builder(
                _common_name(urn[:MAX_COMMON_NAME]),
                self.certificate.subject,
                key.public_key(),
                self._key.public_key(),
                self._entropy,
            )
            .not_valid_before(self._not_before)
            .not_valid_after(self._not_before + datetime.timedelta(days=CERTIFICATE_DAYS))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, SHA256())
        )
        return certificate.public_bytes(Encoding.PEM), _key_pem(key)

    def revoke(self, before: RevocationList, serials: Iterable[int]) -> bytes:
        """Return the list of revoked certificates (PEM) that follows ``before``."""
        now = datetime.datetime.fromtimestamp(self._clock.utc_s(), tz=datetime.UTC)
        return signed_revocations(before, serials, authority=self.certificate, key=self._key, now=now)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuers_key: ec.EllipticCurvePublicKey,
    entropy: Entropy,
) -> x509.CertificateBuilder:
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuers_key)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(int.from_bytes(entropy.public_bytes(SERIAL_BYTES), "big") + 1)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(authority_id, critical=False)
    )


def _not_before(clock: Clock) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(clock.utc_s() - CLOCK_SKEW_S, tz=datetime.UTC)


def _authority_name(network_name: str) -> str:
    return f"{network_name} authority"


def hosts_of(certificate: Path) -> tuple[str, ...]:
    """Return the hosts (addresses and names) that a certificate file names. Raises ConfigurationError."""
    try:
        names = x509.load_pem_x509_certificate(certificate.read_bytes()).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        return ()
    except (OSError, ValueError) as fault:
        raise ConfigurationError(f"{certificate} is no certificate: {fault}", remedy="name a PEM file") from None
    addresses = names.value.get_values_for_type(x509.IPAddress)
    return (*names.value.get_values_for_type(x509.DNSName), *map(str, addresses))


def names_host(certificate: Path, host: str) -> bool:
    """Return whether a certificate file names a host, as a client compares it. Raises ConfigurationError."""
    return _spelled(host) in map(_spelled, hosts_of(certificate))


def _spelled(host: str) -> str:
    """Return a host in the one spelling in which it is compared."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if not host.isascii() or not all(0 < len(label) <= MAX_LABEL for label in host.split(".")) or set(host) & set(" *"):
        raise ConfigurationError(
            f"{host!r} is no name that a certificate can have", remedy="name an address, or a name of ASCII letters"
        )
    return x509.DNSName(host)


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
