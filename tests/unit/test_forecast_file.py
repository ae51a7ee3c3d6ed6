"""The file of forecasts: what it may say, what is refused and how, and that it is followed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.apps.cli.main import app
from qanat.apps.forecast_file import FORMAT, from_midnight, parse_forecasts, read_forecasts
from qanat.apps.forecast_watch import ForecastWatch
from qanat.apps.networks import load_network
from qanat.control.forecasting import Forecasts
from qanat.ground.errors import ConfigurationError
from qanat.ground.events import Event
from qanat.ground.identifiers import CONTROLLER, LinkId
from qanat.ground.tracing import EventRecorder

NETWORK = load_network("three-nodes")
LINK = LinkId("suzhou-kunshan")
ROW = {"link": LINK, "from": "2026-12-01T02:00:00Z", "until": "2026-12-01T12:00:00+08:00", "expected_bits": 0}


def file_of(*rows: Any, **more: Any) -> bytes:
    return json.dumps({"format": FORMAT, "forecasts": list(rows)} | more).encode()


def test_times_are_read_with_their_offsets() -> None:
    (one,) = parse_forecasts(file_of({**ROW, "why": "splicing"}), source="f", network=NETWORK)
    assert (one.link_id, one.until_utc_s - one.from_utc_s, one.expected_bits) == (LINK, 2 * 3600.0, 0)
    (from_day,) = from_midnight(Forecasts([one]))
    assert (from_day.from_utc_s, from_day.until_utc_s) == (2 * 3600.0, 4 * 3600.0)
    assert not from_midnight(Forecasts())


@pytest.mark.parametrize(
    ("data", "fault", "remedy"),
    [
        (b"{", "is no JSON", "mend"),
        (b"[" * 100_000, "is no JSON", "mend"),
        (b"[]", "no file of forecasts", FORMAT),
        (file_of(more=1), "no file of forecasts", FORMAT),
        (file_of(forecasts={}), "no list", "expected_bits"),
        (file_of(ROW, 7), "entry 2 lacks link", "expected_bits"),
        (file_of({**ROW, "weather": "rain"}), "entry 1 says what no forecast says", "why"),
        (file_of({**ROW, "link": "suzhou-kunshn"}), "no link of 'three-nodes'", "did you mean suzhou-kunshan"),
        (file_of({**ROW, "link": ["x"]}), "no link of 'three-nodes'", "there are"),
        (file_of({**ROW, "from": "2026-12-01T02:00:00"}), "no time with its offset", "2026-12-01T02:00:00Z"),
        (file_of({**ROW, "until": 5}), "until 5 is no time", "2026-12-01T02:00:00Z"),
        (file_of({**ROW, "expected_bits": True}), "expected_bits True", "whole number"),
        (file_of(ROW, {**ROW, "until": ROW["from"]}), "entry 2: the forecast of 'suzhou-kunshan' ends before", "times"),
        (file_of(ROW, ROW), "entry 2: the forecast of 'suzhou-kunshan' overlaps that of entry 1", "end before"),
        (file_of({**ROW, "from": "0001-01-01T00:00:00Z"}), "entry 1: from '0001-01-01T00:00:00Z' lies in", "2000 to"),
        (
            file_of(ROW, {**ROW, "until": "9999-12-31T23:59:59-23:59"}),
            "entry 2: until '9999",
            "taken out of the network",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(data: bytes, fault: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_forecasts(data, source="file.json", network=NETWORK)
    assert raised.value.message.startswith("file.json")
    assert fault in raised.value.message
    assert remedy in raised.value.remedy


def test_a_file_that_is_not_there_is_told_when_it_was_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_forecasts(tmp_path / "none.json", network=NETWORK)


def test_a_file_is_followed_and_one_that_does_not_hold_changes_nothing(tmp_path: Path) -> None:
    path, heard, events = tmp_path / "forecasts.json", list[Forecasts](), list[Event]()
    clock = SystemClock()
    recorder = EventRecorder(node=CONTROLLER, clock=clock, entropy=SystemEntropy(), sink=events.append)
    watch = ForecastWatch(path, network=NETWORK, clock=clock, recorder=recorder, on_renewed=heard.append)
    watch.begin()
    assert (heard, events) == ([], []), "none is there, so nothing is foretold"
    path.write_bytes(file_of(ROW))
    watch.look()
    watch.look()
    assert [list(one.links) for one in heard] == [[LINK]], "once"
    path.write_bytes(b"{ not yet whole")
    watch.look()
    assert len(heard) == 1
    assert [event.data.get("code") for event in events] == [None, "forecasts-kept"]
    path.unlink()
    watch.look()
    assert not heard[-1]
    assert len(heard) == 2


def test_a_run_says_what_was_foretold_and_whether_anybody_was_told(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_bytes(file_of({**ROW, "until": "2026-12-01T09:00:00Z"}))
    served = {}
    for more in ((), ("--unforeseen",)):
        options = ["simulate", "three-nodes", "--demand", "12000", "--forecasts", str(path), "--json", *more]
        result = CliRunner().invoke(app, options)
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert [one["link_id"] for one in found["forecasts"]] == [LINK]
        served[found["foreseen"]] = found["success_rate"]
    assert served[True] > served[False]


def test_an_unforeseen_nothing_is_refused() -> None:
    result = CliRunner().invoke(app, ["simulate", "three-nodes", "--unforeseen"])
    assert result.exit_code != 0
    assert "--forecasts FILE" in result.output
