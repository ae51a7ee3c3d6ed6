"""What a planner is told of a network: counts, forecasts, routes, and what is weak."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from qanat.apps.network_review import NetworkReview, review
from qanat.apps.networks import load_network
from qanat.ground.data import list_names
from qanat.ground.network import Application, Link, Network, Site
from qanat.physics.systems import BACKBONE_625
from qanat.postprocessing.reconciliation.efficiency import expected_f_ec
from qanat.protocols.prediction import expected_rate


def network_of(
    kinds: dict[str, str], links: Sequence[tuple[str, str, float]], apps: dict[str, str] | None = None
) -> Network:
    """Return a network of sites (name -> kind), links (ends and loss in dB) and applications (name -> site)."""
    return Network(
        format="qanat-network/1",
        name="n",
        sites=tuple(
            Site.model_validate({"name": name, "kind": kind, "latitude_deg": 40 + 0.1 * k, "longitude_deg": 116})
            for k, (name, kind) in enumerate(kinds.items())
        ),
        links=tuple(
            Link(name=f"l{k}", transmitter=a, receiver=b, system="backbone-625", loss_db=loss_db, length_km=50)
            for k, (a, b, loss_db) in enumerate(links)
        ),
        applications=tuple(Application(name=name, site=at) for name, at in (apps or {}).items()),
    )


def codes(found: NetworkReview) -> list[str]:
    return [warning.code for warning in found.warnings]


RING = network_of(
    {"a": "user", "b": "relay", "c": "user", "d": "relay"},
    [("a", "b", 12), ("b", "c", 12), ("c", "d", 10), ("d", "a", 11)],
    {"alice": "a", "bob": "c"},
)


def test_the_backbone_is_counted_under_its_heading_and_whole() -> None:
    found = review(load_network("beijing-shanghai"))
    whole, backbone = found.headings
    assert (whole.name, whole.num_sites, whole.num_links) == ("", 34, 33)
    assert (backbone.name, backbone.num_sites, backbone.num_links) == ("backbone", 32, 31)
    assert backbone.loss_db is not None
    assert (backbone.loss_db.least, backbone.loss_db.greatest) == (10.3, 20.5)
    assert backbone.total_km == pytest.approx(1977.9)
    assert found.systems == {"backbone-625": 33}


def test_the_end_to_end_rate_is_that_of_the_weakest_span() -> None:
    found = review(load_network("beijing-shanghai"))
    (route,) = found.routes
    assert route.applications == ("alice", "bob")
    assert len(route.nodes) == 34
    assert found.weakest is not None
    assert found.weakest.link.loss_db == 20.5
    assert route.weakest == found.weakest.link.name
    assert route.rate_bits_per_s == min(found.rates_bits_per_s.values())


def test_a_forecast_is_that_of_the_rate_functions() -> None:
    (row, *_) = review(RING).links
    f_ec = expected_f_ec("cascade", row.forecast.qber)
    expected = expected_rate(BACKBONE_625, loss_db=12, block_bits=row.forecast.block_bits, f_ec=f_ec)
    assert row.forecast == expected
    assert 0 < row.forecast.secret_rate_bits_per_s < row.forecast.secret_rate_asymptotic_bits_per_s


def test_a_ring_takes_the_better_way_and_has_no_single_point_of_failure() -> None:
    found = review(RING)
    (route,) = found.routes
    assert (route.nodes, route.weakest) == (("a", "d", "c"), "l3")
    assert found.cut_sites == ()
    assert found.warnings == ()


def test_a_line_says_which_relays_it_cannot_lose() -> None:
    kinds = {"a": "user", "r": "relay", "s": "relay", "b": "user", "stub": "relay"}
    found = review(
        network_of(kinds, [("a", "r", 9), ("r", "s", 9), ("s", "b", 9), ("s", "stub", 9)], {"x": "a", "y": "b"})
    )
    assert found.cut_sites == ("r", "s")
    (warning,) = found.warnings
    assert warning.code == "single-point-of-failure"
    assert warning.text == "each of 2 sites parts applications when it fails: r, s"


def test_a_site_that_cuts_off_no_application_is_no_concern() -> None:
    kinds = {"a": "user", "b": "user", "stub": "relay"}
    found = review(network_of(kinds, [("a", "b", 9), ("b", "stub", 9)], {"x": "a", "y": "b"}))
    assert found.cut_sites == ("b",)
    assert codes(found) == []


@pytest.mark.parametrize(
    ("loss_db", "code"),
    [(20.0, None), (36.0, "slow-block"), (45.0, "no-key")],
)
def test_a_link_that_gives_no_key_or_a_late_one_is_named(loss_db: float, code: str | None) -> None:
    found = review(network_of({"a": "user", "b": "user"}, [("a", "b", loss_db)], {"x": "a", "y": "b"}))
    assert [one for one in codes(found) if one in ("no-key", "slow-block")] == ([code] if code else [])


@pytest.mark.parametrize(
    ("loss_db", "length_km", "code"),
    [
        (0.6, 63.8, "loss-too-low"),
        (0.0, 63.8, "loss-too-low"),
        (1.6, 64.0, "loss-too-low"),
        (16.0, 63.8, None),
        (7.1, 50.0, None),  # 0.142 dB/km: the best fibre with a core of glass
        (0.0, 0.3, None),  # a patch cord, its loss rounded to one decimal
        (3.0, 1.0, None),  # connectors and a short fibre
        (6.0, 5.5, "loss-too-high"),
        (41.1, 20.0, "loss-too-high"),
    ],
)
def test_a_loss_that_no_fibre_of_its_length_has_is_named(loss_db: float, length_km: float, code: str | None) -> None:
    network = network_of({"a": "user", "b": "user"}, [("a", "b", loss_db)], {"x": "a", "y": "b"})
    (link,) = network.links
    changed = network.model_copy(update={"links": (link.model_copy(update={"length_km": length_km}),)})
    assert [one for one in codes(review(changed)) if one.startswith("loss-")] == ([code] if code else [])


@pytest.mark.parametrize("name", list_names("networks", ".yaml"))
def test_no_packaged_network_has_such_a_loss(name: str) -> None:
    assert not [one for one in codes(review(load_network(name))) if one.startswith("loss-")]


def test_keys_do_not_pass_a_user() -> None:
    """a - r - b - s - d: b is a user, so a reaches b, b reaches d, and a does not reach d."""
    kinds = {"a": "user", "r": "relay", "b": "user", "s": "relay", "d": "user"}
    links = [("a", "r", 9.0), ("r", "b", 9.0), ("b", "s", 9.0), ("s", "d", 9.0)]
    found = review(network_of(kinds, links, {"x": "a", "z": "d"}))
    assert [route.nodes for route in found.routes] == [()]
    assert codes(found) == ["no-peer", "no-peer", "no-route", "single-point-of-failure"]
    unused = review(network_of(kinds, links))
    assert codes(unused) == ["no-applications", "unreached"]
    assert unused.warnings[1].text == "no chain of trusted relays leads from user 'a' to d"


def test_two_applications_at_one_site_are_no_peers() -> None:
    found = review(network_of({"a": "user", "r": "relay"}, [("a", "r", 9)], {"x": "a", "y": "a"}))
    assert codes(found) == ["no-peer", "no-peer"]
    assert found.routes == ()


def test_networks_without_applications_parallel_links_and_disturbed_lines_are_told() -> None:
    network = network_of({"a": "user", "b": "user"}, [("a", "b", 9), ("b", "a", 8)])
    disturbed = network.links[0].model_copy(update={"disturbance": 0.08})
    found = review(network.model_copy(update={"links": (disturbed, network.links[1])}))
    assert codes(found) == ["disturbed", "parallel-link", "no-applications"]
    assert all(warning.remedy for warning in found.warnings)


def test_relays_use_the_first_of_two_links_and_so_does_the_rate() -> None:
    found = review(network_of({"a": "user", "b": "user"}, [("a", "b", 15), ("a", "b", 9)], {"x": "a", "y": "b"}))
    (route,) = found.routes
    assert route.weakest == "l0"
    assert route.rate_bits_per_s == found.links[0].forecast.secret_rate_bits_per_s
