"""PKCS #11 URIs: what RFC 7512 has of a secret key in a token, and no PIN in any text."""

from __future__ import annotations

from pathlib import Path

import pytest

from qanat.adapters.token_uri import read_token_uri
from qanat.ground.errors import ConfigurationError

MODULE = "module-path=/usr/lib/module.so"


def test_attributes_are_decoded_and_spelled_again() -> None:
    text = f"pkcs11:token=site%20a%3b;serial=0a;id=%00%ff;object=m%C3%BCnster;type=secret-key?{MODULE}"
    uri = read_token_uri(text)
    assert (uri.token, uri.serial, uri.id, uri.object) == ("site a;", "0a", b"\x00\xff", "münster")
    assert read_token_uri(str(uri)) == uri


@pytest.mark.parametrize("source", ["file:/etc/qanat%20pin", "file:///etc/qanat%20pin", "/etc/qanat%20pin"])
def test_a_source_of_the_pin_is_a_file(source: str) -> None:
    assert read_token_uri(f"pkcs11:token=t;object=k?{MODULE}&pin-source={source}").pin_source == Path("/etc/qanat pin")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pkcs12:token=t;object=k", "does not begin"),
        (f"pkcs11:object=k?{MODULE}", "no token"),
        (f"pkcs11:token=t?{MODULE}", "no object"),
        ("pkcs11:token=t;object=k", "no module-path"),
        ("pkcs11:token=t;object=k?module-path=module.so", "no module-path"),
        (f"pkcs11:token=t;object=k;type=private?{MODULE}", "secret-key"),
        (f"pkcs11:token=t;token=u;object=k?{MODULE}", "twice"),
        (f"pkcs11:token=t;objekt=k?{MODULE}", "understood"),
        (f"pkcs11:token=t;object=k?{MODULE}&pin-source=|/bin/pin-51423", "a program is not run"),
        (f"pkcs11:token=t;object=k?{MODULE}&pin-source=/p&pin-value=51423", "both"),
        (f"pkcs11:token=t;object=k?{MODULE}&pin-value=12&51423=x", "understood"),
    ],
)
def test_what_is_no_name_of_a_key_is_refused_and_not_quoted(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        read_token_uri(text)
    assert "write it as pkcs11:" in (caught.value.remedy or "")
    assert "51423" not in f"{caught.value} {caught.value.remedy}"


def test_a_pin_is_in_no_text_of_the_uri() -> None:
    uri = read_token_uri(f"pkcs11:token=t;object=k?{MODULE}&pin-value=51423")
    assert uri.pin({}).reveal() == b"51423"
    assert "51423" not in f"{uri} {uri!r} {uri.title}"


def test_the_pin_comes_from_a_private_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "pin"
    file.write_text("123 4\n", encoding="utf-8")
    file.chmod(0o640)
    uri = read_token_uri(f"pkcs11:token=t;object=k?{MODULE}&pin-source=file:{file}")
    with pytest.raises(ConfigurationError, match="other users") as caught:
        uri.pin({})
    assert caught.value.remedy == f"chmod 600 {file}"
    file.chmod(0o600)
    assert uri.pin({"QANAT_TOKEN_PIN": "other"}).reveal() == b"123 4"
    plain = read_token_uri(f"pkcs11:token=t;object=k?{MODULE}")
    assert plain.pin({"QANAT_TOKEN_PIN": "1234"}).reveal() == b"1234"
    with pytest.raises(ConfigurationError, match="no PIN"):
        plain.pin({})
