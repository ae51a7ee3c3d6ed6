"""Certificates that were taken back: the authority's list of them (``crl.pem``, RFC 5280, section 5), made and read.

The list lies beside the authority's certificate. It does not run out before the authority does: a network whose
authority's key lies in a safe must not stop because nobody signed a list that says nothing new. So a list that never
arrives is not noticed by its age; ``qanat pki revoke`` says where it has to be carried.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from qanat.ground.errors import ConfigurationError

CRL_NAME = "crl.pem"


@dataclass(frozen=True, slots=True)
class RevocationList:
    """The serial numbers that an authority has taken back; ``number`` grows with every list."""

    serials: frozenset[int] = frozenset()
    number: int = 0


NOTHING_REVOKED = RevocationList()


def crl_path(ca: Path) -> Path:
    """Return where the list of an authority is looked for: beside its certificate."""
    return ca.with_name(CRL_NAME)


def read_revocations(ca: Path) -> RevocationList | None:
    """Return the list beside an authority's certificate; None when there is none.

    Raises ConfigurationError when it cannot be read, is no list, or is not signed by this authority.
    """
    path = crl_path(ca)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise ConfigurationError(f"cannot read {path}: {fault.strerror}", remedy="check its owner and mode") from None
    try:
        found = x509.load_pem_x509_crl(text)
        authority = x509.load_pem_x509_certificate(ca.read_bytes())
        number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (OSError, ValueError, x509.ExtensionNotFound) as fault:
        raise ConfigurationError(f"{path} is no list of revoked certificates: {fault}", remedy=_MAKE) from None
    key = authority.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not found.is_signature_valid(key):
        raise ConfigurationError(f"{path} is not signed by the authority {ca}", remedy=_MAKE)
    return RevocationList(frozenset(entry.serial_number for entry in found), number)


_MAKE = "take the crl.pem that `qanat pki revoke` made for this network"


def signed_revocations(
    before: RevocationList,
    serials: Iterable[int],
    *,
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
) -> bytes:
    """Return the next list (PEM): what ``before`` has, and ``serials``, revoked at ``now``."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now)
        .next_update(authority.not_valid_after_utc)
        .add_extension(x509.CRLNumber(before.number + 1), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    for serial in sorted(before.serials | set(serials)):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
