"""TLS 1.3 under one external pre-shared key (RFC 8446, 4.2.11), over bytes that somebody else carries.

A key agreement is part of every handshake (``psk_dhe_ke``): who learns the pre-shared key later, or knew it and only
listened, has not the traffic keys. There are no certificates, no tickets and no early data. Cipher suite and hash
follow from the key's length: TLS_AES_128_GCM_SHA256 for 128 bits, TLS_AES_256_GCM_SHA384 for 256.

The standard library can be given such keys from Python 3.13 on, and only those of SHA-256. So it is pyOpenSSL here; the
two callbacks, which it leaves out, are set through the bindings beneath it.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from qanat.adapters.psk import PreSharedKey
from qanat.ground.errors import Altered, ChannelClosed, FrameError

READ_BYTES: Final = 2**18
_TLS_1_3: Final = 0x0304
_SUITES: Final = {128: (b"TLS_AES_128_GCM_SHA256", b"\x13\x01"), 256: (b"TLS_AES_256_GCM_SHA384", b"\x13\x02")}
_USE: Final = "int (SSL *, const EVP_MD *, const unsigned char **, size_t *, SSL_SESSION **)"
_FIND: Final = "int (SSL *, const unsigned char *, size_t, SSL_SESSION **)"
_lib, _ffi = Binding.lib, Binding.ffi


class PskTls:
    """One end of a connection. What comes goes into ``feed``, and what ``outgoing`` returns to the other end."""

    def __init__(self, psk: PreSharedKey, *, is_caller: bool) -> None:
        suite, self._suite_id = _SUITES[8 * len(psk.secret)]
        self._psk = psk
        self._identity = _ffi.new("unsigned char[]", psk.identity)  # OpenSSL keeps a pointer to it
        context = _context(suite)
        self._callback = self._as_caller() if is_caller else self._as_answerer()
        if is_caller:
            _lib.SSL_CTX_set_psk_use_session_callback(_raw(context), self._callback)
        else:
            _lib.SSL_CTX_set_psk_find_session_callback(_raw(context), self._callback)
        self._connection = _connection(context, is_caller=is_caller)
        self._fault: Altered | None = None
        """OpenSSL gives its reason once; whoever asks after that must hear the same."""

    @property
    def suite(self) -> str:
        """The cipher suite's name, once the handshake is over."""
        return self._connection.get_cipher_name() or ""

    def shake_hands(self) -> bool:
        """Go on with the handshake as far as what came allows; True when it is over. Raises Altered."""
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as fault:
            raise self._noted(fault) from None
        return True

    def feed(self, data: bytes | bytearray) -> None:
        """Take bytes that came from the other end."""
        view = memoryview(data)
        while view:
            view = view[self._connection.bio_write(bytes(view)) :]

    def outgoing(self) -> bytes:
        """Return what is to be carried to the other end; empty where there is nothing."""
        pieces = []
        while True:
            try:
                pieces.append(self._connection.bio_read(READ_BYTES))
            except SSL.WantReadError:
                return b"".join(pieces)

    def seal(self, content: bytes | bytearray | memoryview) -> bytes:
        """Return content as records of TLS; the handshake is over. Raises Altered after
        a fault of what came, ChannelClosed where TLS has ended."""
        view, pieces = memoryview(content), []
        while view:
            try:
                view = view[self._connection.send(view[:READ_BYTES]) :]
            except SSL.Error as fault:
                if self._fault is not None:
                    raise self._fault from None
                raise ChannelClosed(f"TLS has ended on this line: {_words(fault)}") from None
            pieces.append(self.outgoing())
        return b"".join(pieces)

    def read_into(self, room: memoryview) -> int | None:
        """Put content into ``room`` and return how many bytes: 0 at the other end's last word, None where more has to
        come first. Raises Altered for a record that is not as it was sealed."""
        try:
            return self._connection.recv_into(room, len(room))
        except SSL.WantReadError:
            return None
        except SSL.ZeroReturnError:
            return 0
        except SSL.Error as fault:
            raise self._noted(fault) from None

    def has_news(self) -> bool:
        """Return whether content has come that was not read, or the other end's last word, or what is no TLS."""
        try:
            return bool(self._connection.recv(1, socket.MSG_PEEK))
        except SSL.WantReadError:
            return False
        except SSL.ZeroReturnError:
            return True
        except SSL.Error as fault:
            self._noted(fault)
            return True

    def _noted(self, fault: SSL.Error) -> Altered:
        self._fault = self._fault or _altered(fault)
        return self._fault

    def _as_caller(self) -> Any:
        def use(ssl: Any, _md: Any, identity: Any, length: Any, session: Any) -> int:
            identity[0], length[0] = self._identity, len(self._psk.identity)
            session[0] = self._session(ssl)
            return 1

        return _ffi.callback(_USE, use)

    def _as_answerer(self) -> Any:
        def find(ssl: Any, identity: Any, length: int, session: Any) -> int:
            is_ours = bytes(_ffi.buffer(identity, length)) == self._psk.identity
            session[0] = self._session(ssl) if is_ours else _ffi.NULL
            return 1

        return _ffi.callback(_FIND, find)

    def _session(self, ssl: Any) -> Any:
        """Return the key as OpenSSL wants it: a session that might have been; the caller of this owns it."""
        session = _lib.Cryptography_SSL_SESSION_new()
        _lib.SSL_SESSION_set1_master_key(session, self._psk.secret, len(self._psk.secret))
        _lib.SSL_SESSION_set_cipher(session, _lib.SSL_CIPHER_find(ssl, self._suite_id))
        _lib.SSL_SESSION_set_protocol_version(session, _TLS_1_3)
        return session


def identity_in(flight: bytes | bytearray) -> bytes:
    """Return the identity that a caller names in its first flight, one whole record.

    Asked is OpenSSL itself, by a handshake that ends there. Raises FrameError for what is no TLS 1.3 under such a key.
    """
    named: list[bytes] = []

    def note(_ssl: Any, identity: Any, length: int, session: Any) -> int:
        named.append(bytes(_ffi.buffer(identity, length)))
        session[0] = _ffi.NULL
        return 1

    context, callback = _context(b":".join(name for name, _ in _SUITES.values())), _ffi.callback(_FIND, note)
    _lib.SSL_CTX_set_psk_find_session_callback(_raw(context), callback)
    connection = _connection(context, is_caller=False)
    connection.bio_write(bytes(flight))
    words = "a first flight in pieces"
    try:
        connection.do_handshake()
    except SSL.WantReadError:
        pass
    except SSL.Error as fault:
        words = _words(fault)
    if not named:
        raise FrameError(
            f"this is no TLS 1.3 under a pre-shared key, or it was altered on the way ({words})",
            remedy="a `qanat tunnel` may call again: if it did call, look for who changes bytes on the line; another "
            "program has to call through a `qanat tunnel`",
        )
    return named[0]


def _context(suites: bytes) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(suites)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    return context


def _raw(context: SSL.Context) -> Any:
    return context._context  # pyOpenSSL has no way of its own to set these callbacks


def _connection(context: SSL.Context, *, is_caller: bool) -> SSL.Connection:
    connection = SSL.Connection(context, None)
    if is_caller:
        connection.set_connect_state()
    else:
        connection.set_accept_state()
    return connection


def _words(fault: SSL.Error) -> str:
    """Return what OpenSSL says of a fault: of each of its reasons the last part."""
    reasons = fault.args[0] if fault.args and isinstance(fault.args[0], list) else []
    return ", ".join(str(reason[-1]) for reason in reasons) or type(fault).__name__


def _altered(fault: SSL.Error) -> Altered:
    words = _words(fault)
    who = "the other end says that what came to it" if "alert" in words else "what came"
    return Altered(
        f"{who} is not as it was sealed by TLS: altered on the way, or the two ends hold different keys ({words})",
        remedy="look for who changes bytes on the line; the program may connect again",
    )
