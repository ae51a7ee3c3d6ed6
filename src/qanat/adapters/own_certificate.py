"""Whether a certificate is the one that a process is to show: looked at before it opens anything.

A wrong one does no harm to others, since every handshake refuses it; but all that its owner would see is that nobody
answers. So a process does not start with it, and says why.
"""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from qanat.adapters.revocation import read_revocations
from qanat.adapters.tls import Credentials, own_identity
from qanat.ground.clock import format_utc
from qanat.ground.errors import ConfigurationError
from qanat.ground.ports import Clock


def check_own_certificate(files: Credentials, *, identity: str, clock: Clock) -> None:
    """Raise ConfigurationError unless the certificate is of ``identity``, signed by the authority beside it, in date
    by ``clock``, and not revoked. That its key fits is seen where both are loaded."""
    found = own_identity(files.certificate)
    if found != identity:
        raise ConfigurationError(
            f"{files.certificate} is the certificate of {found or 'nobody'}, not of {identity}",
            remedy="bring the files of that name from the folder that `qanat pki` made; each party has its own",
        )
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    _check_authority(certificate, files)
    _check_dates(certificate, files, clock)
    revoked = read_revocations(files.ca)
    if revoked is not None and certificate.serial_number in revoked.serials:
        raise ConfigurationError(
            f"{files.certificate} was revoked", remedy="make a new one with `qanat pki renew` and bring it here"
        )


def _check_authority(certificate: x509.Certificate, files: Credentials) -> None:
    try:
        authority = x509.load_pem_x509_certificate(files.ca.read_bytes())
    except ValueError as fault:
        raise ConfigurationError(f"{files.ca} is no certificate: {fault}", remedy="name a PEM file") from None
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        raise ConfigurationError(
            f"{files.certificate} was not signed by the authority of {files.ca}",
            remedy="bring both from the same folder that `qanat pki` made; every site has the same ca.pem",
        ) from None


def _check_dates(certificate: x509.Certificate, files: Credentials, clock: Clock) -> None:
    now_s = clock.utc_s()
    now = datetime.datetime.fromtimestamp(now_s, tz=datetime.UTC)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if begins <= now <= ends:
        return
    what = f"ran out at {format_utc(ends.timestamp())}" if now > ends else f"begins at {format_utc(begins.timestamp())}"
    raise ConfigurationError(
        f"{files.certificate} {what}, and the clock says {format_utc(now_s)}",
        remedy="set the clock right, or make a new certificate with `qanat pki renew` and bring it here",
    )
