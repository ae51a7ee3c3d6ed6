"""A certificate of one's own that was revoked or has run out: known by oneself, or by what others say."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from interop.certificates import PAST, Authority
from qanat.adapters.living_tls import LivingTls, why_refused
from qanat.apps.certificate_watch import CertificateWatch
from unit.service_fakes import FakeClock

NAME = "urn:qanat:net:kme:east"


class Told:
    """Hears alarms."""

    def __init__(self) -> None:
        self.alarms: list[tuple[str, str]] = []
        self.lasts = False

    def alarm(self, code: str, text: str, remedy: str) -> None:
        assert code == "certificate-ended"
        self.alarms.append((text, remedy))
        self.lasts = True

    def alarm_over(self, code: str) -> None:
        assert code == "certificate-ended"
        self.lasts = False


def test_a_certificate_that_is_revoked_is_told_with_the_command_and_over_once_there_is_another(tmp_path: Path) -> None:
    authority, told = Authority(tmp_path), Told()
    files = authority.issue("east", [NAME])
    watch = CertificateWatch(files, clock=FakeClock(), recorder=cast(Any, told))
    watch.look()
    assert watch.fault() is None
    authority.revoke(authority.issue("west", ["urn:qanat:net:kme:west"]))
    watch.look()
    assert watch.fault() is None
    assert not told.alarms
    authority.revoke(files)
    watch.look()
    fault = watch.fault()
    assert fault is not None
    assert fault.message == "the certificate of east was revoked"
    ((text, remedy),) = told.alarms
    assert text.startswith(fault.message)
    assert "`qanat pki renew east`" in remedy
    authority.issue("east", [NAME])
    watch.look()
    assert watch.fault() is None
    assert not told.lasts


def test_what_was_revoked_stays_so_for_its_owner_when_the_list_is_taken_away(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = authority.issue("east", [NAME])
    authority.revoke(files)
    tls = LivingTls(files)
    (tmp_path / "crl.pem").unlink()
    for _ in range(5):
        tls.look()
    assert tls.own_fault() is not None


def test_a_certificate_that_has_run_out_says_when(tmp_path: Path) -> None:
    fault = LivingTls(Authority(tmp_path).issue("east", [NAME], end=PAST)).own_fault()
    assert fault is not None
    assert "the certificate of east ran out at 2020-02-01T00:00:00" in fault.message


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("[SSL: SSLV3_ALERT_CERTIFICATE_REVOKED] sslv3 alert certificate revoked (_ssl.c:2580)", "east was revoked"),
        ("[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] ssl/tls alert certificate expired", "east has run out"),
        ("certificate verify failed: certificate revoked (_ssl.c:1000)", "a-b was revoked"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired", "a-b has run out"),
    ],
)
def test_what_tls_says_of_a_handshake_names_whose_certificate_has_ended(words: str, told: str) -> None:
    fault = why_refused(words, own=NAME, peer="urn:qanat:net:twin:a-b")
    assert fault is not None
    assert fault.message == f"the certificate of {told}"
    assert f"`qanat pki renew {told.split()[0]}`" in fault.remedy


@pytest.mark.parametrize("words", ["[Errno 111] Connect call failed", "the server is nobody, expected x", ""])
def test_other_faults_are_no_matter_of_certificates(words: str) -> None:
    assert why_refused(words, own="east", peer="a-b") is None
