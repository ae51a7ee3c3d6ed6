"""Networks from YAML: what holds is read, and every fault names its line and a remedy."""

from __future__ import annotations

import json
import re

import pytest

from qanat.ground.data import list_names, read_text
from qanat.ground.errors import ConfigurationError, NetworkFileError, UnknownNode
from qanat.ground.identifiers import LinkId, NodeId, SaeId
from qanat.ground.network import Network, network_yaml, parse_network
from qanat.ground.network.exchange import geojson

TEXT = """\
format: qanat-network/1
name: tiny
title: A tiny network
sites:
  - name: a
    kind: user
    latitude_deg: 31.0
    longitude_deg: 120.0
  - name: b
    kind: relay
    latitude_deg: 31.0
    longitude_deg: 120.3
  - name: c
    kind: user
    latitude_deg: 31.0
    longitude_deg: 120.6
links:
  - name: a-b
    transmitter: a
    receiver: b
    system: backbone-625
    loss_db: 10.3
    length_km: 40
  - name: b-c
    transmitter: b
    receiver: c
    system: backbone-625
    loss_db: 16
    length_km: 50.5
applications:
  - name: alice
    site: a
  - name: bob
    site: c
"""


def parse(text: str) -> Network:
    return parse_network(text, source="tiny.yaml")


def refused(text: str) -> NetworkFileError:
    with pytest.raises(NetworkFileError) as refusal:
        parse(text)
    assert refusal.value.source == "tiny.yaml"
    return refusal.value


def test_a_network_is_read() -> None:
    network = parse(TEXT)
    assert network.nodes == ("a", "b", "c")
    assert [link.loss_db for link in network.links] == [10.3, 16.0]
    assert network.site(NodeId("b")).kind == "relay"
    assert network.link(LinkId("a-b")).ends == ("a", "b")
    assert network.saes == ("urn:qanat:tiny:sae:alice", "urn:qanat:tiny:sae:bob")
    assert network.site_of(network.sae("bob")).name == "c"
    assert network.kme(NodeId("c")) == "urn:qanat:tiny:kme:c"
    assert [link.name for link in network.links_of(NodeId("b"))] == ["a-b", "b-c"]
    assert network.link_between(NodeId("c"), NodeId("b")).name == "b-c"
    assert network.link(LinkId("a-b")).peer_of(NodeId("b")) == "a"


@pytest.mark.parametrize("name", list_names("networks", ".yaml"))
def test_packaged_networks_hold(name: str) -> None:
    network = parse_network(read_text("networks", f"{name}.yaml"), source=f"{name}.yaml")
    assert network.name == name


def test_no_network_of_that_name_is_packaged() -> None:
    with pytest.raises(ConfigurationError, match=r"no 'nowhere\.yaml'"):
        read_text("networks", "nowhere.yaml")


def test_three_nodes_is_the_papers_last_stretch() -> None:
    """Losses: least and mean of the backbone's spans (Nature 589, 214, Table 1). Way: published coordinates."""
    network = parse_network(read_text("networks", "three-nodes.yaml"), source="three-nodes.yaml")
    assert [link.loss_db for link in network.links] == [10.3, 16.0]
    assert [link.length_km / link.loss_db for link in network.links] == pytest.approx([63.8 / 16.0] * 2, rel=2e-3)
    assert [network.span_km(link) for link in network.links] == pytest.approx([38.8, 49.9], abs=0.1)


def test_distances_are_great_circles() -> None:
    """0.3 degrees along the parallel of 31 degrees, by the spherical law of cosines: 28.6 km."""
    network = parse(TEXT)
    assert network.span_km(network.links[0]) == pytest.approx(28.594, abs=2e-3)


def line_of(text: str, part: str) -> int:
    """Return the first line that holds ``part``."""
    return next(number for number, line in enumerate(text.splitlines(), start=1) if part in line)


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ("loss_db: 10.3", "loss_db: -1", "loss_db: -1", "greater than or equal to 0"),
        ("loss_db: 10.3", "loss_db: many", "loss_db: many", "a number is needed"),
        ("loss_db: 10.3", "loss_db: yes", "loss_db: yes", "a number is needed"),
        ("loss_db: 10.3", 'loss_db: "10.3"', 'loss_db: "10.3"', "a number is needed"),
        ("loss_db: 10.3", "loss_db: .inf", "loss_db: .inf", "finite number"),
        ("loss_db: 10.3", "loss_db: .nan", "loss_db: .nan", "finite number"),
        ("loss_db: 10.3", "loss_db: 200", "loss_db: 200", "less than or equal to 100"),
        ("loss_db: 10.3", "los_db: 10.3", "los_db: 10.3", "los_db"),
        ("length_km: 50.5", "length_km: 0", "length_km: 0", "greater than 0"),
        ("latitude_deg: 31.0", "latitude_deg: 91", "latitude_deg: 91", "less than or equal to 90"),
        ("longitude_deg: 120.3", "longitude_deg: 181", "longitude_deg: 181", "less than or equal to 180"),
        ("kind: relay", "kind: balloon", "kind: balloon", "'user', 'relay' or 'satellite'"),
        ("name: tiny", "name: Tiny", "name: Tiny", "is no name"),
        ("name: tiny", "name: 7", "name: 7", "a text is needed"),
        ("  - name: b\n", "  - name: b/c\n", "name: b/c", "is no name"),
        ("  - name: alice", "  - name: Alice", "name: Alice", "is no name"),
        ("  - name: alice", "  - name: ''", "name: ''", "is no name"),
        ("  - name: alice", "  - name: " + "a" * 65, "name: aaa", "a text of 65 characters"),
        ("  - name: alice", "  - name: " + "a" * 46, "name: aaa", "would have more than 64 characters"),
        ("  - name: b\n", "  - name: " + "b" * 46 + "\n", "name: bbb", "would have more than 64 characters"),
        ("name: tiny", "name: " + "t" * 40, "name: ttt", "40 characters, too many"),
        ("  - name: b\n", "  - name: controller\n", "name: controller", "name of the network's controller"),
        ("  - name: b\n", "  - name: pki\n", "name: pki", "something else in a data folder"),
        ("  - name: b\n", "  - name: network\n", "name: network", "something else in a data folder"),
        ("format: qanat-network/1", "format: qanat-network/2", "format:", "qanat-network/1"),
        ("title: A tiny network\n", "title: A\nroof: B\n", "roof: B", "no field of this name"),
        ("    transmitter: b\n", "    transmitter: b\n    colour: red\n", "colour: red", "no field of this name"),
        ("    receiver: b\n", "    receiver: a\n", "name: a-b", "link joins two"),
        ("    receiver: b\n", "    receiver: x\n", "receiver: x", "ends at 'x', no site"),
        ("transmitter: b", "transmitter: y", "transmitter: y", "ends at 'y', no site"),
        ("length_km: 40", "length_km: 20", "length_km: 20", "way of 28.6 km"),
        ("site: c", "site: d", "name: bob", "at 'd', no site"),
        ("name: bob", "name: alice", None, "'alice' is used twice"),
        ("  - name: c\n", "  - name: a\n", None, "'a' is used twice"),
        ("name: b-c", "name: a-b", None, "'a-b' is used twice"),
        ("    kind: relay\n", "    kind: relay\n    kind: user\n", None, "'kind' stands twice"),
        ("title: A tiny network", "title: !secret x", "title:", "'!secret'"),
        ("title: A tiny network", "title: 2017-12-01", "title:", "'timestamp'"),
        ("title: A tiny network", "title: !!str [x]", "title:", "'str'"),
        ("title: A tiny network", "? [a, b]\n: x", "? [a, b]", "no word"),
        ("loss_db: 10.3", "loss_db: !!float much", "loss_db: !!float", "is no value"),
        ("loss_db: 10.3", "loss_db: " + "9" * 5000, "loss_db: 999", "is no value"),
        ("site: a\n", "site: &x a\n    <<: *x\n", "<<: *x", "'merge'"),
        ("title: A tiny network", "title: [", "  - name: a", "no YAML"),
        ("title: A tiny network", "title: a: b", "title:", "no YAML"),
        ("title: A tiny network", "title: *nobody", "title:", "no YAML"),
        ("    kind: relay\n", "   kind: relay\n", "   kind: relay", "no YAML"),
    ],
)
def test_a_fault_names_its_line(old: str, new: str, at: str | None, message: str) -> None:
    """``at``: what stands in the line that is to blame; None for the second of two equal ones."""
    assert old in TEXT
    text = TEXT.replace(old, new, 1)
    fault = refused(text)
    assert message in fault.message
    if at is not None:
        assert fault.line == line_of(text, at), fault.message
    else:
        blamed = text.splitlines()[(fault.line or 0) - 1].strip()
        first = line_of(text, new.strip().splitlines()[-1].strip().split(":")[0])
        assert (fault.line or 0) > first
        assert blamed.split(": ")[-1] in new
    assert re.match(r"tiny\.yaml:\d+: ", str(fault))
    assert fault.remedy
    assert "see the message" not in fault.remedy


def test_the_longest_names_that_fit_are_taken() -> None:
    longest = 64 - len("urn:qanat:tiny:sae:")
    text = TEXT.replace("name: alice", "name: " + "a" * longest)
    assert parse(text).saes[0] == "urn:qanat:tiny:sae:" + "a" * longest
    assert parse(TEXT.replace("name: tiny", "name: " + "t" * 39)).name == "t" * 39
    with pytest.raises(NetworkFileError, match="shorten this name, or the network's, by 1"):
        parse(text.replace("name: aa", "name: aaa"))
    with pytest.raises(NetworkFileError, match="use at most 39"):
        parse(TEXT.replace("name: tiny", "name: " + "t" * 40))


def test_an_alias_is_refused_where_it_stands() -> None:
    text = TEXT.replace("    site: a\n", "    site: &here a\n").replace("    site: c\n", "    site: *here\n")
    fault = refused(text)
    assert "alias" in fault.message
    recursive = refused("format: &a [*a]\n")
    assert "alias" in recursive.message


@pytest.mark.parametrize(
    ("old", "remedy"),
    [
        ("    kind: relay\n", "add the field"),
        ("applications:", "applications?"),
        ("receiver: c", "did you mean c"),
        ("loss_db: 16", "that was measured"),
        ("    receiver: b\n", "name the other site"),
    ],
)
def test_faults_carry_remedies(old: str, remedy: str) -> None:
    changes = {
        "applications:": "aplications:",
        "receiver: c": "receiver: cc",
        "loss_db: 16": "loss_db: .inf",
        "    receiver: b\n": "    receiver: a\n",
    }
    assert remedy in refused(TEXT.replace(old, changes.get(old, ""), 1)).remedy


LINKS = TEXT.index("links:\n")


@pytest.mark.parametrize(
    ("text", "at", "message", "remedy"),
    [
        (TEXT[: TEXT.index("  - name: b")] + TEXT[LINKS:], "sites:", "at least 2 sites, and this one has 1", "site"),
        (TEXT[:LINKS] + "links: []\n", "links:", "at least one link, and this one has none", "link"),
        (TEXT[:LINKS] + "links: 7\n", "links:", "a list is needed here", "- "),
        (TEXT[:LINKS] + "links: [7]\n", "links:", "fields are needed here", "field: value"),
        (TEXT[:LINKS] + "links:\n", "links:", "a list is needed here", "- "),
    ],
)
def test_too_few_parts_are_told_in_plain_words(text: str, at: str, message: str, remedy: str) -> None:
    fault = refused(text)
    assert message in fault.message
    assert remedy in fault.remedy
    assert fault.line == line_of(text, at)


@pytest.mark.parametrize("text", ["", "# only a remark\n", "null\n", "[1, 2]\n", "7\n", "a: \x01\n", "[" * 4000])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    fault = refused(text)
    assert fault.line is not None
    assert fault.message.startswith(f"tiny.yaml:{fault.line}: ")
    assert fault.remedy


def test_a_site_without_any_link_is_refused() -> None:
    extra = "  - name: d\n    kind: user\n    latitude_deg: 31.0\n    longitude_deg: 121\nlinks:\n"
    text = TEXT.replace("links:\n", extra.removesuffix("links:\n") + extra.replace("name: d", "name: e"))
    fault = refused(text)
    for one, name in zip((fault, *fault.others), "de", strict=True):
        assert f"no link leads to {name}" in one.message
        assert one.line == line_of(text, f"- name: {name}")
        assert one.remedy


@pytest.mark.parametrize("missing", ["sites", "links", "name", "format"])
def test_missing_parts_are_named(missing: str) -> None:
    fault = refused(
        TEXT.replace(f"{missing}:", f"x{missing}:", 1) if missing != "name" else TEXT.replace("name: tiny\n", "")
    )
    assert missing in fault.message
    assert fault.remedy


def test_questions_about_strangers_are_answered_with_the_nearest_names() -> None:
    network = parse(TEXT)
    for ask in (
        lambda: network.site(NodeId("aa")),
        lambda: network.link(LinkId("a-c")),
        lambda: network.site_of(SaeId("urn:qanat:tiny:sae:alize")),
        lambda: network.link_between(NodeId("a"), NodeId("c")),
    ):
        with pytest.raises(UnknownNode) as refusal:
            ask()
        assert refusal.value.remedy
    with pytest.raises(UnknownNode, match="no end of link"):
        network.link(LinkId("a-b")).peer_of(NodeId("c"))


def test_a_network_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse(TEXT).name = "other"  # type: ignore[misc]


def test_a_misspelt_field_is_told_what_it_may_be() -> None:
    assert refused(TEXT.replace("loss_db: 10.3", "los_db: 10.3", 1)).remedy == "is it meant to be loss_db?"
    assert refused(TEXT.replace("applications:", "aplications:", 1)).remedy == "is it meant to be applications?"
    assert refused(TEXT + "stock: {key_time_to_live: 20}\n").remedy == "is it meant to be key_time_to_live_s?"
    assert refused(TEXT + "stock: {pairs: [{master: alice, max_key: 1}]}\n").remedy == "is it meant to be max_keys?"


PREPARED = "prepared_keys:\n  - {master: alice, slave: bob, count: 100, size_bits: 128}\n"


def test_prepared_keys_are_read() -> None:
    (keys,) = parse(TEXT + PREPARED).prepared_keys
    assert (keys.master, keys.slave, keys.count, keys.size_bits) == ("alice", "bob", 100, 128)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("slave: bob", "slave: bop"), ("'bop', no application", "did you mean bob")),
        (("slave: bob", "slave: alice"), ("with itself", "two applications")),
        (("size_bits: 128", "size_bits: 100"), ("multiple of 8",)),
        (("count: 100", "count: 0"), ("greater than 0",)),
    ],
)
def test_prepared_keys_that_cannot_be(change: tuple[str, str], words: tuple[str, ...]) -> None:
    refusal = refused(TEXT + PREPARED.replace(*change))
    assert refusal.line is not None
    assert refusal.line >= len(TEXT.splitlines()) + 1
    for word in words:
        assert word in str(refusal)


def test_prepared_keys_stand_once_per_pair_and_size() -> None:
    again = PREPARED + PREPARED.splitlines()[1] + "\n"
    assert "twice for 'alice' and 'bob'" in str(refused(TEXT + again))


STOCK = """\
stock:
  link_key_time_to_live_s: 604800
  key_time_to_live_s: 86400
  max_keys_per_application: 5000
  pairs:
    - {master: alice, slave: bob, time_to_live_s: 3600, max_keys: 100}
"""


def test_rules_for_stock_and_priorities_are_read() -> None:
    network = parse(TEXT.replace("    site: a\n", "    site: a\n    priority: 7\n") + STOCK)
    assert network.stock.link_key_time_to_live_s == 604_800
    assert (network.stock.pairs[0].max_keys, network.stock.max_keys_per_pair) == (100, 100_000)
    alice, bob = network.saes
    assert (network.priority(alice), network.priority(bob)) == (7, 0)
    assert parse(TEXT).stock.key_time_to_live_s is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("master: alice", "master: alicia", "there is no application 'alicia'"),
        ("key_time_to_live_s: 86400", "key_time_to_live_s: 0", "not greater than 0"),
        ("max_keys: 100", "max_keys: 1.5", "whole number"),
        (
            "    - {master: alice",
            "    - {master: alice, slave: bob, max_keys: 3}\n    - {master: alice",
            "'alice' and 'bob' has two rules",
        ),
    ],
)
def test_rules_for_stock_that_cannot_be(old: str, new: str, words: str) -> None:
    fault = refused(TEXT + STOCK.replace(old, new))
    assert words in fault.message
    assert fault.line is not None
    assert fault.line > TEXT.count("\n")


def test_a_site_may_state_its_region() -> None:
    text = TEXT.replace("kind: relay", "kind: relay\n    region: Lower Yangtze", 1)
    assert "Lower Yangtze" in text
    network = parse_network(text, source="some.yaml")
    assert network.regions == {"b": "Lower Yangtze"}
    assert not parse_network(TEXT, source="some.yaml").regions
    with pytest.raises(NetworkFileError, match="has spaces around it"):
        parse_network(text.replace("Lower Yangtze", "' Anhui'"), source="some.yaml")


def test_regions_go_out_with_sites_to_other_programs() -> None:
    text = TEXT.replace("kind: relay", "kind: relay\n    region: Anhui", 1)
    network = parse_network(text, source="some.yaml")
    features = json.loads(geojson(network))["features"]
    said = [row["properties"] for row in features if row["properties"]["what"] == "site"]
    assert {site["name"] for site in said if site.get("region") == "Anhui"} == set(network.regions) == {"b"}
    assert "Anhui" in network_yaml(network, head="", comments={})


def test_all_faults_of_one_look_are_told() -> None:
    """Fields first; what they say of each other when each holds by itself."""
    text = TEXT.replace("loss_db: 10.3", "los_db: 10.3").replace("length_km: 50.5", "length_km: 41100")
    fault = refused(text.replace("kind: relay", "kind: relay\n    direct_keys_only: maybe"))
    assert [one.line is not None for one in (fault, *fault.others)] == [True] * 3
    assert "los_db" in fault.message
    told = {one.message.rpartition(": ")[2]: one.remedy for one in fault.others}
    assert told == {
        "true or false is needed here": "write true or false, without quotes",
        "41100 is not less than or equal to 1000": "give kilometres, at most 1000; 41100 metres are 41.1",
    }
    fault = refused(TEXT.replace("receiver: c", "receiver: x").replace("site: a", "site: y") + PREPARED)
    assert "ends at 'x', no site" in fault.message
    assert any("is at 'y', no site" in one.message for one in fault.others)
    assert any("no link leads to c" in one.message for one in fault.others)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [("  - name: b\n", "  - name: a\n", "a"), ("  - name: bob\n", "  - name: alice\n", "alice")],
)
def test_a_name_that_stands_twice_is_told_without_what_follows_from_it(old: str, new: str, name: str) -> None:
    """Links to the site that is gone, and ways between sites that were taken for each other, have no other fault."""
    fault = refused(TEXT.replace(old, new, 1) + PREPARED)
    assert f"the name {name!r} is used twice" in fault.message
    assert fault.others == ()


@pytest.mark.parametrize(
    ("part", "remedy"),
    [
        ("trunks:\n  - {name: t, switches: [s, u], loss_db: 1, length_km: 2}\n", "under 'switches', or take"),
        ("classical_links:\n  - {name: l, routers: [r, q], length_km: 2}\n", "under 'routers', or take"),
    ],
)
def test_where_nothing_of_a_kind_is_described_the_remedy_says_where_to(part: str, remedy: str) -> None:
    assert remedy in refused(TEXT + part).remedy
