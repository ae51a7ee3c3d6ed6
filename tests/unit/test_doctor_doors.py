"""What the doctor makes of the doors of a service: an answer of any kind, none, and a service that is gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qanat.adapters.folder_lock import held
from qanat.apps.cli import doctor_doors
from qanat.apps.cli.doctor import IN_ORDER, running_service
from qanat.ground.errors import ChannelClosed, ConfigurationError, KeyManagementError, NoDirectLink, QanatError

URL = "https://127.0.0.1:9"
APP = {"sae": "urn:a", "url": URL, "certificate": "c", "key": "k"}
SERVICE: dict[str, Any] = {
    "doors": {"a": {"url": URL, "kme": "urn:k"}},
    "open": ["a"],
    "apart": {},
    "ca": "ca",
    "applications": {"a": APP, "b": {**APP, "sae": "urn:b", "url": "https://127.0.0.1:10"}},
}


@pytest.mark.parametrize(
    ("fault", "answers"),
    [
        (NoDirectLink("no QKD link joins them"), True),
        (KeyManagementError("no route"), True),
        (ChannelClosed("nobody listens"), False),
    ],
)
def test_a_refusal_is_an_answer_and_a_broken_line_is_none(
    monkeypatch: pytest.MonkeyPatch, fault: QanatError, answers: bool
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(doctor_doors, "Client", refuse)
    (told,) = doctor_doors.asked_doors(SERVICE).values()
    assert told.startswith(IN_ORDER) is answers
    assert fault.message in told


def test_a_service_that_was_killed_is_told_by_its_process_and_nobody_is_dialled(tmp_path: Path) -> None:
    note = {"pid": 4711, "network": "three-nodes"}
    (tmp_path / "service.json").write_text(json.dumps(note), encoding="utf-8")
    with held(tmp_path):
        assert running_service(tmp_path) == note
    with pytest.raises(ConfigurationError, match=r"died \(pid 4711\)") as caught:
        running_service(tmp_path)
    assert "qanat up three-nodes" in caught.value.remedy
