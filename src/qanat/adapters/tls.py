"""Mutual TLS: one certificate authority, both sides prove who they are, and the name is one URI in the certificate.

A list of revoked certificates beside the authority's (``crl.pem``) is heeded at every handshake, on either side.

The identity of a peer is the single URI among the alternative names of its certificate (``urn:qanat:...``); a
certificate with none, or with several, proves no identity. Host names say nothing here: certificates of all nodes name
``localhost``, so a client checks the URI of the key manager it means to reach.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509

from qanat.adapters.revocation import crl_path, read_revocations
from qanat.ground.errors import ConfigurationError


class Credentials(Protocol):
    """Where one party's certificate and private key are, and the certificate of the authority that it trusts (PEM)."""

    @property
    def certificate(self) -> Path: ...
    @property
    def key(self) -> Path: ...
    @property
    def ca(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Credentials wherever they lie."""

    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What a peer's certificate says: who he is (the one URI, or None), its serial number, and when it ends."""

    identity: str | None
    serial: int
    ends_utc_s: float


CALLER: ContextVar[str] = ContextVar("CALLER", default="")
"""The address of whoever shakes hands now, where the server says it: of a refused certificate nothing else is known."""


def server_context(files: Credentials, *, on_refused: Callable[[str], None] | None = None) -> ssl.SSLContext:
    """Return a context that shows our certificate and demands the client's. Raises ConfigurationError.

    ``on_refused`` hears why a handshake failed, in the words of the TLS library; the client hears it as a TLS alert.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, files)
    context.verify_mode = ssl.CERT_REQUIRED
    # No resumption: each connection proves itself anew, so an expired certificate does not live on in a ticket.
    context.num_tickets = 0  # TLS 1.3
    context.options |= ssl.OP_NO_TICKET  # TLS 1.2
    context.sslobject_class = _telling(on_refused or (lambda _: None))
    return context


def client_context(files: Credentials, *, expected_peer: str | None = None) -> ssl.SSLContext:
    """Return a context that shows our certificate and demands the server's. Raises ConfigurationError.

    With ``expected_peer`` the handshake fails unless the server proves just this identity: nothing is sent to another.
    Without it the caller must check ``peer_identity`` itself before it trusts the connection.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, files)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.sslobject_class = type("ExpectedPeer", (_ExpectedPeer,), {"expected_peer": expected_peer})
    return context


def peer_identity(connection: ssl.SSLObject | None) -> str | None:
    """Return the one URI in the peer's certificate; None without a certificate, without a URI, or with several."""
    found = peer_certificate(connection)
    return None if found is None else found.identity


def peer_certificate(connection: ssl.SSLObject | None) -> PeerCertificate | None:
    """Return what the peer's certificate says; None without one."""
    certificate = connection.getpeercert() if connection is not None else None
    if not certificate:
        return None
    uris = [str(name[1]) for name in certificate.get("subjectAltName", ()) if name[0] == "URI"]
    return PeerCertificate(
        identity=uris[0] if len(uris) == 1 else None,
        serial=int(str(certificate["serialNumber"]), 16),
        ends_utc_s=float(ssl.cert_time_to_seconds(str(certificate["notAfter"]))),
    )


def load_into(context: ssl.SSLContext, files: Credentials) -> None:
    """Give a context the certificate, key, authority and list of revoked ones that lie there now.

    A context in use takes them for the handshakes to come; what stands is not touched. Raises ConfigurationError; then
    a context that was in use may hold a part of them, so try a new one first.
    """
    try:
        context.load_verify_locations(cafile=files.ca)
        if read_revocations(files.ca) is not None:
            context.load_verify_locations(cafile=crl_path(files.ca))
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (OSError, ValueError) as fault:
        names = ", ".join(map(str, (files.certificate, files.key, files.ca)))
        raise ConfigurationError(
            f"certificate, key and authority do not load or do not fit together: {fault}",
            remedy=f"check {names}; `qanat pki` makes a set",
        ) from None


def own_certificate(certificate: Path) -> PeerCertificate:
    """Return what a certificate file says, as it says it to a peer. Raises ConfigurationError."""
    identity = own_identity(certificate)
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    return PeerCertificate(identity, found.serial_number, found.not_valid_after_utc.timestamp())


def own_identity(certificate: Path) -> str | None:
    """Return the one URI in a certificate file; None without one or with several. Raises ConfigurationError."""
    try:
        names = x509.load_pem_x509_certificate(certificate.read_bytes()).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        return None
    except (OSError, ValueError) as fault:
        raise ConfigurationError(f"{certificate} is no certificate: {fault}", remedy="name a PEM file") from None
    uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if len(uris) == 1 else None


def _context(protocol: ssl._SSLMethod, files: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_into(context, files)
    return context


def _no_password() -> str:
    # Without this OpenSSL would ask at the terminal and a service would hang at its start.
    raise ValueError("the private key is encrypted; keep it unencrypted, readable by this user alone")


def _telling(on_refused: Callable[[str], None]) -> type[ssl.SSLObject]:
    class Telling(ssl.SSLObject):
        """Lets the alert of a failed handshake reach the client.

        asyncio resets the connection with the alert still in its buffer. Told that more input is wanted, it sends what
        it has first; the client, who knows now what is wrong, hangs up, or the handshake's time runs out.
        """

        fault: ssl.SSLError | None = None

        def do_handshake(self) -> None:
            if self.fault is not None:
                raise self.fault
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as fault:
                self.fault = fault
                caller, why = CALLER.get(), str(fault.reason or fault).lower().replace("_", " ")
                on_refused(f"a caller from {caller}: {why}" if caller else why)
                raise ssl.SSLWantReadError from None

    return Telling


class _ExpectedPeer(ssl.SSLObject):
    """Ends the handshake only with the one peer that is meant; without one, with any."""

    expected_peer: str | None = None

    def do_handshake(self) -> None:
        super().do_handshake()
        if self.expected_peer is not None and (found := peer_identity(self)) != self.expected_peer:
            raise ssl.SSLCertVerificationError(f"the server is {found or 'nobody'}, expected {self.expected_peer}")


class ContextForPeer:
    """A client's context for connections to one peer, in the place of an ``ssl.SSLContext`` for asyncio. Many share
    what ``context``, made by ``client_context``, has loaded: a site with forty peers reads its files once, not forty
    times, a millisecond each in which nobody is answered."""

    def __init__(self, context: ssl.SSLContext, expected_peer: str) -> None:
        self._context = context
        self._expected_peer = expected_peer

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """As ``ssl.SSLContext.wrap_bio``; the handshake fails unless the server proves the identity of the peer."""
        made = self._context.wrap_bio(*arguments, **options)
        assert isinstance(made, _ExpectedPeer), "the context is one of ``client_context``"
        made.expected_peer = self._expected_peer
        return made
