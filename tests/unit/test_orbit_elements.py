"""Element sets: what is read, what is refused and with which words, and that SGP4 gets what was written."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sgp4.api import Satrec
from sgp4.exporter import export_omm

from qanat.ground.errors import BadParameter, ConfigurationError, RequestError
from qanat.orbits.earth import utc_s_of
from qanat.orbits.elements import checksum, packaged_elements, packaged_names, read_elements
from qanat.orbits.propagation import Sgp4Orbit, check_age

FIRST = "1 41731U 16051A   16354.56913372  .00000384  00000-0  18801-4 0  9991"
SECOND = "2 41731  97.3698 268.1064 0013349 175.8929 309.0190 15.23916091 19164"
EPOCH_UTC_S = utc_s_of("2016-12-19T13:39:33.153408")


def summed(line: str) -> str:
    return line[:68] + str(checksum(line))


def omm_fields() -> dict[str, object]:
    return dict(export_omm(Satrec.twoline2rv(FIRST, SECOND), "MICIUS"))


def as_xml(fields: dict[str, object]) -> str:
    body = "".join(f"<{key}>{value}</{key}>" for key, value in fields.items())
    return f"<?xml version='1.0'?><ndm><omm><body><segment><data>{body}</data></segment></body></omm></ndm>"


def as_lines(fields: dict[str, object]) -> str:
    return "CCSDS_OMM_VERS = 2.0\nCOMMENT none\n" + "".join(f"{key} = {value}\n" for key, value in fields.items())


def test_the_packaged_set_is_micius_at_its_epoch() -> None:
    found = packaged_elements("micius")
    assert packaged_names() == ["micius"]
    assert (found.name, found.number) == ("MICIUS", "41731")
    assert found.epoch_utc_s == pytest.approx(EPOCH_UTC_S, abs=1e-3)
    assert math.degrees(found.satrec.inclo) == pytest.approx(97.3698)


def test_sgp4_gives_the_published_places() -> None:
    """Satellite 5 of the verification run of Vallado, Crawford, Hujsak and Kelso, AIAA 2006-6753."""
    text = (
        "1 00005U 58002B   00179.78495062  .00000023  00000-0  28098-4 0  4753\n"
        "2 00005  34.2682 348.7242 1859667 331.7664  19.3264 10.82419157413667\n"
    )
    (found,) = read_elements(text, source="verification")
    places, velocities = Sgp4Orbit(found).inertial(found.epoch_utc_s + 60.0 * np.array([0.0, 360.0]))
    assert places[0] == pytest.approx([7022.46529266, -1400.08296755, 0.03995155], abs=5e-3)
    assert velocities[0] == pytest.approx([1.893841015, 6.405893759, 4.534807250], abs=5e-6)
    assert places[1] == pytest.approx([-7154.03120202, -3783.17682504, -3536.19412294], abs=5e-3)


def test_names_blank_lines_and_several_satellites_are_read() -> None:
    text = f"# from somewhere\n0 ONE\n{FIRST}\n{SECOND}\n\nTWO\r\n{FIRST}  \n{SECOND}\n{FIRST}\n{SECOND}\n"
    assert [one.name for one in read_elements(text, source="f")] == ["ONE", "TWO", "41731"]


@pytest.mark.parametrize("column", [2, 20, 30, 56, 67])
def test_a_wrong_digit_is_found_by_the_checksum(column: int) -> None:
    digit = str((int(FIRST[column]) + 3) % 10) if FIRST[column].isdigit() else "7"
    with pytest.raises(ConfigurationError, match="f, line 1: checksum 1"):
        read_elements(f"{FIRST[:column]}{digit}{FIRST[column + 1 :]}\n{SECOND}", source="f")


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (FIRST[:-1], SECOND, "line 1: 68 characters, not 69"),
        (FIRST, SECOND + "0", "line 2: 70 characters"),
        (FIRST, summed(SECOND.replace("41731", "41732")), "satellite number 41732, but 41731"),
        (FIRST, FIRST, "line 2: begins with '1 '"),
        (FIRST, summed(SECOND.replace(" 97.3698", "197.3698")), "inclination 197.37 is not from 0 to 180"),
        (FIRST, summed(SECOND.replace("268.1064", "468.1064")), "right ascension of the node 468.106"),
        (FIRST, summed(SECOND.replace("15.23916091", "00.00000000")), "SGP4 takes no such elements"),
        (summed(FIRST.replace("16354.", "16400.")), SECOND, "day of the year 400.569"),
        (summed(FIRST.replace(".00000384", "x00000384")), SECOND, "columns are not those of two-line elements"),
        (FIRST, "", "f: ends after '1 41731U"),
        ("", SECOND, "a second line without a first one"),
        ("NAME", "ANOTHER NAME", "is no line of two-line elements"),
        ("", "", "no satellite in it"),
    ],
)
def test_what_is_no_pair_of_lines_is_refused_with_the_place(first: str, second: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as told:
        read_elements(f"{first}\n{second}", source="f")
    assert told.value.remedy


@pytest.mark.parametrize("write", [json.dumps, lambda one: json.dumps([one]), as_xml, as_lines])
def test_an_omm_in_any_form_moves_like_the_two_lines(write) -> None:  # type: ignore[no-untyped-def]
    (found,) = read_elements(write(omm_fields()), source="f")
    moments = EPOCH_UTC_S + np.linspace(0, 5 * 86_400, 50)
    expected, _ = Sgp4Orbit(packaged_elements("micius")).inertial(moments)
    assert found.name == "MICIUS"
    assert abs(Sgp4Orbit(found).inertial(moments)[0] - expected).max() < 0.01  # km: the epoch is to a microsecond


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"INCLINATION": "x"}, "INCLINATION 'x' is no number from 0 to 180"),
        ({"ECCENTRICITY": 1.2}, "ECCENTRICITY '1.2'"),
        ({"EPOCH": "yesterday"}, "EPOCH 'yesterday' is no moment"),
        ({"REF_FRAME": "ICRF"}, "REF_FRAME is ICRF"),
        ({"MEAN_ELEMENT_THEORY": "DSST"}, "MEAN_ELEMENT_THEORY is DSST"),
        ({"BSTAR": None}, "no BSTAR"),
    ],
)
def test_an_omm_that_cannot_be_used_is_refused_with_its_field(change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"f, message 1: {words}"):
        read_elements(json.dumps({**omm_fields(), **change}), source="f")


@pytest.mark.parametrize(
    "text", ["{", "<ndm>", "CCSDS_OMM_VERS = 2.0\nnonsense", "[1]", "<!DOCTYPE a [<!ENTITY b 'c'>]><a/>"]
)
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        read_elements(text, source="f")


def test_old_elements_are_warned_of_and_very_old_ones_refused() -> None:
    orbit = Sgp4Orbit(packaged_elements("micius"))

    def told(days: float, *, accept: bool = False) -> str | None:
        end_utc_s = EPOCH_UTC_S + days * 86_400
        return check_age(orbit, start_utc_s=end_utc_s - 3600, end_utc_s=end_utc_s, accept_stale=accept)

    assert told(6.9) is None
    assert told(-6.9) is None
    assert "10.0 days from their epoch, 2016-12-19T13:39:33Z" in (told(10) or "")
    assert told(31, accept=True)
    with pytest.raises(BadParameter, match="stale elements: the span reaches 31"):
        told(31)


def test_a_decayed_satellite_is_told_with_sgp4s_code_and_the_moment() -> None:
    falling = summed(FIRST.replace("18801-4", "18801-0").replace(".00000384", ".09000384"))
    low = summed(SECOND.replace("15.23916091", "16.30916091"))
    (found,) = read_elements(f"{falling}\n{low}", source="f")
    with pytest.raises(RequestError, match=r"decayed: no orbit at 201[67]-.*error \d of SGP4") as refused:
        Sgp4Orbit(found).inertial(EPOCH_UTC_S + np.linspace(0, 30 * 86_400, 1000))
    assert "newer element set" in refused.value.remedy
    assert "2016-12-19T13:39:33Z" in refused.value.remedy
    assert "by its elements it has come down by then" in refused.value.message
    assert "or they do not hold so far" in refused.value.message


def test_a_satellite_that_cannot_be_carried_back_is_not_said_to_have_decayed() -> None:
    rising = summed(FIRST.replace(" 18801-4", "-18801-0").replace(" .00000384", "-.09000384"))
    low = summed(SECOND.replace("15.23916091", "16.30916091"))
    (found,) = read_elements(f"{rising}\n{low}", source="f")
    with pytest.raises(RequestError, match="no orbit at") as refused:
        Sgp4Orbit(found).inertial(EPOCH_UTC_S - np.linspace(0, 30 * 86_400, 1000))
    assert "decayed:" not in refused.value.message
    assert "its elements do not hold" in refused.value.message
    assert "days before their epoch, 2016-12-19T13:39:33Z" in refused.value.message


@pytest.mark.parametrize("offset", ["+08:00", "-0500"])
def test_an_epoch_at_an_offset_from_utc_is_refused_and_one_with_z_is_read(offset: str) -> None:
    fields = omm_fields()
    epoch = str(fields["EPOCH"])
    (plain,), (marked,) = (
        read_elements(json.dumps({**fields, "EPOCH": text}), source="x") for text in (epoch, f"{epoch}Z")
    )
    assert plain.epoch_utc_s == marked.epoch_utc_s
    with pytest.raises(ConfigurationError, match="offset from UTC"):
        read_elements(json.dumps({**fields, "EPOCH": epoch + offset}), source="x")


def test_a_field_that_stands_twice_in_lines_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="MEAN_MOTION stands twice"):
        read_elements(as_lines(omm_fields()) + "MEAN_MOTION = 14.0\n", source="x")


def as_text_twice(fields: dict[str, object]) -> str:
    return json.dumps(fields)[:-1] + ', "MEAN_MOTION": 14.0}'


def as_xml_twice(fields: dict[str, object]) -> str:
    return as_xml(fields).replace("<MEAN_MOTION>", "<MEAN_MOTION>14.0</MEAN_MOTION><MEAN_MOTION>", 1)


@pytest.mark.parametrize("write", [as_text_twice, as_xml_twice])
def test_a_field_that_stands_twice_in_json_or_xml_is_refused(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigurationError, match=r"x.*: MEAN_MOTION stands twice in one message"):
        read_elements(write(omm_fields()), source="x")


def test_comments_may_stand_twice_in_xml() -> None:
    text = as_xml(omm_fields()).replace("<MEAN_MOTION>", "<COMMENT>a</COMMENT><COMMENT>b</COMMENT><MEAN_MOTION>", 1)
    assert len(read_elements(text, source="x")) == 1


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2016-354T13:39:32.5", "2016-12-19T13:39:32.5"),
        ("2016-366T00:00:00Z", "2016-12-31T00:00:00"),
        ("2017-001T23:59:59", "2017-01-01T23:59:59"),
    ],
)
def test_an_epoch_by_the_day_of_the_year_is_that_of_the_calendar(text: str, same: str) -> None:
    one, other = (read_elements(json.dumps({**omm_fields(), "EPOCH": word}), source="x")[0] for word in (text, same))
    assert one.epoch_utc_s == other.epoch_utc_s


@pytest.mark.parametrize(
    "text", ["2016-367T00:00:00", "2017-366T00:00:00", "2016-000T00:00:00", "2016-354T24:00:00", "2016-354"]
)
def test_a_day_that_the_year_does_not_have_is_no_epoch(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no moment"):
        read_elements(json.dumps({**omm_fields(), "EPOCH": text}), source="x")
