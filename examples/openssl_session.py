"""Give a key of the network to OpenSSL: it reads a key on standard input and writes a session for ``-psk_session``.

qanat hook command --with alice --as bob --data ./data --run "python examples/openssl_session.py bob.pem" --follow
qanat hook command --with bob --as alice --data ./data --run "python examples/openssl_session.py alice.pem" --every 60
openssl s_server -accept 8443 -nocert -tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256 -psk_session bob.pem
openssl s_client -connect 127.0.0.1:8443 -tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256 -psk_session alice.pem

TLS 1.3 with an external pre-shared key (RFC 8446): no certificate, and a key agreement besides, so that both would have
to be broken. The file has mode 0600; the key is on no command line, as it would be with OpenSSL's ``-psk``.
"""

from __future__ import annotations

import base64
import os
import sys
import textwrap
from pathlib import Path

TLS_1_3 = b"\x03\x04"
TLS_AES_128_GCM_SHA256 = b"\x13\x01"
INTEGER, OCTETS, SEQUENCE = b"\x02", b"\x04", b"\x30"


def der(tag: bytes, content: bytes) -> bytes:
    """Return a short piece of ASN.1, of at most 127 bytes."""
    return tag + bytes([len(content)]) + content


def session(key: bytes) -> str:
    """Return OpenSSL's SSL_SESSION: its version, the protocol's, cipher suite, no name, the key."""
    fields = der(INTEGER, b"\x01"), der(INTEGER, TLS_1_3), der(OCTETS, TLS_AES_128_GCM_SHA256), der(OCTETS, b"")
    body = base64.b64encode(der(SEQUENCE, b"".join(fields) + der(OCTETS, key))).decode()
    lines = "\n".join(textwrap.wrap(body, 64))
    return f"-----BEGIN SSL SESSION PARAMETERS-----\n{lines}\n-----END SSL SESSION PARAMETERS-----\n"


def main(path: Path) -> None:
    written = session(bytes.fromhex(sys.stdin.read()))
    fresh = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(written)
    fresh.replace(path)  # who reads meanwhile has the old key or the new one, whole


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
