"""Real tokens for tests: SoftHSM 2, with a folder of its own for each test."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from qanat.adapters.token_uri import read_token_uri

PIN = "5678-right"
_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)


class SoftToken:
    """A token ``site`` and its PIN in a file."""

    def __init__(self, folder: Path, module: str) -> None:
        self.module = module
        self.tokens = folder / "tokens"
        self.pin_file = folder / "pin"
        self.tokens.mkdir(parents=True)
        self.set_pin(PIN)

    def set_pin(self, pin: str) -> None:
        """Write what is given as PIN; the token's own stays."""
        self.pin_file.write_text(pin + "\n", encoding="utf-8")
        self.pin_file.chmod(0o600)

    def uri(self, key: str = "master", *, token: str = "site") -> str:
        return f"pkcs11:token={token};object={key}?module-path={self.module}&pin-source=file:{self.pin_file}"

    def init(self, label: str = "site") -> None:
        command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "so-pin", "--pin", PIN]
        subprocess.run(command, check=True, capture_output=True)


@contextmanager
def soft_token(folder: Path) -> Iterator[SoftToken]:
    """Make a token, for this process and those that it starts; the module is let go at the end."""
    module = next((path for path in _MODULES if Path(path).exists()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        pytest.skip("NOT TESTED: SoftHSM is not installed (apt-get install softhsm2)")
    pkcs11 = pytest.importorskip("pkcs11")
    token = SoftToken(folder, module)
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {token.tokens}\nlog.level = ERROR\n", encoding="utf-8")
    with patch.dict(os.environ, {"SOFTHSM2_CONF": str(settings)}):
        token.init()
        try:
            yield token
        finally:
            pkcs11.unload(module)


def forget_module(uri: str) -> None:
    """Let a module go, so that it looks for its tokens anew."""
    import pkcs11

    pkcs11.unload(str(read_token_uri(uri).module))
