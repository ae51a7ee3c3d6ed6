"""`qanat demo` with a satellite, as processes: the README's first command, a pass of less light, other air."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interop.satellite_house import network_file
from interop.test_backbone_demo import check_backbone, demonstration

pytestmark = pytest.mark.slow

WAY = ["west", "nanshan", "micius", "xinglong", "far-east"]
LESS_LIGHT = ("--pass-light", "0.3")


def check_space(space: dict[str, Any]) -> None:
    assert {one["station"] for one in space["passes"]} == {"nanshan", "xinglong"}
    for one in space["passes"]:
        assert one["keys_identical"]
        # sifted bits are drawn: five standard deviations, and what a binomial's mean leaves out
        assert one["sifted_bits"] == pytest.approx(one["expected_sifted_bits"], rel=0.02)
        assert one["secret_bits"] == pytest.approx(one["expected_secret_bits"], rel=0.05)
        assert one["f_ec"] < 1.1
    for one in space["announced"]:
        assert one["qkd_bits"] == 2 * one["num_bits"] + one["authentication_bits"]
        assert sorted(one["stored_at"]) == ["nanshan", "xinglong"]
    assert space["transfer"]["identical"]


@pytest.mark.campaign
def test_a_file_crosses_4600_kilometres_by_satellite_and_fibre(tmp_path: Path) -> None:
    result = demonstration("--out", str(tmp_path / "report"))
    assert all(check["held"] for check in result["checks"])
    space = result["satellite"]
    check_space(space)
    route = space["transfer"]["key_route"]
    assert (route[0], route[-1], len(route)) == ("urumqi-user-01", "shanghai-user", 43)
    assert route[2:5] == ["nanshan", "micius", "xinglong"]
    stations, backbone, total = (leg["length_km"] for leg in space["title"])
    assert [leg["paper_km"] for leg in space["title"]] == [2600, 2000, 4600]
    assert stations == pytest.approx(2_524, abs=1)
    assert backbone == pytest.approx(1_978, abs=1)
    assert total == stations + backbone
    xinglong, nanshan = space["passes"]
    assert xinglong["min_range_km"] == pytest.approx(645.3, abs=0.5), "the pass that is published for that night"
    assert nanshan["waited_s"] == pytest.approx(5_222, abs=2), "hours between the passes are left out, and told"
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    check_backbone(result, page)
    for words in ("By satellite", "Stored, and announced", "micius over nanshan", "(paper: 4,600)"):
        assert words in page


@pytest.mark.campaign
def test_less_light_is_said_to_be_less_and_other_air_changes_rate_and_page(tmp_path: Path) -> None:
    plain = demonstration(str(network_file(tmp_path)), *LESS_LIGHT, "--out", str(tmp_path / "plain"))
    check_space(plain["satellite"])
    assert plain["satellite"]["transfer"]["key_route"] == WAY
    assert {one["light_share"] for one in plain["satellite"]["passes"]} == {0.3}
    hazy = network_file(
        tmp_path,
        ("altitude_m: 890}", "altitude_m: 890, air_db: 1.2}"),
        ("altitude_m: 2080}", "altitude_m: 2080, air_db: 1.2}"),
    )
    other = demonstration(str(hazy), *LESS_LIGHT, "--out", str(tmp_path / "hazy"))
    for clear, dim in zip(plain["satellite"]["passes"], other["satellite"]["passes"], strict=True):
        assert dim["loss_db"][0] > clear["loss_db"][0] + 0.5
        assert dim["secret_bits"] < 0.9 * clear["secret_bits"]
    pages = [(tmp_path / name / "report.html").read_text(encoding="utf-8") for name in ("plain", "hazy")]
    assert "30 % of the pass" in pages[0]
    assert "fitted: 0.683 dB per air mass" in pages[0]
    assert "input: 1.200 dB per air mass" in pages[1]


@pytest.mark.campaign
def test_where_a_satellite_alone_joins_all_its_passes_come_first(tmp_path: Path) -> None:
    result = demonstration("urumqi-beijing", *LESS_LIGHT, "--out", str(tmp_path / "report"))
    assert all(check["held"] for check in result["checks"])
    check_space(result["satellite"])
    assert all("micius" in transfer["key_route"] for transfer in result["transfers"])
