"""Certificates that are followed: new files count for the handshakes to come, and nothing that stands is cut off.

What may change while a party runs: its certificate and key (``qanat pki renew``), the authority's list of revoked
certificates (``qanat pki revoke``), and further authorities in ``ca.pem``. Files that do not fit together, as in the
moment between the writing of a key and of its certificate, are looked at again and the former ones kept meanwhile.
What was revoked stays revoked: a list that is older than the one in use, or gone, is not taken.
"""

from __future__ import annotations

import ssl
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import cast

from qanat.adapters.revocation import NOTHING_REVOKED, crl_path, read_revocations
from qanat.adapters.tls import (
    ContextForPeer,
    Credentials,
    PeerCertificate,
    client_context,
    load_into,
    own_certificate,
    server_context,
)
from qanat.ground.clock import format_utc
from qanat.ground.errors import ConfigurationError

REVOKED = "the client certificate was revoked (ask the network's operator for a new one)"
LOOK_PERIOD_S = 1.0
"""How often those who are not asked all the time look at the files, and at what stands by the old ones."""
TRIES_BEFORE_TOLD = 3
"""Looks (one a second) at files that do not fit together before somebody is told."""


class LivingTls:
    """The contexts of one party, which follow its files whenever ``look`` is called.

    on_change hears that new files count (None), or why those that lie there do not.
    """

    def __init__(
        self,
        files: Credentials,
        *,
        on_refused: Callable[[str], None] | None = None,
        on_change: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        """Raises ConfigurationError when the files do not load."""
        self.files = files
        self._on_change = on_change
        self._seen = self._state_of_files()
        self._revoked = read_revocations(files.ca) or NOTHING_REVOKED
        self.context = server_context(files, on_refused=on_refused)
        """The server's. It stays the same object."""
        self._own = own_certificate(files.certificate)
        self._contexts: weakref.WeakSet[ssl.SSLContext] = weakref.WeakSet([self.context])
        self._of_peers: ssl.SSLContext | None = None
        self._num_tries = 0

    def client(self, *, expected_peer: str | None = None) -> ssl.SSLContext:
        """Return a client's context that is followed too."""
        context = client_context(self.files, expected_peer=expected_peer)
        self._contexts.add(context)
        return context

    def for_peer(self, expected_peer: str) -> ssl.SSLContext:
        """Return a context for asyncio's connections to one peer; all that are asked for share one that is followed."""
        if self._of_peers is None:
            self._of_peers = self.client()
        return cast(ssl.SSLContext, ContextForPeer(self._of_peers, expected_peer))  # asyncio calls no more of it

    def why_refused(self, certificate: PeerCertificate) -> str | None:
        """Return why a living connection's certificate does not count any more; None when it does."""
        return REVOKED if certificate.serial in self._revoked.serials else None

    def has_ended(self, certificate: PeerCertificate | None) -> bool:
        """Return whether a living connection stands by a certificate that has run out or was revoked."""
        if certificate is None:
            return False
        return certificate.ends_utc_s < time.time() or self.why_refused(certificate) is not None

    def own_fault(self) -> ConfigurationError | None:
        """Return why this party's own certificate does not count any more, and what helps; None when it does."""
        if self._own.serial in self._revoked.serials:
            return ended(self._own.identity, "was revoked")
        if self._own.ends_utc_s < time.time():
            return ended(self._own.identity, f"ran out at {format_utc(self._own.ends_utc_s)}")
        return None

    def look(self) -> bool:
        """Take up files that changed since the last look; return whether new ones count now. Never raises."""
        state = self._state_of_files()
        if state == self._seen:
            return False
        try:
            self._take_up()
        except ConfigurationError as fault:
            self._num_tries += 1
            if self._num_tries >= TRIES_BEFORE_TOLD:
                self._seen, self._num_tries = state, 0
                self._on_change(str(fault))
            return False
        self._seen, self._num_tries = state, 0
        self._on_change(None)
        return True

    def _take_up(self) -> None:
        """Raises ConfigurationError, and then nothing changed."""
        load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.files)
        own, revoked = own_certificate(self.files.certificate), read_revocations(self.files.ca) or NOTHING_REVOKED
        if revoked.number < self._revoked.number:
            raise ConfigurationError(
                f"{crl_path(self.files.ca)} is older than the list in use, or gone",
                remedy="put the newest crl.pem there; what was revoked stays so until then, and after",
            )
        for context in list(self._contexts):
            load_into(context, self.files)
        self._own, self._revoked = own, revoked

    def _state_of_files(self) -> tuple[object, ...]:
        files = self.files
        return tuple(map(_state_of, (files.certificate, files.key, files.ca, crl_path(files.ca))))


def ended(identity: str | None, how: str) -> ConfigurationError:
    """Return the fault of a certificate that has ended, by whose it is, and the command that makes another."""
    name = (identity or "nobody").rpartition(":")[2]
    return ConfigurationError(
        f"the certificate of {name} {how}",
        remedy=f"make a new one with `qanat pki renew {name}`, and bring it and its key to where the old ones lie",
    )


def why_refused(words: str, *, own: str, peer: str) -> ConfigurationError | None:
    """Return whose certificate has ended, by the TLS library's words for a handshake that failed; None where they say
    nothing of that. ``own``, ``peer``: the identities of the two parties."""
    told = words.lower().replace("_", " ")
    how = next((how for mark, how in _HOW_ENDED.items() if mark in told), None)
    if how is None:
        return None
    return ended(peer if "verify failed" in told else own, how)  # else it is the alert that the peer sent


_HOW_ENDED = {
    "certificate revoked": "was revoked",
    "certificate expired": "has run out",
    "certificate has expired": "has run out",
}


def _state_of(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
